"""How networks that are good already are named: `hf:...`, `smp:...`, `torchvision:...`, `file:...` and so on.

They teach and are never trained. What they are made of: `trainables/models/ready/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SOURCES = {
    "hf": "REPO_OR_FOLDER[@REVISION], a network of transformers",
    "smp": "REPO_OR_FOLDER[@REVISION], one of segmentation-models-pytorch, as its save_pretrained writes it",
    "torchvision": "NAME, one of torchvision's segmentation networks with its published weights",
    "timm": "NAME or a folder, a backbone of timm, which gives features and no logits",
    "file": "PATH[@NETWORK], weights of a network of ours, of torchvision:NAME or of cirkd:NAME",
    "earth": "cnn or transformer, the teachers that come with the embedded data",
    "ready": "package.module:name, your own function or class, which loads its weights itself",
}
"""Prefix -> what follows it."""


class Source(NamedTuple):
    """A name taken apart.

    Attributes:
        kind: a key of SOURCES.
        place: repository, folder, file, name or reference.
        detail: a revision (hf, smp) or a network (file); "" where none is given.
    """

    kind: str
    place: str
    detail: str = ""


def is_ready(name: str) -> bool:
    """Whether a network is named that is good already."""
    kind, colon, place = name.partition(":")
    return kind in SOURCES and bool(colon and place)


def parse(name: str) -> Source:
    """A name for which `is_ready` holds, taken apart at its last `@`."""
    kind, _, rest = name.partition(":")
    if kind in ("torchvision", "timm", "ready") or "@" not in rest:
        return Source(kind, rest)
    place, _, detail = rest.rpartition("@")
    return Source(kind, place, detail)


def absolute(name: str) -> str:
    """The name with its path as workers see it, who run in folders of their own; a repository stays as it is."""
    path = local_path(name) if is_ready(name) else None
    if path is None:
        return name
    source = parse(name)
    return f"{source.kind}:{Path(path).expanduser().resolve()}" + (f"@{source.detail}" if source.detail else "")


def local_path(name: str) -> str | None:
    """The path that a name holds; None where it holds none, or one that may be a repository's."""
    source = parse(name)
    may_be_folder = source.kind in ("hf", "smp", "timm")
    is_path = source.kind == "file" or (may_be_folder and Path(source.place).expanduser().is_dir())
    return source.place if is_path else None
