"""The promises of the README under fault: `python3 benchmarks/soak.py`.

    producers.py --pushes--> proxy.py --those it lets through--> hub.py --> journal
        |                                                                      |
     reports -------------------------> verdict.py <----------------------------

__main__.py     the command line: which modes run, the table, soak.json
course.py       one run: starts the three, kills the hub, gathers what they left
plan.py         which push meets which fault, and when the hub dies: all from one seed
proxy.py        injects the faults
hub.py          a hub that writes down each push before it answers, in a process of its own
producers.py    eight producers in a process of their own, and what each says became of its pushes
verdict.py      holds the reports against the journal
steadiness.py   whether memory and sockets stayed where they were
"""
