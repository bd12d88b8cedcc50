"""Checks the guarantees of the clients under faults: `python3 benchmarks/soak.py`.

    producers.py --pushes--> proxy.py --those it lets through--> hub.py --> journal
        |                                                                      |
     reports -------------------------> verdict.py <----------------------------

__main__.py     the command line: which modes run, the table, soak.json
course.py       one run: starts producers, proxy and hub, kills the hub, gathers the reports
plan.py         which push meets which fault, and when the hub is killed: all from one seed
proxy.py        injects the faults
hub.py          a hub that writes each push to a journal before it responds, in a process of its own
producers.py    eight producers in a process of their own, which report the outcomes of their pushes
verdict.py      compares the reports with the journal
steadiness.py   checks that memory and the number of sockets stayed the same
"""
