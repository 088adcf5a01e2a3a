"""Packages that only some verbs need, by the extra of ours that brings them; `need` says which is missing."""

from __future__ import annotations

import importlib.util

from trainables.errors import MissingExtra

EXTRAS: dict[str, tuple[str, ...]] = {
    "bands": ("tifffile", "imagecodecs"),
    "cluster": ("aiohttp",),
    "dashboard": ("dash", "kaleido", "plotly"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "hub": ("transformers",),
    "grpc": ("grpc", "google.protobuf"),
    "import": ("pycocotools",),
    "mlflow": ("mlflow",),
    "postgres": ("psycopg",),
    "video": ("av",),
    "wandb": ("wandb",),
}
"""Extra -> the modules that its verbs ask for, as they are imported. A sweep and its trials import none of them."""


def need(*modules: str, otherwise: str = "") -> None:
    """Call it before the first import of optional packages, and before any work; it imports none of them.

    Args:
        otherwise: what can be done without them, such as "or export with --no-onnx".

    Raises:
        MissingExtra: one of them is not installed: which, and the command that installs it.
    """
    for module in modules:
        if not has(module):
            extra = next(extra for extra, known in EXTRAS.items() if module in known)
            remedy = f"`pip install 'heteroakd-explorer[{extra}]'`"
            raise MissingExtra(f"{module} is not installed. {', '.join(filter(None, (remedy, otherwise)))}.")


def has(module: str) -> bool:
    """Whether it can be imported, as far as one can tell without doing so."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # its parent is missing; or it is half there
        return False
