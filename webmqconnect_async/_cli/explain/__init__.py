"""The command `webmqconnect explain`: what is signed of a push, and why a broker refuses it."""
