"""Files that appear whole or not at all, whatever ends the process, the disk or the power."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

from trainables.errors import ConfigError, Interrupted

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP}  # some network file systems
_THEN = ContextVar("then", default="`heteroakd resume` (or the same command again)")


def write(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a file beside `path`, flush it to disk and rename it; the folder is made if need be.

    Raises:
        Interrupted: the disk is full or cannot be written. What was at `path` is still there, whole.
    """
    with interrupting(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(part_of(path.name))
        try:
            fill(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """As `write`, in UTF-8; a lone surrogate, which is no text of any file, becomes `?`."""
    write(path, lambda part: part.write_bytes(text.encode("utf-8", "replace")))


def check_folder(path: Path) -> None:
    """Before minutes of work: whether files can be written in a folder, which need not be there yet.

    Raises:
        ConfigError: it is, or would be in, a file, or in a folder that may not be written.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    it = "it" if there == path else str(there)
    if not there.is_dir():
        raise ConfigError(f"{path} must be a folder, but {it} is a file. Give another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{path} must be writable, but {it} is not. Make it so, or give another place.")


def check_file(path: Path) -> None:
    """As `check_folder`, of a file that may be replaced.

    Raises:
        ConfigError: it is a folder, or no file can be written there.
    """
    if path.is_dir():
        raise ConfigError(f"{path} must be a file, but it is a folder. Give a file's name in it.")
    check_folder(path.parent)


def part_of(name: str) -> str:
    """A name for the unfinished file, that no other process uses."""
    return f".{name}.part-{uuid4().hex[:12]}"


def is_part(name: str) -> bool:
    """Whether a name is one of `part_of`: what a killed process leaves."""
    return name.startswith(".") and ".part-" in name


@contextmanager
def interrupting(where: object, *, missing: bool = False) -> Iterator[None]:
    """What goes wrong with the disk in here is no fault of the trial.

    Args:
        where: named in the sentence; a file, a folder or a URI without a password.
        missing: let FileNotFoundError through, which is an answer and no interruption.

    Raises:
        Interrupted: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError):
            raise
        reason = error.strerror or str(error)
        then = _THEN.get()
        if error.errno in _FULL:
            raise Interrupted(f"The disk of {where} is full ({reason}). Free space, then {then}.") from None
        raise Interrupted(f"{where} cannot be used ({reason}). Make it reachable and writable, then {then}.") from None


@contextmanager
def outside_a_sweep() -> Iterator[None]:
    """What is interrupted in here is no sweep: the remedy is the same command again, and nothing can be resumed."""
    before = _THEN.set("run the same command again")
    try:
        yield
    finally:
        _THEN.reset(before)


def _sync_folder(directory: Path) -> None:
    """Without it a loss of power may undo the rename."""
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(folder)
