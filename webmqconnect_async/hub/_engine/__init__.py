"""The engines of a hub: where events get their IDs, and from where they reach its subscribers.

`MemoryEngine` is that of a hub alone. `StreamEngine` connects hubs over a stream in Redis or Valkey.
"""
