"""WAMP v1, as the WebMQ hub of 2012 speaks it with subscribers."""
