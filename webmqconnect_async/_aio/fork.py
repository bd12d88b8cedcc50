"""Mark the objects that a fork has copied, and keep them from being garbage-collected in the child."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Protocol


class Inheritable(Protocol):
    """An object with connections that a child process must not touch, since they are the parent's."""

    inherited: bool
    """Whether a fork has copied it."""


_here: weakref.WeakSet[Inheritable] = weakref.WeakSet()


def mark_after_fork(holder: Inheritable) -> None:
    """Mark the holder as inherited in each child that is forked while it lives."""
    _here.add(holder)


def _keep_inherited() -> None:
    """Keep copied objects alive until the process ends.

    Closing them would write to the parent's connections (TLS close_notify), and remove them from the epoll instance
    that parent and child share. The additional reference keeps CPython from finalizing them when the interpreter exits.
    """
    for holder in _here:
        holder.inherited = True
        if sys.implementation.name == "cpython":
            from ctypes import py_object, pythonapi

            pythonapi.Py_IncRef(py_object(holder))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)
