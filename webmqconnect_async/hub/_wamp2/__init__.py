"""WAMP v2: messages, sessions, authentication."""
