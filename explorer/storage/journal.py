"""The journal file, made safe against its writers' deaths.

Optuna (5.0) tolerates a half-written last line only while it is the last: the next append is glued to it, and from then
on every reader raises. A writer dies so by `kill -9`, a lost node or a full disk. Hence:

    Journal.append_logs    cuts a torn line before it appends, and its own when the write fails
    repair                 the same for a file that other writers have left, glued lines included
    unlock                 removes the lock that a dead writer still seems to hold (Optuna waits 30 s)

The lock is Optuna's default, a symbolic link: creating one is atomic on every local file system and on NFS from version
2 on, where JournalFileOpenLock needs version 3. Its path must be absolute, or the link dangles and a dead writer's lock
is never released. Journals on object stores or on NFS mounted `nolock,soft` are not supported: use PostgreSQL.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from explorer.storage.lock import exclusive
from trainables.errors import StudyError
from trainables.kept import atomic

_BLOCK = 4096  # bytes
_LOCK_HELD_S = 1.0  # a living writer holds the lock for milliseconds


class Journal(JournalFileBackend):
    """Optuna's journal file; the format is unchanged, so anything that reads one reads this."""

    def __init__(self, path: Path) -> None:
        """Args:
        path: made absolute, see above; the file is created if there is none.
        """
        self._path = path.resolve()
        self._grouped = self._unsynced = False
        self._link = JournalFileSymlinkLock(str(self._path))
        super().__init__(str(self._path), lock_obj=self._link)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines or nothing.

        Raises:
            OSError: no space, or no such folder any more; the file is as it was.
        """
        data = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with _held(self._link), self._path.open("a+b", buffering=0) as file:
            end = _cut_torn(file)
            try:
                _write(file, data)
                if not self._grouped:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        self._unsynced = self._grouped

    @contextmanager
    def one_sync(self) -> Iterator[None]:
        """What is appended inside reaches the disk together at the end, by one fsync instead of one each.

        The order of lines is kept, so a power cut loses a tail, never a middle; a killed process loses nothing. Not for
        several threads.
        """
        self._grouped = True
        try:
            yield
        finally:
            self._grouped = False
            if self._unsynced:
                self._unsynced = False
                with self._path.open("rb") as file:
                    os.fsync(file.fileno())


def repair(path: Path) -> int:
    """Make a journal readable and appendable again after a writer died in a line; for its sole writer.

    A torn last line was never acknowledged to anybody and is cut. A line to which another writer has since glued its
    own loses only the torn part.

    Returns:
        Bytes taken out; 0 for a whole journal.

    Raises:
        StudyError: a line in the middle is damaged otherwise, so that cutting it would falsify trials.
    """
    with path.open("rb") as file:
        lines = list(file)
    kept = [_whole_part(line) for line in lines]
    while kept and kept[-1] is None:
        kept.pop()
    if None in kept:
        raise StudyError(
            f"{path} is damaged at line {kept.index(None) + 1}, which no killed writer does. Restore it from a copy."
        )
    whole = b"".join(line for line in kept if line is not None)
    lost = path.stat().st_size - len(whole)
    if whole == b"".join(lines[: len(kept)]):
        if lost:
            os.truncate(path, len(whole))
    else:
        atomic.write(path, lambda part: part.write_bytes(whole))
    return lost


def unlock(path: Path) -> bool:
    """Remove a dead writer's lock, and what its release left behind. True if there was one.

    Waits a second for a lock that is there: a living writer lets go of it in milliseconds.
    """
    for left in path.parent.glob(f"{path.name}.lock*.rename"):
        left.unlink(missing_ok=True)
    lock = path.with_name(path.name + ".lock")
    seen = _identity(lock)
    until = time.monotonic() + _LOCK_HELD_S
    while seen is not None and time.monotonic() < until:
        time.sleep(0.02)
        if _identity(lock) != seen:
            return False
    lock.unlink(missing_ok=True)
    return seen is not None


def sole_owner(path: Path) -> AbstractContextManager[None]:
    """One process at a time drives or serves a journal; readers need not ask.

    Raises:
        StudyError: another process does.
    """
    return exclusive(
        path.with_name(f".{path.name}.owner"),
        taken=f"Another process has {path}. If that is `heteroakd storage`, reach it through that: "
        "--storage grpc://HOST:PORT.",
    )


@contextmanager
def _held(lock: JournalFileSymlinkLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _cut_torn(file: FileIO) -> int:
    """Cut a last line without its newline. Returns the file's length, bytes."""
    size = end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK) if end < size else end - 1  # nearly always the last byte says all
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        file.truncate(end)
    return end


def _write(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _whole_part(line: bytes) -> bytes | None:
    """The record that a line holds whole: all of it, or what was glued to a torn one; None if there is none."""
    if not line.endswith(b"\n"):
        return None
    if _is_record(line):
        return line
    glued = line[max(0, line.rfind(b'{"op_code":')) :]
    return glued if _is_record(glued) else None


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "op_code" in record


def _identity(lock: Path) -> tuple[int, int] | None:
    try:
        told = lock.lstat()
    except FileNotFoundError:
        return None
    return told.st_ino, told.st_mtime_ns
