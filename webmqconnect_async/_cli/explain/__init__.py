"""The command `webmqconnect explain`: what is signed for a push, and why a broker refuses it."""
