"""What brokers refuse a push with, and what is to be done about it. Pure; knows nothing of the push."""

from __future__ import annotations

import re

__all__ = ["advice_on", "signatures_in"]

_SIGNATURES = re.compile(r"invalid request signature \(expected (\S+), got (\S+)\)")


def signatures_in(refusal: str) -> tuple[str, str] | None:
    """Return the signature that a hub of old expected and the one that it got; None where it does not say."""
    found = _SIGNATURES.search(refusal)
    return None if found is None else (found[1], found[2])


def advice_on(refusal: str) -> str | None:
    """Return what a broker's answer means and what to do; None where it is no known one."""
    text = " ".join(refusal.split())
    for pattern, advice in _ADVICE.items():
        if found := re.search(pattern, text):
            return advice.format(*found.groups())
    return None


_CLOCKS = (
    "The clock of this machine or of the broker is off, unless the request lay around that long: compare both with a "
    "time server, and sign right before sending."
)
_OTHER_SIGNATURE = (
    "The broker computed another signature for what it got: it has another secret for this key, or what was signed is "
    "not what was sent. Compare the parts shown here with what your program signs, or give its --query."
)

_ADVICE = {
    # A WebMQ hub
    r"timestamp expired \(delta (\d+) seconds\)": (
        f"The request was read {{0}} seconds before or after its timestamp; 300 are allowed. {_CLOCKS}"
    ),
    r"invalid timestamp '(.*?)'(?: \(|$)": (
        "The timestamp {0!r} is not of the broker's form: UTC, for a WebMQ hub as 2011-10-14T16:59:51Z, for "
        "Crossbar.io with a fraction, as 2011-10-14T16:59:51.123Z."
    ),
    r"unknown application key '(.*)'": (
        "The broker does not know the key {0!r}. Case counts, and so do blanks: compare it with the broker's settings."
    ),
    r"invalid request signature": _OTHER_SIGNATURE,
    r"either all or none of parameters": (
        "One or two of appkey, timestamp and signature are missing, or empty, which is the same. Send all of them, or "
        "none for an unsigned push."
    ),
    r"bad or missing content type \('(.*)'": (
        "The Content-Type was {0!r}. It must be application/x-www-form-urlencoded byte for byte, without a charset, "
        "though the body is JSON."
    ),
    r"content length \((\d+)\) exceeds maximum \((\d+)\)": (
        "The body has {0} bytes, and the hub takes {1}. Push a shorter event, or raise the limit (hub --max-body)."
    ),
    r"topic length \((\d+)\) exceeds maximum \((\d+)\)": "The topic has {0} characters, and the hub takes {1}.",
    r"missing query parameter 'topic'": (
        "This is a hub of November 2013 or later, whose parameter is topic and not topicuri. This package cannot push "
        "to it."
    ),
    r"missing query parameter '([^']*)'": (
        "The query has no {0}. If the broker is a WebMQ hub, the topic belongs there; if it is Crossbar.io, give "
        "--dialect crossbar and the path of its publisher."
    ),
    r"denied by post rule": (
        "The signature is right, or there is none. But no rule of the hub allows this topic to this key, from this "
        "network, or unsigned."
    ),
    r"this hub takes signed pushes only": "The push was not signed. Give a key and its secret.",
    r"query parameter '([^']*)' given twice": (
        "The query has {0} twice. Brokers disagree on which counts: send it once."
    ),
    r"query parameter '([^']*)' is not UTF-8": "Encode {0} as UTF-8 before it is percent-encoded.",
    r"invalid JSON in request body": (
        "The body is empty, not JSON, or not UTF-8. It is not the signature that is wrong."
    ),
    r"HTTP/(\w+) not allowed": "The request was a {0}. It must be a POST.",
    # This package's hub
    r"host '(.*)' not allowed": (
        "The hub does not go by the name {0!r}. Start it with --allow-host HOST, the name without a port, or push to a "
        "name or address that it goes by."
    ),
    r"origin '(.*)' may not push": (
        "Pages of {0!r} may not push. Start the hub with --allow-origin URL, if they may; what is no page sends no "
        "Origin."
    ),
    r"HTTP/1\.0 or HTTP/1\.1 is expected here": "The request was of another version of HTTP. Send it as HTTP/1.1.",
    r"the request broke off or is malformed": (
        "The request is not valid HTTP, or its body did not arrive whole. Compare the request line and the headers "
        "with those shown here, and Content-Length with the bytes that are sent."
    ),
    r"the body came too slowly": (
        "The hub waits 10 seconds for a body. Send as many bytes as Content-Length says, and at once; a proxy may hold "
        "them back."
    ),
    r"request target is longer than (\d+) bytes": (
        "The path and the query have more than {0} bytes. Name fewer session IDs in eligible and exclude."
    ),
    r"a header is longer than (\d+) bytes": "A header has more than {0} bytes. Send a shorter one.",
    r"the request has more than (\d+) headers": "The request has more than {0} headers. Send fewer.",
    r"internal server error": (
        "The hub, or what decides there over pushes, broke over the request. The log of the hub says why."
    ),
    # Crossbar.io, as that hub has it: there it is a 500 that says nothing
    r"the topic is no URI": (
        "The topic is no URI to a router: words with dots between them, none of them empty, without blanks and #."
    ),
    r"(args is not a list|\w+ is not an object)": (
        "The body has the wrong form: {0}. Where they are there, args must be a list, and kwargs and options must be "
        "objects."
    ),
    r"a keyword is named '(\w+)'": "The bridge has {0} for itself: give that keyword argument another name.",
    r"(option '\w+' is (?:not a list of [\w, ]+|neither true nor false))": (
        "The bridge takes no such option: {0}. Session IDs are integers there."
    ),
    r"parameter'?s? .*is not ASCII": (
        "In the query the names of parameters, and timestamp, seq and nonce, must be ASCII."
    ),
    # Crossbar.io
    r"Request expired, too old timestamp": f"The timestamp is more than 300 seconds off. {_CLOCKS}",
    r"REST bridge signature key not valid": (
        "The publisher does not know the key. Case counts, and so do blanks: compare it with the publisher's "
        "options.key."
    ),
    r"REST bridge signature secret not valid": _OTHER_SIGNATURE,
    r"missing mandatory field - (?:signed request required, but mandatory )?'(\w+)'": (
        "The query has no {0}. This publisher needs key, timestamp, seq, nonce and signature."
    ),
    r"REST bridge signature was invalid": "seq or nonce is no integer.",
    r"Request denied based on IP address": "The publisher takes requests from certain networks alone (require_ip).",
    r"Malformed request to the REST bridge": "The publisher takes https alone (require_tls).",
    r"Non-accepted content type": "The Content-Type must be application/json.",
    r"Non-accepted request encoding": "The charset in Content-Type must be utf-8, without quotes. Leave it out.",
    r"Request too long\. \((\d+) is longer than accepted (\d+)\)": (
        "The body has {0} bytes, and the publisher takes {1}. Push a shorter event, or raise its post_body_limit."
    ),
    r"Non-decodable request body": "The body is not UTF-8.",
    r"Request body was (?:in)?valid JSON": (
        "The body must be a JSON object that holds the topic, as shown here. For a WebMQ hub, give --dialect webmq."
    ),
    r"wamp\.error\.not_authorized": "The publisher's role may not publish to this topic: give it the permission.",
    r"wamp\.error\.invalid_uri": "The router takes no such topic; what begins with wamp. is its own.",
    r"Unhandled exception in Crossbar": (
        "The bridge broke over the request: over a topic that is no URI to it, session IDs that are no integers, or "
        "options or kwargs that are no objects."
    ),
    r"not allowed, only POST, PUT": "The request must be a POST.",
    # aiohttp's server, in front of a hub or around one
    r"Got more than (\d+) bytes when reading": (
        "The request line or a header is longer than the {0} bytes that this server takes. Name fewer session IDs in "
        "eligible and exclude."
    ),
    r"Too many headers received": "The request has more headers than this server takes. Send fewer.",
    # Whoever answers before a broker does
    r"(?i)<html": "That is a page, and no answer of a broker: of a proxy, or of another server or path.",
    r"(?i)\b404:? not found\b|^not found$": (
        "Nothing takes pushes there: give another path. A hub takes them at /, and those of Crossbar.io's dialect at "
        "/publish."
    ),
}
"""The first pattern found says it; its groups fill the blanks."""
