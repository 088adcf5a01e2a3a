"""`hf:...`: networks of transformers, from a folder or the hub, by the classes that the library itself ships."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.errors import TeacherError
from trainables.extras import need
from trainables.models.ready.foreign import (
    Answer,
    Foreign,
    Kept,
    as_map,
    classifier,
    four,
    keep,
    names_of,
    native,
    pixels_of,
)

_PROBE = 64  # pixels
_TASK = "the task is semantic"  # what OneFormer is told


class Semantic(Foreign):
    """A network with a logit for each class and pixel: SegFormer, UPerNet, DPT, BEiT, MobileViT, ..."""

    def __init__(self, model: Any, facts: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        _describe(self, model, facts)
        self.num_classes = int(model.config.num_labels)
        side = self.side or _PROBE
        probe = torch.randn(1, self.channels, side, side, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            self.backbone = _keep_backbone(model)
            last = classifier(model, self.num_classes, lambda: self._run(probe))
            self.last: Kept | None = None if last is None else keep(model, last)
            whole = self._run(probe).logits
            self.native = self.last is not None and native(self.last.take()[1], whole)

    def ask(self, pixels: Float[Tensor, "batch channels H W"]) -> Answer:
        said = self._run(pixels)
        decoded, scores = self.last.take() if self.last is not None else (None, None)
        stages = _stages(said, self.backbone, (pixels.shape[-2], pixels.shape[-1]), self.patch)
        return Answer(scores if self.native else said.logits, stages, decoded)

    def _run(self, pixels: Tensor) -> Any:
        return self.model(pixel_values=pixels, output_hidden_states=True, return_dict=True, **_any_size(self.model))


class Masks(Foreign):
    """A mask classifier: Mask2Former, MaskFormer, OneFormer, EoMT.

    The score of a class at a pixel is sum_q p_q(class) m_q(pixel) over the queries q, with p the softmax over classes
    without "no object" and m the sigmoid of the mask; its logit is the logarithm of the score over the sum of scores,
    in fp32.

    Source: Cheng et al. 2021 (MaskFormer), section 3.4, semantic inference.
    """

    task: Tensor | None

    def __init__(self, model: Any, facts: dict[str, Any], task: Tensor | None = None) -> None:
        super().__init__()
        self.model = model
        _describe(self, model, facts)
        self.num_classes = int(model.config.num_labels)
        self.register_buffer("task", task)
        if model.config.model_type.startswith("eomt"):
            self.side = int(model.config.image_size)
        self.backbone = _keep_backbone(model)

    def ask(self, pixels: Float[Tensor, "batch channels H W"]) -> Answer:
        told = {} if self.task is None else {"task_inputs": self.task.expand(len(pixels), -1)}
        said = self.model(pixel_values=pixels, output_hidden_states=True, return_dict=True, **told)
        size = (pixels.shape[-2], pixels.shape[-1])
        decoded = getattr(said, "pixel_decoder_last_hidden_state", None)
        return Answer(scores(said), _stages(said, self.backbone, size, self.patch), decoded)


def scores(said: Any) -> Float[Tensor, "batch classes height width"]:
    """The logits of a mask classifier's answer (see Masks)."""
    named = said.class_queries_logits.float().softmax(dim=-1)[..., :-1]
    masks = said.masks_queries_logits.float().sigmoid()
    found = torch.einsum("bqc,bqhw->bchw", named, masks).clamp(min=1e-12)
    return (found / found.sum(dim=1, keepdim=True)).log()


