"""Checkpoints: one safetensors file each, written atomically; nothing is unpickled.

The file's header carries the JSON-able state (step, history, the config's digest) and a SHA-256 of all that the file
holds. A file that was cut short, emptied or changed is detected, and the one before it is used. One that cannot be read
now (another user's, a server that is away, too many open files) is whole for all we know: it interrupts, and stays.
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
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from trainables.errors import CheckpointError
from trainables.kept import atomic
from trainables.kept.store import Store, at

_log = logging.getLogger(__name__)
_NAME = re.compile(r"step-\d{8,}\.safetensors")


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
        Interrupted: it is there and cannot be opened or read.
    """
    try:
        with atomic.interrupting(path, missing=True):
            raw = path.read_bytes()  # by Python: safetensors says of whatever cannot be opened that it is not there
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error.strerror}.") from None
    try:
        tensors = safetensors.load(raw)
        meta = _meta(raw)
    except (SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from None
    said = meta.pop("sha256", None)
    if (ours or said is not None) and said != _sum(tensors, meta):
        raise CheckpointError(f"{path} is no whole safetensors file: its sum is wrong or missing.")
    return tensors, meta


def latest(place: Path | Store, *, digest: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that is whole, or None.

    Raises:
        CheckpointError: it belongs to another config.
        Interrupted: the storage cannot be reached, or the newest file cannot be read. Nothing is removed.
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
    """By Python too: safetensors' own files are their owner's alone, and it says a full disk as a text."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**meta, "sha256": _sum(whole, meta)})
    path.write_bytes(safetensors.save(whole, {"meta": text}))  # one entry: it writes several in any order


def _meta(raw: bytes) -> dict[str, Any]:
    """What the header of a whole safetensors file holds of ours: 8 bytes of its length, then JSON."""
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return dict(json.loads(header.get("__metadata__", {}).get("meta", "{}")))


def _sum(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes, values and meta; 12 ms for 14 MB."""
    sha = hashlib.sha256(json.dumps(meta).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
    return sha.hexdigest()
