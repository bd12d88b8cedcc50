"""What the error responses of brokers mean, and what to do about them. Pure.

The advice is part of the output of `webmqconnect explain`, which shows the expected request above it.
"""

from __future__ import annotations

import re

_SIGNATURES = re.compile(r"invalid request signature \(expected (\S+), got (\S+)\)")


def quoted_signatures(response: str) -> tuple[str, str] | None:
    """Return the expected and the received signature if the response quotes both, as the original WebMQ hub does."""
    found = _SIGNATURES.search(response)
    return None if found is None else (found[1], found[2])


def advice_on(response: str) -> str | None:
    """Return what an error response means and what to do; `None` if the response is unknown."""
    text = " ".join(response.split())
    for pattern, advice in _ADVICE.items():
        if found := re.search(pattern, text):
            return advice.format(*found.groups())
    return None


_CLOCKS = (
    "Either the clock of this machine or of the broker is wrong, or the request was delayed: compare both clocks with "
    "a time server, and sign right before sending."
)
_WRONG_KEY = "Keys are compared exactly, including case and whitespace: look it up in the broker's configuration."
_WRONG_SIGNATURE = (
    "The broker computed another signature for the request that it received. Either it has another secret for this "
    "key, or what was signed is not what was sent: compare the parts above with those that your program signs, or pass "
    "the request with --query."
)

