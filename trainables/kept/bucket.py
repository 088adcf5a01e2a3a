"""A trial's folder at a URI that pyarrow opens: s3://, gs://, hdfs:// and so on; pyarrow is imported when one is."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from trainables.errors import StudyError
from trainables.kept import atomic

PAUSES_S = (2.0, 8.0)  # between tries; each holds some of pyarrow's own, 6 s of them where nothing listens

Found = TypeVar("Found")


class Bucket:
    """A `Store`. A file is put under a name of its own, then moved, so that it appears as a whole.

    Nothing is kept on this machine but the one file that is being written or read. An unfinished file stays there where
    the storage fails halfway; `checkpoint.save` and `discard` remove it.
    """

    def __init__(self, root: str, directory: str) -> None:
        """See `store.open_store`."""
        self._address = root, directory
        self._files, base = _open(root)
        self._path = f"{base}/{directory}"
        self._shown = f"{shown(root)}/{directory}"

    def names(self) -> list[str]:
        from pyarrow.fs import FileSelector

        chosen = FileSelector(self._path, allow_not_found=True)
        return [found.base_name for found in self._try(lambda: self._files.get_file_info(chosen))]

    @contextmanager
    def read(self, name: str) -> Iterator[Path]:
        with _scratch() as directory:
            if not self._try(lambda: self._fetch(name, directory / name)):
                raise FileNotFoundError(f"{self}/{name}")
            yield directory / name

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        part = atomic.part_of(name)
        with _scratch() as directory:
            with atomic.interrupting(directory):
                fill(directory / name)
            self._try(lambda: self._put(directory / name, part, name))

    def remove(self, name: str) -> None:
        with suppress(OSError):
            self._files.delete_file(f"{self._path}/{name}")

    def address(self) -> tuple[str, str]:
        return self._address

    def inside(self, name: str) -> Bucket:
        root, directory = self._address
        return Bucket(root, f"{directory}/{name}")

    def __str__(self) -> str:
        return self._shown

    def _fetch(self, name: str, path: Path) -> bool:
        from pyarrow.fs import LocalFileSystem, copy_files

        try:
            copy_files(f"{self._path}/{name}", str(path), self._files, LocalFileSystem())
        except FileNotFoundError:
            return False
        return True

    def _put(self, path: Path, part: str, name: str) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        self._files.create_dir(self._path)
        copy_files(str(path), f"{self._path}/{part}", LocalFileSystem(), self._files)
        self._files.move(f"{self._path}/{part}", f"{self._path}/{name}")

    def _try(self, act: Callable[[], Found]) -> Found:
        """A network may fail for a moment.

        Raises:
            Interrupted: it still fails after the last pause.
        """
        for pause in PAUSES_S:
            try:
                return act()
            except OSError:
                time.sleep(pause)
        with atomic.interrupting(self):
            return act()


def shown(root: str) -> str:
    """A URI without password and options."""
    scheme, _, rest = root.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}".rstrip("/")


@lru_cache(maxsize=8)
def _open(root: str) -> tuple[Any, str]:
    """The file system and the path in it; kept, since S3 is asked for the bucket's region."""
    from pyarrow.fs import FileSystem

    with atomic.interrupting(shown(root)):
        try:
            files, path = FileSystem.from_uri(root)
        except (ValueError, NotImplementedError) as error:
            raise _refused(root, str(error).replace(root, shown(root))) from None
    if not path.strip("/"):
        raise _refused(root, "it names no bucket or folder")
    return files, path.rstrip("/")


def _refused(root: str, reason: str) -> StudyError:
    password = root.rpartition("@")[0].rpartition(":")[2]
    reason = reason.replace(password, "***") if password else reason
    return StudyError(f"pyarrow cannot open {shown(root)}: {reason}. Give a path, or a URI such as s3://bucket/folder.")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder of this process alone, on this machine's disk."""
    with atomic.interrupting(tempfile.gettempdir()):
        folder = tempfile.TemporaryDirectory(prefix="heteroakd-", ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name)
