"""Runs a module of this package in a process whose allocator has settled: `python -m benchmarks.settled MODULE ...`.

At first, glibc maps memory for each block above 128 KB. Once a mapped block has been freed, blocks up to its size come
from the heap. asyncio's receive buffers of 256 KB do not have this effect, because they shrink before they are freed. A
server frees a larger block within a minute of its start; a benchmark may not. Then mapping takes a tenth of the time of
a push, and only for some of the clients. `BENCHMARKS_FRESH=1` in the environment turns this off.
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
