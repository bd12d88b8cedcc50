"""The last line of a failed command: what happened, what to do, and whether pushing again is safe."""

from __future__ import annotations

from ..errors import (
    AuthRejected,
    ClientClosed,
    ClockRejected,
    ConnectFailed,
    InvalidPush,
    NotAccepted,
    TooLarge,
    Unconfirmed,
    WebMQError,
)


class Failure(Exception):
    """Ends a command with exit status 1. The message is printed as one line."""


def described(error: WebMQError) -> str:
    """Return what happened, what to do if that is known, and whether pushing again helps or may duplicate it."""
    return "; ".join(filter(None, (str(error), _advice(error), _again(error))))


def is_safe(error: WebMQError) -> bool:
    """Return whether pushing again cannot create a duplicate, because the broker has not accepted the push."""
    return isinstance(error, NotAccepted | InvalidPush | ClientClosed)


def _advice(error: WebMQError) -> str:
    match error:
        case ClockRejected(skew=float(skew)) if abs(skew) >= 1:
            return f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the broker's"
        case ClockRejected(status=0) | TooLarge(status=0):  # the message says what to do
            return ""
        case ClockRejected():
            return "compare this machine's clock with the broker's"
        case AuthRejected():
            return "check --key and its secret"
        case TooLarge():
            return "push a shorter event, or start the hub with a larger --max-body"
        case ConnectFailed(retryable=True) if not str(error).endswith("?"):  # the message may ask something else
            return "does a hub listen there?"
    return ""


def _again(error: WebMQError) -> str:
    match error:
        case Unconfirmed():
            return "the broker may have accepted it: pushing again may duplicate it"
        case NotAccepted(retryable=True):
            return "not accepted, safe to push again"
        case NotAccepted():
            return "not accepted"
        case InvalidPush() | ClientClosed():
            return "nothing was sent"
    return ""
