"""A data set of Hugging Face in a folder: what `save_to_disk` writes (Arrow), or Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainables.data.importers.foreign import read_json
from trainables.data.importers.listing import said, split_in
from trainables.data.importers.named import as_numbers, read_names
from trainables.data.importers.source import Asked, Found, Ids, Importer, Label, Picture, Size
from trainables.data.importers.within import pictured
from trainables.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE = ("image", "pixel_values", "img", "images")
_LABEL = ("label", "annotation", "mask", "segmentation_mask", "semantic_mask", "labels", "annotations")
_NAMES = "id2label.json"


class _Part(NamedTuple):
    """The rows of one split."""

    split: str | None
    table: pa.Table


def read_hf(src: Path, asked: Asked) -> Found:
    """Read the tables (from disk, as they are needed), the columns of image and label, and the names of the classes:
    those given, of the label's own feature (ClassLabel), or of id2label.json.

    Raises:
        DataError: no tables, no such columns, or no names.
    """
    parts = _parts(src)
    schema = parts[0].table.schema
    image, label = _columns(schema, asked, src)
    classes = asked.classes or _named(schema, label) or _by_id(src)
    numbers = {number: number for number in range(len(classes))}
    pictures = []
    for split, table in parts:
        for row in range(len(table)):
            draw = partial(_draw, table=table, column=label, row=row, numbers=numbers)
            name = f"{split or 'row'}_{row:06}"
            pictures.append(Picture(name, split, partial(_file, table, image, row), draw))
    return Found(classes, pictures)


def _parts(src: Path) -> list[_Part]:
    """Of each split one; files of one split, in the order of their names, are one table."""
    import pyarrow as pa
    import pyarrow.parquet

    files: dict[str | None, list[Path]] = {}
    for path in _files(src):
        inner = said(path.parent, src) if src.is_dir() else ""
        files.setdefault(split_in(path.stem, inner), []).append(path)
    parts = []
    for split, paths in files.items():
        try:
            tables = [_arrow(path) if path.suffix == ".arrow" else pa.parquet.read_table(path) for path in paths]
            parts.append(_Part(split, pa.concat_tables(tables, promote_options="default")))
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise DataError(f"{paths[0]} cannot be read: {reason}. Save it again.") from None
    if not parts:
        raise DataError(f"{src} holds no .arrow of `save_to_disk` and no .parquet. Give the folder that does.")
    return parts


def _files(src: Path) -> Iterator[Path]:
    """A saved folder lists its own files, beside which the cache of `map` may lie."""
    if src.is_file():
        yield src
        return
    states = sorted(src.rglob("state.json"))
    for state in states:
        values = read_json(state)
        listed = values.get("_data_files") if isinstance(values, dict) else None
        if not isinstance(listed, list) or not all(isinstance(one, dict) and "filename" in one for one in listed):
            raise DataError(f"{state} does not list `_data_files`. Save the data set again.")
        yield from (state.parent / str(one["filename"]) for one in listed)
    if not states:
        yield from (path for path in sorted(src.rglob("*.parquet")) if path.name[0] != ".")


def _arrow(path: Path) -> pa.Table:
    """Mapped, so that no row is read before it is used."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def _columns(schema: pa.Schema, asked: Asked, src: Path) -> tuple[str, str]:
    if asked.columns:
        if missing := [name for name in asked.columns if name not in schema.names]:
            raise DataError(f"{src} has no column {missing[0]}, but {', '.join(schema.names)}. Give another --columns.")
        return asked.columns
    found = [next((name for name in names if name in schema.names), None) for names in (_IMAGE, _LABEL)]
    if None in found:
        raise DataError(
            f"{src} has the columns {', '.join(schema.names)}. Say which hold the image and its label: "
            "--columns IMAGE,LABEL."
        )
    return str(found[0]), str(found[1])


def _by_id(src: Path) -> tuple[str, ...]:
    path = (src if src.is_dir() else src.parent) / _NAMES
    if not path.is_file():
        raise DataError(f"{path} is missing. Add it, or give --classes road,sky,... in the order of their ids.")
    return read_names(path)


def _named(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names of a ClassLabel within the label's feature; none for an image."""
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    return _names(described.get("info", {}).get("features", {}).get(label))


def _names(feature: Any) -> tuple[str, ...]:
    if isinstance(feature, Mapping):
        if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
            return tuple(map(str, feature["names"]))
        return next(filter(None, map(_names, feature.values())), ())
    return next(filter(None, map(_names, feature)), ()) if isinstance(feature, list) else ()


def _file(table: pa.Table, column: str, row: int) -> bytes:
    """The bytes of an image's file.

    Raises:
        DataError: the row holds none.
    """
    value = table.column(column)[row].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return data
    place = value.get("path") if isinstance(value, dict) else None
    if isinstance(place, str) and Path(place).is_file():
        return Path(place).read_bytes()
    reason = f"there is no file {place}" if place else "it is empty"
    raise DataError(f"has no image in column {column}: {reason}.")


def _draw(size: Size, *, table: pa.Table, column: str, row: int, numbers: Mapping[int, int]) -> Label:
    """An image of ids, or rows of numbers."""
    value = table.column(column)[row].as_py()
    stored = _of_rows(value, size) if isinstance(value, list) else _of_image(_file(table, column, row))
    return Label(as_numbers(stored, numbers, where=f"its label in column {column}", rule="the list of classes"))


def _of_rows(value: Sequence[Any], size: Size) -> Ids:
    try:
        numbers = np.array(value, dtype=np.int64)
    except (TypeError, ValueError):
        raise DataError("has a label whose rows are of different length, or hold no whole numbers.") from None
    if numbers.shape != size or numbers.min(initial=0) < -1 or numbers.max(initial=0) > 255:
        shape = "x".join(map(str, numbers.shape))
        raise DataError(f"has a label of {shape} numbers, but it needs ids of 0 to 255 for {size[0]}x{size[1]} pixels.")
    return np.where(numbers == -1, 255, numbers).astype(np.uint8)


def _of_image(data: bytes) -> Ids:
    with pictured(data, "a label") as image:
        if image.mode.startswith("I"):  # 16 or 32 bits, of ids that fit into 8
            wide = np.array(image)
            if wide.max(initial=0) > 255 or wide.min(initial=0) < 0:
                raise DataError("has a label with ids above 255")
            return wide.astype(np.uint8)
        if image.mode not in ("L", "P"):
            raise DataError(f"has a label of mode {image.mode}, but it needs a grey or palette image of ids")
        return np.array(image)


HF = Importer(read_hf, frozenset({"classes", "columns"}))
