"""WebSocket frames, as a server sends them."""

from __future__ import annotations

from struct import pack

_FINAL_TEXT = 0x81
_PONG = 0x8A


def text_frame(text: str) -> bytes:
    """Return the text as one unfragmented frame.

    RFC 6455, 5.1: "A server MUST NOT mask any frames that it sends to the client". So the frame is the same for every
    subscriber: it is built once, all send queues share it, and several frames can be joined into one write.
    """
    payload = text.encode()
    size = len(payload)
    # RFC 6455, 5.2: the length in 7 bits, or 126 and the length in 16 bits, or 127 and the length in 64 bits.
    if size < 126:
        return pack("!BB", _FINAL_TEXT, size) + payload
    if size < 1 << 16:
        return pack("!BBH", _FINAL_TEXT, 126, size) + payload
    return pack("!BBQ", _FINAL_TEXT, 127, size) + payload


def pong_frame(payload: bytes) -> bytes:
    """Return the response to a ping, with the same payload of at most 125 bytes (RFC 6455, 5.5)."""
    return pack("!BB", _PONG, len(payload)) + payload
