"""The folder that an import writes: what is right already is left alone, and nothing that is not its own is touched."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from trainables.data.names import in_order
from trainables.errors import ConfigError, DataError
from trainables.kept import atomic
from trainables.yamls import load_yaml

MARK = "import.json"
LEFT = "left-out.txt"
_OWN = tuple((kind, split) for kind in ("images", "labels") for split in ("train", "val", "test"))

Placed = Literal["linked", "copied", "kept"]


class Target:
    """A folder of the `folder` layout that one import owns. Each file appears whole or not at all."""

    def __init__(self, folder: Path, *, copy: bool) -> None:
        self.folder = folder
        self._copy = copy

    def seed_of(self, asked: Mapping[str, Any]) -> int | None:
        """The seed of the splits, if the same import was here before."""
        try:
            before = json.loads((self.folder / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(before, dict) or before != _as_json({**asked, "seed": before.get("seed")}):
            return None
        return before["seed"] if isinstance(before["seed"], int) else None

    def claim(self, src: Path, asked: Mapping[str, Any]) -> None:
        """Write down what is imported, before anything else. The same import may go on where another has ended.

        Raises:
            ConfigError: the folder is not to be written, or lies within the source, or around it.
            DataError: it holds something else.
            Interrupted: the disk is full.
        """
        here, there = self.folder.resolve(), src.resolve()
        if here == there or here in there.parents or (src.is_dir() and there in here.parents):
            raise ConfigError(f"{self.folder} must lie outside of {src}, and not around it. Give another place.")
        atomic.check_folder(self.folder)
        mark = self.folder / MARK
        wanted = json.dumps(asked, indent=1, ensure_ascii=False) + "\n"
        if mark.is_file():
            if mark.read_text(encoding="utf-8") != wanted:
                raise DataError(
                    f"{self.folder} holds another import, see {MARK} in it: other options or another source. "
                    "Give another place, or remove it."
                )
            return
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise DataError(f"{self.folder} is not empty, and holds no import. Give another place, or an empty one.")
        atomic.write_text(mark, wanted)

    def describe(self, values: Mapping[str, Any]) -> bool:
        """Write dataset.yaml, last of all. One that names the same classes stays, whatever else was changed in it.

        Returns:
            whether it was written.
        """
        path = self.folder / "dataset.yaml"
        if path.is_file():
            return False
        atomic.write_text(
            path,
            yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False, default_flow_style=None, width=10**6),
        )
        return True

    def check_described(self, values: Mapping[str, Any]) -> None:
        """Before a label is written.

        Raises:
            DataError: dataset.yaml is there, and names other classes.
        """
        path = self.folder / "dataset.yaml"
        if not path.is_file():
            return
        try:
            found = load_yaml(path)
        except ConfigError as error:
            raise DataError(str(error)) from None
        for key in ("classes", "ignore_index"):
            if found.get(key) != values[key]:
                raise DataError(
                    f"{path} has {key} {found.get(key)}, but the import has {values[key]}. "
                    "Give another place, or remove that file and the labels."
                )

    def put(self, place: str, data: bytes) -> bool:
        """A file's bytes; whether they were written."""
        path = self.folder / place
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
        _replace(path, lambda part: part.write_bytes(data))
        return True

    def bring(self, place: str, file: Path) -> Placed:
        """A file of the source: a hard link, else (another disk) a symbolic one, else a copy."""
        path, file = self.folder / place, file.resolve()
        if self._is_there(path, file):
            return "kept"
        ways: list[tuple[Placed, Callable[[Path], object]]] = [("copied", lambda part: shutil.copy2(file, part))]
        if not self._copy:
            ways = [("linked", lambda part: os.link(file, part)), ("linked", lambda part: part.symlink_to(file)), *ways]
        for placed, fill in ways[:-1]:
            try:
                _replace(path, fill)
            except OSError:
                continue
            return placed
        placed, fill = ways[-1]
        _replace(path, fill)
        return placed

    def _is_there(self, path: Path, file: Path) -> bool:
        if not path.exists():
            return False
        if path.samefile(file):
            return not self._copy
        return filecmp.cmp(path, file)  # size and time of writing, else bytes

    def list_left_out(self, lines: Iterable[str]) -> None:
        """All of it, in a file; none where nothing is left out."""
        if text := "".join(lines):
            self.put(LEFT, text.encode("utf-8", "replace"))
        else:
            (self.folder / LEFT).unlink(missing_ok=True)

    def strangers(self, own: set[str]) -> Iterator[str]:
        """Files beside the import's own, which it does not know; unfinished ones of a killed import are removed."""
        for kind, split in _OWN:
            for path in sorted((self.folder / kind / split).rglob("*"), key=in_order):
                place = path.relative_to(self.folder).as_posix()
                if atomic.is_part(path.name):
                    path.unlink(missing_ok=True)
                elif not path.is_dir() and place not in own:
                    yield place


def _as_json(values: Mapping[str, Any]) -> Any:
    """As they are read again: tuples are lists."""
    return json.loads(json.dumps(values))


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    """Without a flush to the disk for each of many files: what is torn by a loss of power is found by the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(atomic.part_of(path.name))
    try:
        fill(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
