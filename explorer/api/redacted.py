"""No password in an exception that leaves the door: a notebook keeps what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from explorer.redact import holds_password, redact
from trainables.errors import HeteroakdError


@contextmanager
def redacted() -> Iterator[None]:
    """As a decorator or a context: errors of ours are raised without the passwords in their URLs."""
    try:
        yield
    except HeteroakdError as error:
        if not holds_password(str(error)):
            raise
        raise type(error)(redact(str(error))) from None
