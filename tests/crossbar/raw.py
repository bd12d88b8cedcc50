"""Sends requests to an HTTP bridge as bytes, signed by hand, which no client of this package would send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from webmqconnect_async._core.dialects import Response

PATIENCE = 10.0
JSON = ("Content-Type", "application/json")


def post(
    endpoint: str,
    body: bytes | object,
    query: str = "",
    *,
    method: str = "POST",
    headers: Sequence[tuple[str, str]] = (JSON,),
) -> Response:
    """Send one request over a connection of its own.

    Args:
        endpoint: an `http://` URL.
        body: bytes, or a value to encode as JSON.
        query: the query, without the `?`.
        method: the HTTP method.
        headers: in addition to Host and Content-Length.
    """
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = urlsplit(endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=PATIENCE)
    try:
        connection.putrequest(method, url.path + ("?" + query if query else ""), skip_accept_encoding=True)
        for name, value in (*headers, ("Content-Length", str(len(sent)))):
            connection.putheader(name, value)
        connection.endheaders(sent)
        answer = connection.getresponse()
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())
    finally:
        connection.close()


def signed(body: bytes, changed: Mapping[str, str | None], *, key: str, secret: str, late: float = 0.0) -> str:
    """Return the query of a signed request.

    Args:
        body: the bytes of the body.
        changed: parameters with wrong values, which are signed all the same; `None` leaves a parameter out.
        key: the application's key.
        secret: the application's secret.
        late: how many seconds ago it was signed.
    """
    when = datetime.now(UTC) - timedelta(seconds=late)
    timestamp = when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    fields: dict[str, str | None] = {"key": key, "timestamp": timestamp, "seq": "1", "nonce": "7", **changed}
    message = "".join(fields[name] or "" for name in ("key", "timestamp", "seq", "nonce")).encode() + body
    mac = hmac.digest(secret.encode(), message, hashlib.sha256)
    fields = {**fields, "signature": base64.urlsafe_b64encode(mac).decode(), **changed}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items() if value is not None)
