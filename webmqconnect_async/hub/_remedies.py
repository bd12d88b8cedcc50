"""What would allow something that the hub refuses: an option of `webmqconnect hub`, or other advice. For the log."""

from __future__ import annotations

SIGN = "sign it with the key that --key names"
KEY = "use the key that --key names"
NO_KEY = "push without a key, or start the hub with --key"
SIGNATURE = "compare the secrets of both sides; `webmqconnect explain` shows what is signed"
CLOCK = "compare the clocks of both machines"
NEW_KEY = "use a new idempotency key for each event"
QUOTED_KEY = "send 1 to 255 visible ASCII characters in double quotes"
AUTHENTICATE = "authenticate with the key that --subscriber-key names"
NO_SUBSCRIBER_KEY = "--subscriber-key NAME"
TICKET = "use a ticket, signed with the key that --ticket-key names"
TICKET_KEY = "--ticket-key NAME"
PUBLIC = "--public TOPIC"
ALLOW_PUBLISH = "--allow-publish"


def larger_body(length: int, maximum: int) -> str:
    """Return the remedy for a body that is too long. Of a chunked one, only `maximum` bytes and one more were read."""
    return f"--max-body {max(length, 2 * maximum)}"


def longer_topic(length: int) -> str:
    """Return the remedy for a topic, or a prefix and its URI, that is too long."""
    return f"--max-topic {length}"


def more_subscriptions(maximum: int) -> str:
    """Return the remedy for a subscriber that has as many topics or prefixes as it may."""
    return f"--max-subscriptions {2 * maximum}"
