"""WAMP v1: messages, sessions, authentication."""
