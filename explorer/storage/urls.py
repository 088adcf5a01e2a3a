"""Files as URLs of a database or of MLflow, whatever their names hold: `?`, `#`, `%`, spaces, braces."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_FILE = "file:"


def sqlite(path: Path) -> str:
    """The URL of a database's file, absolute. Versions of SQLAlchemy differ in what they escape, and Optuna takes
    braces for a template's: where the plain URL would not lead back, the file is named by a URI of its own in it.
    """
    plain = URL.create("sqlite", database=str(path)).render_as_string()
    if make_url(plain).database == str(path) and not {*"{}"} & {*plain}:
        return plain
    return URL.create("sqlite", database=path.as_uri(), query={"uri": "true"}).render_as_string()


def sqlite_file(url: str) -> str | None:
    """The path that a URL of SQLite names, as it is written; None: none of SQLite, in memory, or not a path."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        return None
    if found.get_backend_name() != "sqlite" or "uri" in found.query:
        return None
    return None if found.database in (None, "", ":memory:") else found.database


def absolute(url: str) -> str:
    """A URL that means the same from any folder: files of SQLite, and those of `file:`, by their whole path."""
    if (name := sqlite_file(url)) is not None:
        query = make_url(url).query
        whole = sqlite(_whole(name))
        return make_url(whole).update_query_dict(query).render_as_string() if query else whole
    if url.startswith(_FILE):
        path = url.removeprefix(_FILE)
        return _whole(unquote(path.removeprefix("//"))).as_uri()
    return url


def _whole(path: str) -> Path:
    return Path(path).expanduser().resolve()
