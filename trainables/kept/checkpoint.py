"""Checkpoints: one safetensors file each, written atomically; nothing is unpickled.

The file's header carries the JSON-able state (step, history, the config's digest) and a SHA-256 of all that the file
holds. A file that was cut short, emptied or changed is detected, and the one before it is used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.errors import CheckpointError
from trainables.kept import atomic
from trainables.kept.store import Store, at

_log = logging.getLogger(__name__)
_NAME = re.compile(r"step-\d{8,}\.safetensors")
_OS_ERROR = re.compile(r"(.*)\(os error (\d+)\)")


def save(
    place: Path | Store, *, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], keep: int = 2
) -> str:
    """Write `step-<step>.safetensors` and drop all others but the `keep` - 1 before it; one, because this may be torn.

    Later ones go too: they are torn, or of a life of this trial that another has taken over.

    Returns:
        The file's name.

    Raises:
        Interrupted: the disk is full, or the storage cannot be reached. Earlier checkpoints are as they were.
    """
    store, name = at(place), f"step-{step:08d}.safetensors"
    store.write(name, lambda path: _fill(path, tensors, meta))
    found = set(store.names()) - {name}
    before = sorted((other for other in found if _NAME.fullmatch(other) and _step(other) < step), key=_step)
    for other in found - {*before[len(before) - keep + 1 :]}:
        if _NAME.fullmatch(other) or atomic.is_part(other):
            store.remove(other)
    return name


def write(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write one safetensors file atomically, `meta` as JSON in its header.

    Raises:
        Interrupted: the disk is full.
    """
    atomic.write(path, lambda part: _fill(part, tensors, meta))


def load(path: Path, *, ours: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and meta of one file.

    Args:
        ours: refuse a file without a sum, too; a user's own weights have none.

    Raises:
        CheckpointError: missing, torn, changed since it was written, or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = dict(json.loads((file.metadata() or {}).get("meta", "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from None
    said = meta.pop("sha256", None)
    if (ours or said is not None) and said != _sum(tensors, meta):
        raise CheckpointError(f"{path} is no whole safetensors file: its sum is wrong or missing.")
    return tensors, meta


def latest(place: Path | Store, *, digest: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that is whole, or None.

    Raises:
        CheckpointError: it belongs to another config.
        Interrupted: the storage cannot be reached.
    """
    store = at(place)
    for name in _newest_first(store):
        try:
            with store.read(name) as path:
                tensors, meta = load(path, ours=True)
        except (CheckpointError, FileNotFoundError) as error:
            _log.warning("A checkpoint in %s is torn; the one before it is used, or step 0: %s", store, error)
            continue
        if meta.get("digest") != digest:
            raise CheckpointError(
                f"{store}/{name} belongs to another config ({meta.get('digest')}, this one is {digest}). "
                "Use an empty folder."
            )
        return tensors, meta
    return None


def discard(place: Path | Store) -> None:
    """Remove a trial's checkpoints; its log stays."""
    store = at(place)
    for name in store.names():
        if _NAME.fullmatch(name) or atomic.is_part(name):
            store.remove(name)


def _newest_first(store: Store) -> list[str]:
    return sorted(filter(_NAME.fullmatch, store.names()), key=_step, reverse=True)


def _step(name: str) -> int:
    return int(name.removeprefix("step-").removesuffix(".safetensors"))


def _fill(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**meta, "sha256": _sum(whole, meta)})
    try:
        save_file(whole, path, metadata={"meta": text})  # one entry, because safetensors writes several in any order
    except SafetensorError as error:  # says a full disk as text
        if found := _OS_ERROR.search(str(error)):
            raise OSError(int(found[2]), found[1].rpartition(": ")[2].strip()) from None
        raise


def _sum(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes, values and meta; 12 ms for 14 MB."""
    sha = hashlib.sha256(json.dumps(meta).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
    return sha.hexdigest()