_ADVICE = {
    # WebMQ hubs
    r"timestamp expired \(delta (\d+) seconds\)": (
        f"The broker received the request {{0}} seconds before or after its timestamp; at most 300 are allowed. "
        f"{_CLOCKS}"
    ),
    r"invalid timestamp '(.*?)'(?: \(|$)": (
        "The timestamp {0!r} does not have the broker's format. It must be UTC: for a WebMQ hub like "
        "2011-10-14T16:59:51Z, for Crossbar.io with a fraction like 2011-10-14T16:59:51.123Z."
    ),
    r"unknown application key '(.*)'": f"The broker does not have the key {{0!r}}. {_WRONG_KEY}",
    r"invalid request signature": _WRONG_SIGNATURE,
    r"either all or none of parameters": (
        "One or two of appkey, timestamp and signature are missing or empty. Send all three, or none for an unsigned "
        "push."
    ),
    r"bad or missing content type \('(.*)'": (
        "The Content-Type was {0!r}. It must be exactly application/x-www-form-urlencoded, without a charset, although "
        "the body is JSON."
    ),
    r"content length \((\d+)\) exceeds maximum \((\d+)\)": (
        "The body has {0} bytes; the hub accepts at most {1}. Push a shorter event, or start the hub with a larger "
        "--max-body."
    ),
    r"topic length \((\d+)\) exceeds maximum \((\d+)\)": "The topic has {0} characters; the hub accepts at most {1}.",
    r"missing query parameter 'topic'": (
        "This is a WebMQ hub of November 2013 or later, which expects the parameter topic instead of topicuri. This "
        "package cannot push to it."
    ),
    r"missing query parameter '([^']*)'": (
        "The query has no {0}. A WebMQ hub expects the topic there. For Crossbar.io, use --dialect crossbar and the "
        "path of its publisher."
    ),
    r"denied by post rule": (
        "The signature is correct, or the push is unsigned. But no rule of the hub allows pushes to this topic with "
        "this key (or unsigned), or from this network."
    ),
    r"this hub takes signed pushes only": "The push was not signed. Use a key and its secret.",
    r"query parameter '([^']*)' given twice": (
        "The query has {0} twice. Brokers differ in which one they use: send it once."
    ),
    r"query parameter '([^']*)' is not UTF-8": "Encode {0} as UTF-8 before percent-encoding it.",
    r"invalid JSON in request body": "The body is empty, not JSON, or not UTF-8. The signature is not the cause.",
    r"HTTP/\w+ not allowed|not allowed, only POST, PUT": "The request must be a POST.",
    # The hub of this package
    r"host '(.*)' not allowed": (
        "The hub does not serve the host name {0!r}. Start it with --allow-host HOST, without a port, or push to a "
        "name or address that it serves."
    ),
    r"origin '(.*)' may not push": (
        "Web pages from {0!r} may not push. To allow them, start the hub with --allow-origin URL. A client that is not "
        "a web page should not send Origin."
    ),
    r"HTTP/1\.0 or HTTP/1\.1 is expected here": "The request has another version of HTTP. Send it as HTTP/1.1.",
    r"the request is incomplete or malformed": (
        "The request is not valid HTTP, or its body is incomplete. Compare the request line and the headers with those "
        "above, and Content-Length with the number of bytes sent."
    ),
    r"the body did not arrive in time": (
        "The hub waits at most 10 seconds for a body. Send as many bytes as Content-Length says, without pauses. A "
        "proxy may delay them."
    ),
    # The last two are of aiohttp, whose HTTP server the hub uses.
    r"(?:target is|header is|headers are) longer than|more than \d+ headers|Got more than \d+ bytes|Too many headers": (
        "The server limits the length of the request line and of headers. Use fewer session IDs in eligible and "
        "exclude, and fewer or shorter headers."
    ),
    r"header Idempotency-Key (?:is malformed|given twice)": (
        'Send the header once, with 1 to 255 visible ASCII characters in quotation marks: Idempotency-Key: "order-17".'
    ),
    r"Idempotency-Key was used with another event": (
        "A push with this key was accepted in the last 300 seconds, and this one differs from it. Use a new key for "
        "each event, and repeat a push unchanged."
    ),
    r"internal server error": "The hub, or its hook for pushes, failed on this request. Its log has the reason.",
    # Crossbar.io's dialect at that hub. Crossbar.io itself responds with a 500 without a reason.
    r"the topic is not a URI": (
        "The topic is not a valid WAMP URI: components between dots must be non-empty, without whitespace or '#'."
    ),
    r"(args is not a list|\w+ is not an object)": (
        "The body has the wrong structure: {0}. args must be a list, kwargs and options must be objects; all three are "
        "optional."
    ),
    r"a keyword is named '(\w+)'": "The bridge uses the name {0} itself: rename that keyword argument.",
    r"(option '\w+' must be (?:a list of [\w, ]+|true or false))": (
        "The bridge does not accept this option: {0}. Session IDs are integers there."
    ),
    r"parameter'?s? .*is not ASCII": "The names of query parameters, timestamp, seq and nonce must be ASCII.",
    # Crossbar.io
    r"Request expired, too old timestamp": f"The timestamp is more than 300 seconds off. {_CLOCKS}",
    r"REST bridge signature key not valid": f"The publisher does not have the key. {_WRONG_KEY}",
    r"REST bridge signature secret not valid": _WRONG_SIGNATURE,
    r"missing mandatory field - (?:signed request required, but mandatory )?'(\w+)'": (
        "The query has no {0}. This publisher requires key, timestamp, seq, nonce and signature."
    ),
    r"REST bridge signature was invalid": "seq or nonce is not an integer.",
    r"Request denied based on IP address": "The publisher accepts requests from certain networks only (require_ip).",
    r"Malformed request to the REST bridge": "The publisher accepts https only (require_tls).",
    r"Non-accepted content type": "The Content-Type must be application/json.",
    r"Non-accepted request encoding": "The charset in Content-Type must be utf-8, without quotes. Leave it out.",
    r"Request too long\. \((\d+) is longer than accepted (\d+)\)": (
        "The body has {0} bytes; the publisher accepts at most {1}. Push a shorter event, or raise post_body_limit of "
        "the publisher."
    ),
    r"Non-decodable request body": "The body is not UTF-8.",
    r"Request body was (?:in)?valid JSON": (
        "The body must be a JSON object that contains the topic, as above. For a WebMQ hub, use --dialect webmq."
    ),
    r"wamp\.error\.not_authorized": (
        "The role of the publisher may not publish to this topic. Add the permission to Crossbar.io's configuration."
    ),
    r"wamp\.error\.invalid_uri": "The router does not accept this topic. Topics that begin with wamp. are reserved.",
    r"Unhandled exception in Crossbar": (
        "The bridge failed on this request. Possible causes: the topic is not a WAMP URI, session IDs are not "
        "integers, or options or kwargs are not objects."
    ),
    # Proxies and other servers
    r"(?i)<html": "Brokers do not send HTML. This response comes from a proxy, or from another server or path.",
    r"(?i)\b404:? not found\b|^not found$": (
        "Pushes are not accepted at this path. A hub accepts them at /, and those in Crossbar.io's dialect at /publish."
    ),
}
"""Advice by a pattern of the response. The first pattern found is used; its groups fill the placeholders."""
