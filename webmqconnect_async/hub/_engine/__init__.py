"""The engines of a hub, which give events their IDs and pass them to the broker.

`MemoryEngine` is for a single hub. `StreamEngine` connects several hubs by a stream in Redis or Valkey.
"""
