"""Explain a signature: what is signed of a push, and which common mistake produces a wrong signature.

Neither the clients nor the hub import this package.
"""

from __future__ import annotations

from ._explanation import Explanation, explain
from ._signed_request import SignedRequest, signed_request

__all__ = ["Explanation", "SignedRequest", "explain", "signed_request"]
