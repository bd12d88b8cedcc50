"""WAMP v2, the broker's side, for subscribers."""
