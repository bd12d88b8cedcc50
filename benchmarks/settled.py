"""Run a module of this package in a process whose allocator has settled: `python -m benchmarks.settled MODULE ...`.

At first, glibc maps memory for each block above 128 KB. Once it has freed a mapped block, it takes blocks up to that
size from the heap. asyncio's receive buffers of 256 KB have no such effect, because they shrink before they are freed.
A server has freed a larger block within a minute; a benchmark may not have. Then mapping costs a tenth of a push, and
only for some of the clients. `BENCHMARKS_FRESH=1` in the environment leaves the process as it is.
"""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    if os.environ.get("BENCHMARKS_FRESH") != "1":
        bytearray(1 << 20)
    del sys.argv[0]
    runpy.run_module(f"benchmarks.{sys.argv[0]}", run_name="__main__", alter_sys=True)
