"""What stands between the page and the network: who may ask, what the browser may load, and how much is sent."""

from __future__ import annotations

import gzip
import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache

from flask import Flask, Response, abort, request

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SMALL = 8192  # bytes that are not worth compressing
_TEXT = ("application/json", "text/", "application/javascript")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy(hashes: Sequence[str]) -> str:
    """The Content-Security-Policy: nothing from elsewhere, no inline script but those with these hashes.

    plotly's graphics-card figures compile their shaders' callers with eval.
    """
    scripts = " ".join(["'self'", "'unsafe-eval'", *hashes])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def protect(server: Flask, *, host: str, hashes: Sequence[str]) -> None:
    """Put the rules on a server.

    Args:
        host: the address it listens on.
        hashes: of the inline scripts of its page.
    """
    rules = _HEADERS | {"Content-Security-Policy": policy(hashes)}

    @server.before_request
    def _known() -> None:
        if not allowed(request.host, host=host):
            abort(421, "This dashboard does not answer to that name. Open it by its address.")

    @server.after_request
    def _dressed(response: Response) -> Response:
        response.headers.update(rules)
        return _compressed(response)


def allowed(asked: str, *, host: str) -> bool:
    """Whether a request names this machine in its Host header, so that no other page's DNS can lead here.

    Args:
        asked: the header.
        host: the address that is listened on; on loopback only loopback's names are known, elsewhere any address, and
            the machine's own names.
    """
    name = asked.rsplit(":", 1)[0] if asked.count(":") == 1 or "]:" in asked else asked
    name = name.strip("[]").lower()
    if name in _LOCAL or name == host.lower():
        return True
    return not is_loopback(host) and (_is_address(name) or name in _own_names())


def is_loopback(host: str) -> bool:
    """Whether an address, or localhost, is reached from this machine alone."""
    return host in _LOCAL or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1)
def _own_names() -> frozenset[str]:
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


def _compressed(response: Response) -> Response:
    if (
        response.status_code != 200
        or (request.remote_addr or "") in _LOCAL  # there, compressing takes longer than sending
        or "gzip" not in request.headers.get("Accept-Encoding", "")
        or "Content-Encoding" in response.headers
        or not (response.mimetype or "").startswith(_TEXT)
    ):
        return response
    response.direct_passthrough = False
    data = response.get_data()
    if len(data) < _SMALL:
        return response
    library = request.method == "GET"  # the same for everybody: worth its time, once
    response.set_data(_library(data) if library else gzip.compress(data, 1))
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


@lru_cache(maxsize=64)
def _library(data: bytes) -> bytes:
    return gzip.compress(data, 6)
