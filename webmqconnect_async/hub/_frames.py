"""WebSocket text frames as a server sends them. Knows neither what the text says nor who gets it."""

from __future__ import annotations

from struct import pack

__all__ = ["text_frame"]

_FINAL_TEXT = 0x81


def text_frame(text: str) -> bytes:
    """Return the text as one whole frame.

    RFC 6455, 5.1: "A server MUST NOT mask any frames". So the frame is the same for every subscriber: it is made once,
    all their queues hold the same object, and any number of frames may be joined into one write.
    """
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return pack("!BB", _FINAL_TEXT, size) + payload
    if size < 1 << 16:
        return pack("!BBH", _FINAL_TEXT, 126, size) + payload
    return pack("!BBQ", _FINAL_TEXT, 127, size) + payload
