"""Checks the guarantees of several hubs under faults: `python -m tests.hub.test_backplane_course`.

    pushers.py --pushes--> nginx --> hubs --entries--> a TCP proxy for each --> Redis
        |                     <-- pages that the hubs deliver events to
        |                              |
      pushes ---> outcome.py <--- what pages reported

fleet.py        Redis, the hubs, their proxies to Redis, and nginx
steps.py        the faults: what happens to the fleet
pushers.py      pushes numbered events, and stores the outcome of each
course.py       one run: subscribers, pushers, one step after another
outcome.py      compares what subscribers reported with what was pushed
hub_process.py  a hub with a clock that is wrong, or with a bug that the course has to find
"""
