"""What several hubs promise, under fault: `python -m tests.hub.test_backplane_course`.

    pushers.py --pushes--> nginx --> hubs --entries--> a TCP proxy for each --> Redis
        |                     <-- pages that the hubs deliver events to
        |                              |
      pushes ---> outcome.py <--- what pages were told

fleet.py        Redis, the hubs, their ways to Redis and nginx
steps.py        what happens to the fleet
pushers.py      pushes numbered events, and remembers the outcome of each
course.py       one run: subscribers, pushers, one step after another
outcome.py      compares what subscribers were told with what was pushed
hub_process.py  a hub with a clock that is wrong, or with a bug that the course has to find
"""
