"""What subscribers are promised, under fault: `python -m benchmarks.recovery`.

    course.py --pushes--> Hub --events--> proxy.py --those it lets through--> subscribers.py
        |                                                                          |
      pushes ------------------------> judge.py <------------------------------ records

judge.py        compares what a subscriber was told with what was pushed
proxy.py        cuts, stalls and half-closes connections, as its random numbers say
subscribers.py  `webmq.js` in Node.js and in Chromium, and the Python `Subscriber`
recorder.js     what both kinds of pages do with `webmq.js`
course.py       one hub, its subscribers and its pushers: restarts the hub and gathers the records
"""
