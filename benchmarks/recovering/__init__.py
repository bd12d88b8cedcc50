"""Checks the guarantees for subscribers under faults: `python -m benchmarks.recovery`.

    course.py --pushes--> Hub --events--> proxy.py --those it lets through--> subscribers.py
        |                                                                          |
      pushes ------------------------> judge.py <------------------------------ records

judge.py        compares what a subscriber received with what was pushed
proxy.py        accepts connections, and decides how each one breaks
link.py         a connection through the proxy, which can be cut, stalled and half-closed
subscribers.py  `webmq.js` in Node.js and in Chromium, and the Python `Subscriber`
recorder.js     records what `webmq.js` reports to a page
course.py       one hub, its subscribers and its pushers: restarts the hub and gathers the records
"""
