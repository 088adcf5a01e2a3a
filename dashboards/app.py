"""The live dashboard: a server of pages that follow their studies. See dashboards/live."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from dash import Dash
from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dashboards.live import callbacks, guard, layout
from dashboards.live.source import Source

_ASSETS = Path(__file__).parent / "live" / "assets"


class _Handler(WSGIRequestHandler):
    """Does not print every request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def build(source: Source, *, host: str = "127.0.0.1", every_s: float = 2.0) -> Flask:
    """The application: its page, its scripts and styles, all from here, and the rules for who may ask.

    Args:
        source: the studies.
        host: the address it will listen on.
        every_s: seconds between two questions of a page whether anything is new.
    """
    app = Dash(
        "heteroakd",
        title="HeteroAKD Explorer",
        update_title="",
        assets_folder=str(_ASSETS),
        index_string=layout.INDEX,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        serve_locally=True,
        add_log_handler=False,
        include_pages_meta=False,
        use_pages=False,
    )
    app.layout = lambda: layout.page(tuple(source.names()), every_s=every_s)
    callbacks.connect(app, source)
    guard.protect(app.server, host=host, hashes=app.csp_hashes())
    return app.server


def server(source: Source, *, host: str, port: int, every_s: float = 2.0) -> BaseWSGIServer:
    """A server that listens already; `serve_forever()` answers, `shutdown()` ends that.

    Raises:
        OSError: the address is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as bound:  # werkzeug's own way ends the process
        page = build(source, host=host, every_s=every_s)
        return make_server(host, port, page, threaded=True, request_handler=_Handler, fd=bound.fileno())


def serve(source: Source, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Answer until the process is interrupted.

    Raises:
        OSError: see `server`.
    """
    listening = server(source, host=host, port=port)
    say(f"http://{f'[{host}]' if ':' in host else host}:{listening.port}")
    try:
        listening.serve_forever()
    finally:
        listening.server_close()
