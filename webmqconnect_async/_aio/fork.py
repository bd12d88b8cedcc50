"""What a fork has copied: the child marks it, and keeps it for ever. Knows nothing of what it is."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Protocol

__all__ = ["mark_after_fork"]


class Inheritable(Protocol):
    """What has connections that a child must leave to its parent."""

    inherited: bool
    """Whether a fork has copied it."""


_here: weakref.WeakSet[Inheritable] = weakref.WeakSet()


def mark_after_fork(holder: Inheritable) -> None:
    """Have the holder marked as inherited in each child that is forked while it lives."""
    _here.add(holder)


def _keep_inherited() -> None:
    """Keep what a fork has copied, even beyond the interpreter's end.

    Whoever closes it says goodbye to the broker on the parent's connections, and takes them out of the epoll that
    parent and child share; and the interpreter, ending, closes all that it can still reach.
    """
    for holder in _here:
        holder.inherited = True
        if sys.implementation.name == "cpython":
            from ctypes import py_object, pythonapi

            pythonapi.Py_IncRef(py_object(holder))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)
