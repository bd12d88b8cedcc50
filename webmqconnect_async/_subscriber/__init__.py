"""A WAMP subscriber over aiohttp, for the commands `listen` and `demo`, for tests and for benchmarks."""
