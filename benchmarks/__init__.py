"""Measures how fast the clients and the hub are, compared with others in the same run: `python3 benchmarks/run.py`.

run.py          makes a venv of its own and runs __main__.py in it
__main__.py     the command line: which sections run, and where the results go
goals.py        which clients run side by side, and the goals for them
sections.py     each section: what it measures, and the rows that it adds
plan.py         how long each takes, and in which order
results.py      medians over rounds, and ratios within each round
settled.py      starts each process, with an allocator that has settled
measure.py      measures one client under one load
instructions.py    instructions per push, by Valgrind
memory.py       the memory that bulk pushes need
push_soon.py    what a call of push_soon costs: `python -m benchmarks.push_soon`
peers_async.py, peers_sync.py, raw.py, ours.py    the clients
load.py         what is pushed, and how it is signed
sink.py         the server to which all clients push
hub_load.py     the hub with subscribers, compared with a bare aiohttp handler
twins.py        the hub compared with Crossbar.io
listeners.py    the subscribers of the last two
processes.py    starts all these, each on its core; wrk
report.py, page.py, chart.py    tables for the terminal and the documentation, and the chart

hubs.py, hub_costs.py    what it costs to connect hubs over a stream in Redis: `python -m benchmarks.hubs`
away.py    what a handler costs while the broker is away, before `push_soon` and with it: `python -m benchmarks.away`
soak.py, soaking/    whether events are lost or duplicated under faults: `python3 benchmarks/soak.py`
"""
