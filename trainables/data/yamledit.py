"""One key of a YAML file set or removed; comments and all else stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trainables.errors import DataError
from trainables.yamls import parse_yaml


def with_key(path: Path, key: str, value: Mapping[str, Any], *, without: str | None = None) -> bytes:
    """The file's new content; a key that is not there is written at its end.

    Args:
        path: holds a mapping that is YAML.
        key: of that mapping.
        value: written on one line.
        without: another key, which is removed.

    Raises:
        DataError: the file is written in a way that cannot be kept.
    """
    text = path.read_bytes().decode("utf-8-sig")
    line = f"{key}: {yaml.safe_dump(dict(value), default_flow_style=True, sort_keys=False, width=10**6).strip()}"
    expected = {name: held for name, held in parse_yaml(text).items() if name != without} | {key: dict(value)}
    if parse_yaml(text) == expected:
        return path.read_bytes()
    made = _set(text if without is None else _removed(text, without), key, line)
    try:
        kept = parse_yaml(made) == expected
    except yaml.YAMLError:
        kept = False
    if not kept:
        raise DataError(f"{path} is written so that no line can be added. Write `{line}` into it by hand.")
    return made.encode("utf-8")


def _set(text: str, key: str, line: str) -> str:
    if place := _place(text, key):
        return text[: place[0]] + line + text[place[1] :]
    newline = "\r\n" if "\r\n" in text else "\n"
    return f"{text.rstrip()}{newline}{line}{newline}"


def _removed(text: str, key: str) -> str:
    """Without the key's lines."""
    if (place := _place(text, key)) is None:
        return text
    end = text.find("\n", place[1])
    return text[: place[0]] + (text[end + 1 :] if end >= 0 else "")


def _place(text: str, key: str) -> tuple[int, int] | None:
    """Where a key begins and its value ends."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    found = next(((name, value) for name, value in root.value if name.value == key), None)
    return found and (found[0].start_mark.index, _end(found[1]))


def _end(node: yaml.Node) -> int:
    """Of what is written: the mark of a block is where the next one begins."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        return node.end_mark.index
    below = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    return max(map(_end, below))
