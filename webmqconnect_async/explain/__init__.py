"""Explain a signature: what is signed for a push, and which common mistake produces a wrong signature."""

from __future__ import annotations

from ._explanation import Explanation, explain
from ._signed_request import SignedRequest, signed_request

__all__ = ["Explanation", "SignedRequest", "explain", "signed_request"]
