"""How fast the clients and the hub are, beside their peers and in one run: `python3 benchmarks/run.py`.

run.py          makes a venv of its own and runs __main__.py in it
__main__.py     the command line: which sections run, and where the results go
goals.py        which clients run side by side, and the goals for them
sections.py     each section: what it measures, and the rows that it adds
plan.py         how long each takes, and in which order
results.py      medians over rounds, and ratios round by round
settled.py      starts each process, so that its allocator has settled
measure.py      one client under one load
instructions.py    instructions per push, by Valgrind
memory.py       the memory that bulk pushes keep
push_soon.py    what a call of push_soon costs: `python -m benchmarks.push_soon`
peers_async.py, peers_sync.py, raw.py, ours.py    the clients
load.py         what is pushed, and how it is signed
sink.py         the server to which all of them push
hub_load.py     the hub, its subscribers, and a bare aiohttp handler beside it
twins.py        the hub beside Crossbar.io
listeners.py    the subscribers of these two
processes.py    starts all these, each on its core; wrk
report.py, page.py, chart.py    tables for the terminal and the documentation, and the chart

hubs.py, hub_costs.py    what it costs to connect hubs over a stream in Redis: `python -m benchmarks.hubs`
away.py    what a handler costs while the broker is away, before `push_soon` and with it: `python -m benchmarks.away`
soak.py, soaking/    nothing lost, nothing doubled, under fault: `python3 benchmarks/soak.py`
"""
