"""How fast the clients and the hub are, beside their peers and in one run: `python3 benchmarks/run.py`.

run.py          makes a venv of its own and starts __main__.py in it
__main__.py     the command line: which sections run, and what becomes of the results
sections.py     each section: what runs side by side, and the rows it leads to
plan.py         how long each takes, and where its results go
goals.py        cells (one client under one load) and ratios between them, with their goals
measure.py      one cell in a process of its own
memory.py       what bulk pushes keep, in a process of its own
peers_async.py, peers_sync.py, ours.py    the clients
load.py         what is pushed, and how it is signed
sink.py         the server that all of them push to
hub_load.py     the hub, its subscribers, and a bare aiohttp handler beside it
twins.py        the hub beside Crossbar.io
listeners.py    the subscribers of these two
processes.py    starting all these, each on its core; wrk
report.py, chart.py    tables, and the picture

soak.py, soaking/    nothing lost, nothing doubled, under fault: `python3 benchmarks/soak.py`
"""
