"""Where a trial keeps its files: a folder here, or one at a URI (`bucket.py`), behind the same four calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from trainables.errors import CheckpointError, StudyError
from trainables.kept import atomic


@runtime_checkable
class Store(Protocol):
    """One trial's folder, of whole files by name. As text, it is the place, fit to be shown."""

    def names(self) -> list[str]:
        """Names of the files, unfinished ones included; none where there is no folder."""

    def read(self, name: str) -> AbstractContextManager[Path]:
        """The file on this machine's disk, as long as the context lasts.

        Raises:
            FileNotFoundError: there is none.
            Interrupted: whether there is one cannot be told now.
        """

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """Put the file that `fill` writes in place of `name`, as a whole.

        Raises:
            Interrupted: the disk is full, or the storage cannot be reached. The file that was there is still whole.
        """

    def remove(self, name: str) -> None:
        """Remove a file if it is there; one that cannot be removed now is left, for it does no harm."""

    def address(self) -> tuple[str, str]:
        """What `open_store` makes this store of, in another process too."""

    def inside(self, name: str) -> Store:
        """A folder in this one, which need not be there yet."""


class Folder:
    """On this machine's disk, or on one that is mounted here, such as NFS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        with atomic.interrupting(self), suppress(FileNotFoundError):
            return [path.name for path in self.directory.iterdir()]
        return []

    def read(self, name: str) -> AbstractContextManager[Path]:
        path = self.directory / name
        with atomic.interrupting(self, missing=True):
            path.stat()
        return nullcontext(path)

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        atomic.write(self.directory / name, fill)

    def remove(self, name: str) -> None:
        with suppress(OSError):
            (self.directory / name).unlink()

    def address(self) -> tuple[str, str]:
        whole = self.directory.absolute()
        return str(whole.parent), whole.name

    def inside(self, name: str) -> Folder:
        return Folder(self.directory / name)

    def __str__(self) -> str:
        return str(self.directory)


def at(place: Path | Store) -> Store:
    """The store of a folder, or the store itself."""
    return Folder(place) if isinstance(place, Path) else place


def open_store(root: Path | str, directory: str) -> Store:
    """The folder of a trial.

    Args:
        root: where all trials' folders are: a path, or a URI with pyarrow's options in its query, such as
            `s3://bucket/prefix?region=eu-west-1` or `...?endpoint_override=host:9000&scheme=http`.
        directory: relative to it.

    Raises:
        CheckpointError: the directory would leave the root.
        StudyError: pyarrow does not know such a URI.
        Interrupted: the storage cannot be reached.
    """
    inside = PurePosixPath(directory)
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise CheckpointError(f"A trial's directory must be relative and without '..', got {directory!r}.")
    if not is_uri(root):
        return Folder(Path(root) / inside)
    from trainables.kept.bucket import Bucket

    return Bucket(str(root), str(inside))


def is_uri(root: Path | str) -> bool:
    return "://" in str(root)


def absolute(root: str) -> str:
    """A path as workers see it, who run in folders of their own; a URI as it is."""
    return root if is_uri(root) else str(Path(root).expanduser().resolve())


def check(root: Path | str, *, new: bool) -> None:
    """Write a small file and remove it again, to be called before a worker starts.

    Args:
        new: whether trials found there belong to another study.

    Raises:
        StudyError: there are trials of another study, or pyarrow does not know such a URI.
        Interrupted: it cannot be reached or written.
    """
    store, name = open_store(root, "trials"), atomic.part_of("probe")
    if new and store.names():
        raise StudyError(f"{store} holds another study's trials. Give each study a storage_path of its own.")
    store.write(name, Path.touch)
    store.remove(name)
