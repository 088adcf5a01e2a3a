"""`heteroakd storage`: one process opens a study's storage and serves it to many workers and readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from explorer.storage import proxy, storages
from explorer.study import SPEC_FILE, StudySpec


def serve(directory: Path, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the storage that a folder's study names, until the process is stopped.

    A folder without a study gets a journal; so does one whose study uses grpc://, which is this server.

    Raises:
        StudyError: another process has the journal, or the address cannot be listened on.
    """
    directory = directory.resolve()
    spec = StudySpec.load(directory / SPEC_FILE) if (directory / SPEC_FILE).exists() else StudySpec()
    if storages.locate(spec).startswith(proxy.SCHEME):
        spec = StudySpec()
    directory.mkdir(parents=True, exist_ok=True)
    with storages.owned(spec, directory):
        storage = storages.open_storage(spec, directory)
        proxy.check_free(host, port)
        say(f"serving {directory} at {proxy.SCHEME}{host}:{port}")
        proxy.run(storage, host=host, port=port)
