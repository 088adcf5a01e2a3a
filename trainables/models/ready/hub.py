"""Folders in the hub's format: here already, or from the hub's cache, or fetched; by revision, with hashes."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from yaml import YAMLError

from trainables.errors import TeacherError

PATTERNS = ("*.json", "*.safetensors", "*.txt", "pytorch_model.bin", "README.md")
"""What is fetched: configs, weights, tokenizers; no code."""


def folder_of(place: str, revision: str, name: str) -> Path:
    """The folder itself, or the hub's snapshot of a repository.

    Raises:
        TeacherError: no such folder, repository or revision; it is gated; or there is no network and no copy.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        if revision:
            raise TeacherError(f"{name!r} is a folder, which has no revision. Leave out @{revision}.")
        return path
    if path.is_absolute() or place.startswith((".", "~")):
        raise TeacherError(f"{name!r}: {path} is no folder.")
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(place, revision=revision or None, allow_patterns=[*PATTERNS]))
    except errors.GatedRepoError:
        raise TeacherError(
            f"{place} is gated: accept its terms on the hub, then log in with `hf auth login`, or fetch it and name "
            "its folder."
        ) from None
    except errors.RevisionNotFoundError:
        raise TeacherError(f"{place} has no revision {revision!r}. Look at its branches, tags and commits.") from None
    except errors.RepositoryNotFoundError:
        raise TeacherError(
            f"The hub has no repository {place!r} that you may see, and there is no folder of this name here."
        ) from None
    except (errors.HFValidationError, ValueError) as error:
        raise TeacherError(f"{name!r} names no repository and no folder: {' '.join(str(error).split())}") from None
    except OSError as error:  # every error of the network, and of offline mode without a copy, derives from it
        at = f"revision {revision}" if revision else "its newest revision"
        raise TeacherError(
            f"{place} is not here and the hub cannot be reached ({type(error).__name__}). Where there is a network: "
            f"`hf download {place}` of {at}, with config.json, preprocessor_config.json and model.safetensors; then "
            "name the folder that holds them."
        ) from None


def commit(folder: Path) -> str | None:
    """The commit of a folder of the hub's cache; None for another one."""
    return folder.name if folder.parent.name == "snapshots" else None


def hashes(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of a folder's weights and configs, by name."""
    if path.is_file():
        return {path.name: _sha256(path)}
    kept = (".json", ".safetensors", ".bin", ".txt")
    files = sorted(file for file in path.iterdir() if file.suffix in kept and file.is_file())
    return {file.name: _sha256(file) for file in files}


def licence(folder: Path) -> str:
    """As the model card's header states it; "unknown" where it states none."""
    from huggingface_hub import ModelCard

    try:
        stated = ModelCard.load(folder / "README.md", ignore_metadata_errors=True).data.to_dict()
    except (OSError, ValueError, YAMLError):
        return "unknown"
    return str(stated.get("license_name") or stated.get("license") or "unknown")


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _hashed(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=256)
def _hashed(path: Path, *_: int) -> str:
    """Of a file as it is now; asked for by the launch, the score and the record, read once."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hashed.update(piece)
    return hashed.hexdigest()
