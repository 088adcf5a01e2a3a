"""Templates of dataset.yaml: `images/{scene}/{stem}.jpg` says where files lie and what their names say.

`{name}` takes a part of one name, as little as fits; `*` likewise, and names it not; `**/` takes any folders, none too.
An ending is taken in upper case too; `.*`, or none, takes those of all images.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from trainables.data.images import SUFFIXES

STEM, SPLIT, FOLDERS = "stem", "split", "_folders"
_PLACEHOLDER = re.compile(r"\{([A-Za-z]\w*)\}")
_TOKEN = re.compile(r"(\{[A-Za-z]\w*\}|\*)")
_ANY = "**"
_KNOWN = SUFFIXES | {".gif"}


@dataclass(frozen=True)
class Template:
    """Of files below the folder of dataset.yaml.

    Attributes:
        text: as it is written, without `{split}` once `filled`.
        suffixes: lower case; what is taken where the text gives no ending.
    """

    text: str
    suffixes: frozenset[str]

    def filled(self, split: str) -> Template:
        """With the folder, or the part of a name, of one split."""
        return Template(self.text.replace(f"{{{SPLIT}}}", split), self.suffixes)

    @property
    def has_split(self) -> bool:
        return SPLIT in placeholders(self.text)

    @cached_property
    def base(self) -> str:
        """The folders before the first that differ; empty: the set's own."""
        folders = PurePosixPath(self.text).parts[:-1]
        fixed = next((place for place, part in enumerate(folders) if _is_pattern(part)), len(folders))
        return "/".join(folders[:fixed])

    @cached_property
    def depth(self) -> int | None:
        """Folders below `base` that a file lies in; None: any number."""
        folders = PurePosixPath(self.text).parts[:-1]
        return None if _ANY in folders else len(folders) - len(PurePosixPath(self.base).parts)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """What a name is read into: folders first, then in the order of the text."""
        folders = (FOLDERS,) if _ANY in PurePosixPath(self.text).parts else ()
        return (*folders, *placeholders(self.text))

    @cached_property
    def num_fixed(self) -> int:
        """Characters that stand in every name: of two templates that take a file, the one with more has it."""
        return len(_TOKEN.sub("", self.text))

    def read(self, path: str) -> dict[str, str] | None:
        """The fields of a path from the set's folder on, with `/`; None: it is none of these files."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        text, ending = _without_ending(self.text)
        ends = [ending] if ending else sorted(self.suffixes)
        return re.compile(f"{regex(text)}(?i:{'|'.join(map(re.escape, ends))})")


def regex(text: str) -> str:
    """Of a whole text with placeholders, `*` and `**/`."""
    seen: set[str] = set()
    parts = []
    for place, folder in enumerate(pieces := text.split("/")):
        if folder == _ANY:
            parts.append(f"(?P<{FOLDERS}>(?:[^/]+/)*)")
        else:
            parts.append(_piece(folder, seen) + ("/" if place < len(pieces) - 1 else ""))
    return "".join(parts)


def _piece(text: str, seen: set[str]) -> str:
    made = []
    for token in _TOKEN.split(text):
        name = token[1:-1]
        if token == "*":
            made.append("[^/]*?")
        elif not _PLACEHOLDER.fullmatch(token):
            made.append(re.escape(token))
        else:
            made.append(f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)")
            seen.add(name)
    return "".join(made)


def placeholders(text: str) -> tuple[str, ...]:
    """Their names, each once."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def checked(field: str, text: str, *, known: Collection[str] = ()) -> str:
    """The text, with `/` alone.

    Args:
        field: of dataset.yaml, for the sentence.
        known: placeholders that it may hold; none: any.

    Raises:
        ValueError: it is no template of files below the set's folder.
    """
    text = text.replace("\\", "/").removeprefix("./")
    example = f'such as "{field}/{{stem}}.png"'
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or not all(parts) or re.match(r"[A-Za-z]:", text):
        raise ValueError(f"{field} must be a template of files in the folder of dataset.yaml, {example}, got {text!r}.")
    if STEM not in placeholders(parts[-1]):
        raise ValueError(f"{field} must hold {{stem}} in the file's name, {example}, got {text!r}.")
    if set(_PLACEHOLDER.sub("", text)) & {*"{}"} or _ANY in parts[-1]:
        raise ValueError(f"{field} must hold names in braces, * or **/ alone, {example}, got {text!r}.")
    if parts.count(_ANY) > 1 or any(_ANY in part and part != _ANY for part in parts):
        raise ValueError(f"{field} must hold ** once, as a folder, {example}, got {text!r}.")
    if strange := [name for name in placeholders(text) if known and name not in known]:
        raise ValueError(f"{field} names {{{strange[0]}}}, which images does not. Write * for what differs.")
    return text


def _is_pattern(part: str) -> bool:
    return "*" in part or _PLACEHOLDER.search(part) is not None


def _without_ending(text: str) -> tuple[str, str]:
    """A text and its ending, empty for any."""
    if text.endswith(".*"):
        return text[:-2], ""
    ending = PurePosixPath(text).suffix
    return (text.removesuffix(ending), ending) if ending.lower() in _KNOWN else (text, "")
