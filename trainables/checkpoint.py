"""Checkpoints: one safetensors file each, written atomically; nothing is unpickled.

The file's header carries the JSON-able state (step, history, the config's digest). A file cut short is detected by its
length, and the one before it is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainables.errors import CheckpointError


def save(directory: Path, *, step: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], keep: int = 2) -> Path:
    """Write `step-<step>.safetensors` and drop all but the newest `keep`; two, because the newest may be torn.

    The file appears whole or not at all: it is written beside its name, flushed to disk and renamed.
    """
    path = directory / f"step-{step:08d}.safetensors"
    write(path, tensors, meta)
    for old in _paths(directory)[keep:]:
        old.unlink()
    return path


def write(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write one safetensors file atomically, `meta` as JSON in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(whole, temporary, metadata={"meta": json.dumps(meta)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and meta of one file.

    Raises:
        CheckpointError: missing, torn, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("meta", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file: {error}") from None


def latest(directory: Path, *, digest: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that is whole, or None.

    Raises:
        CheckpointError: it belongs to another config.
    """
    for path in _paths(directory):
        try:
            tensors, meta = load(path)
        except CheckpointError:
            continue
        if meta.get("digest") != digest:
            raise CheckpointError(
                f"{path} belongs to another config ({meta.get('digest')}, this one is {digest}). Use an empty folder."
            )
        return tensors, meta
    return None


def discard(directory: Path) -> None:
    """Remove a trial's checkpoints; its log stays."""
    for path in _paths(directory):
        path.unlink(missing_ok=True)


def _paths(directory: Path) -> list[Path]:
    """Newest first."""
    return sorted(directory.glob("step-*.safetensors"), reverse=True)