class Backbone(Foreign):
    """A network without logits, such as DINOv2."""

    def __init__(self, model: Any, facts: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        _describe(self, model, facts)
        self.backbone = None

    def ask(self, pixels: Float[Tensor, "batch channels H W"]) -> Answer:
        said = self.model(pixel_values=pixels, output_hidden_states=True, return_dict=True, **_any_size(self.model))
        return Answer(None, _stages(said, None, (pixels.shape[-2], pixels.shape[-1]), self.patch), None)


def load(folder: Path, name: str) -> Foreign:
    """Read a folder in the hub's format. No code of the folder's is run.

    Raises:
        MissingExtra: transformers is not installed.
        TeacherError: no network of the library's, or weights that do not fit it.
    """
    need("transformers")
    import transformers

    config = _json(folder / "config.json", name)
    architecture = str((config.get("architectures") or [""])[0])
    kind, auto = _kind(architecture, transformers)
    transformers.logging.disable_progress_bar()
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32, **options)
    except (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TeacherError(f"{name!r} cannot be loaded by transformers {transformers.__version__}: {reason}") from None
    if lacking := sorted(info["missing_keys"]):
        raise TeacherError(
            f"{name!r} lacks {len(lacking)} tensors of {type(model).__name__}, such as {lacking[0]!r}: it was saved as "
            "another network, or its head was never trained."
        )
    path = folder / "preprocessor_config.json"
    facts = _json(path, name) if path.is_file() else {}
    if kind is Masks and model.config.model_type == "oneformer":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        length = int(model.config.task_seq_len)
        tokens = tokenizer(_TASK, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return Masks(model.eval(), facts, tokens["input_ids"])
    return kind(model.eval(), facts)


def _kind(architecture: str, transformers: Any) -> tuple[Any, Any]:
    if architecture.endswith("ForSemanticSegmentation"):
        return Semantic, transformers.AutoModelForSemanticSegmentation
    if architecture.endswith(("ForUniversalSegmentation", "ForInstanceSegmentation")):
        return Masks, transformers.AutoModelForUniversalSegmentation
    return Backbone, transformers.AutoModel


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TeacherError(f"{name!r} has no {path.name}, so it is no network of transformers.") from None
    except (OSError, ValueError) as error:
        raise TeacherError(f"{path} cannot be read: {error}.") from None
    return dict(found)


def _describe(network: Foreign, model: Any, facts: dict[str, Any]) -> None:
    """What the library's image processor would do, and what the config says."""
    config = model.config
    network.channels = int(getattr(config, "num_channels", 3) or 3)
    network.pixels = pixels_of(facts, network.channels)
    network.names = names_of(getattr(config, "id2label", None))
    patch = getattr(config, "patch_size", 1)
    network.patch = int(patch) if isinstance(patch, int) else 1
    if network.patch > 1:
        cells = max(1, _PROBE // network.patch // 2) * network.patch
        if not _any_size(model) and config.image_size != 2 * cells and not _takes(model, 2 * cells, 2 * cells):
            network.side = int(config.image_size)
        network.square = not _takes(model, network.side or cells, network.side or 2 * cells)


def _any_size(model: nn.Module) -> dict[str, bool]:
    """What has a network's position embeddings resized, where that must be asked for."""
    asked = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return {"interpolate_pos_encoding": True} if asked else {}


def _takes(model: Any, height: int, width: int) -> bool:
    """Whether it takes an image of this size."""
    try:
        with torch.no_grad():
            model(
                pixel_values=torch.zeros(1, getattr(model.config, "num_channels", 3), height, width), **_any_size(model)
            )
    except (RuntimeError, ValueError):
        return False
    return True


def _keep_backbone(model: nn.Module) -> Kept | None:
    """The part of a network that gives feature maps, by the library's name for it; None where it has none."""
    for path in ("backbone", "model.pixel_level_module.encoder"):
        try:
            return keep(model, model.get_submodule(path))
        except AttributeError:
            continue
    return None


def _stages(said: Any, backbone: Kept | None, size: tuple[int, int], patch: int) -> list[Tensor]:
    kept = None if backbone is None else backbone.take()[1]
    maps = list(getattr(kept, "feature_maps", None) or ())
    if not maps:
        hidden = getattr(said, "hidden_states", None) or getattr(said, "encoder_hidden_states", None) or ()
        found = (as_map(one, size, patch) for one in hidden if isinstance(one, Tensor))
        maps = [one for one in found if one is not None]
    return four(maps)
