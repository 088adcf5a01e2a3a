"""Networks of segmentation-models-pytorch, torchvision and timm as foreign ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch import Tensor, nn

from trainables.errors import TeacherError, unknown
from trainables.models.ready.foreign import Answer, Foreign, Pixels, four, names_of, pixels_of
from trainables.models.segmodel import SegModel

_OTHERWISE = ("dpn", "inception", "xception")
"""Encoders of smp's own whose published weights expect other means or ranges than ImageNet's usual ones."""


class Smp(Foreign):
    """A whole network of segmentation-models-pytorch, as its save_pretrained writes it.

    A preprocessor_config.json beside it, such as `heteroakd export --hub` writes, says how images are prepared and what
    the classes are called.
    """

    def __init__(self, model: Any, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        self.model = model
        self.num_classes = int(model.segmentation_head[0].out_channels)
        self.channels = int(model.config.get("in_channels", 3))
        self.names = names_of(facts.get("id2label"))
        self.pixels = None
        if self.channels == 3:
            found = pixels_of(facts, 3) if facts else _prepared(model)
            self.pixels = found._replace(scale=min(found.scale, 255.0))  # of deep images: of the data set's own scale

    def ask(self, pixels: Tensor) -> Answer:
        stages = self.model.encoder(pixels)
        decoded = self.model.decoder(stages)
        real = [stage for stage in stages[1:] if stage.shape[1] > 0]
        return Answer(self.model.segmentation_head[0](decoded), real[-4:], decoded)


def load_smp(folder: Path, name: str) -> Foreign:
    """Read a folder of smp's save_pretrained.

    Raises:
        TeacherError: it holds no such network.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "_model_class" not in config:
            raise ValueError("its config.json names no class of segmentation-models-pytorch")
        if config.get("encoder_weights") is not None:  # else ImageNet's are fetched first, and then replaced
            model = smp.from_pretrained(str(folder), encoder_weights=None)
        else:
            model = smp.from_pretrained(str(folder))
        path = folder / "preprocessor_config.json"
        facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return Smp(model.eval(), facts)
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TeacherError(f"{name!r} is no network of segmentation-models-pytorch: {reason}.") from None


def _prepared(model: Any) -> Pixels:
    """As its encoder was published: of timm, by timm; of smp, by smp's record on the hub, which most need not ask for.

    Raises:
        TeacherError: it is one of those whose images are prepared otherwise, and the hub cannot be reached.
    """
    plain = Pixels()
    encoder = str(model.config.get("encoder_name"))
    if encoder.startswith("tu-"):
        config = timm.get_pretrained_cfg(encoder.removeprefix("tu-"), allow_unregistered=True)
        return plain if config is None else Pixels(tuple(config.mean), tuple(config.std))
    if not encoder.startswith(_OTHERWISE):
        return plain
    try:
        found = smp.encoders.get_preprocessing_params(encoder, pretrained="imagenet")
    except (OSError, KeyError, ValueError) as error:
        raise TeacherError(
            f"How images are prepared for the encoder {encoder!r} is on the hub, which cannot be reached "
            f"({type(error).__name__}). Load it once where there is a network."
        ) from None
    scale = 255.0 if max(found["input_range"]) <= 1 else 1.0
    return Pixels(tuple(found["mean"]), tuple(found["std"]), scale, found["input_space"] == "BGR")


class Torchvision(Foreign):
    """A segmentation network of torchvision. Its own module: smp dilates otherwise, so its weights say other things."""

    def __init__(self, model: Any, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self.num_classes = _torchvision_classes(model)
        self.licence = "BSD-3-Clause (torchvision)"

    def ask(self, pixels: Tensor) -> Answer:
        features, found, named = {}, pixels, {}
        for name, layer in self.model.backbone.items():
            features[name] = found = layer(found)
            if name in self.model.backbone.return_layers:
                named[self.model.backbone.return_layers[name]] = found
        layers = [features[name] for name in features if name.startswith("layer")]
        stages = layers if len(layers) == 4 else four([*features.values()])
        if not isinstance(self.model.classifier, nn.Sequential):  # LRASPP reads two of them
            return Answer(self.model.classifier(named), stages, None)
        *before, last = self.model.classifier
        for layer in before:
            found = layer(found)
        return Answer(last(found), stages, found)


def build_torchvision(name: str, *, num_classes: int | None = None) -> Torchvision:
    """Without weights.

    Args:
        num_classes: none: those of the published weights, with their names.

    Raises:
        TeacherError: torchvision has no such segmentation network.
    """
    known = torchvision.models.list_models(module=torchvision.models.segmentation)
    if name not in known:
        raise TeacherError(unknown("segmentation network of torchvision", name, known))
    names = torchvision.models.get_model_weights(name).DEFAULT.meta["categories"]
    classes = len(names) if num_classes is None else num_classes
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes)
    model.aux_classifier = None
    return Torchvision(model.eval(), names if classes == len(names) else ())


def load_torchvision(name: str) -> Torchvision:
    """With the weights that torchvision publishes, from the folder it keeps them in, or fetched.

    Raises:
        TeacherError: no such network, or they are not here and cannot be fetched.
    """
    network = build_torchvision(name)
    weights, place = torchvision.models.get_model_weights(name).DEFAULT, torchvision_file(name)
    try:
        tensors = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise TeacherError(
            f"The weights of torchvision's {name} are not here and cannot be fetched ({type(error).__name__}). Fetch "
            f"{weights.url} and put it at {place}."
        ) from None
    network.model.load_state_dict({key: value for key, value in tensors.items() if not key.startswith("aux_")})
    return network


def torchvision_file(name: str) -> Path:
    """Where torchvision keeps, or would keep, a network's published weights."""
    url: str = torchvision.models.get_model_weights(name).DEFAULT.url
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


class Timm(Foreign):
    """A backbone of timm, such as DINOv2: features and no logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        config = model.pretrained_cfg if isinstance(model.pretrained_cfg, dict) else model.pretrained_cfg.to_dict()
        plain = Pixels()
        self.pixels = Pixels(tuple(config.get("mean") or plain.mean), tuple(config.get("std") or plain.std))
        self.channels = int((config.get("input_size") or (3,))[0])
        self.licence = str(config.get("license") or "unknown")
        patch = getattr(getattr(model, "patch_embed", None), "patch_size", 1)
        self.patch = int(patch[0] if isinstance(patch, (tuple, list)) else patch)
        self.patch = self.patch if hasattr(model, "blocks") else 1

    def ask(self, pixels: Tensor) -> Answer:
        layers = self.model.forward_intermediates(pixels, intermediates_only=True, norm=True, output_fmt="NCHW")
        return Answer(None, four(list(layers)), None)


def load_timm(name: str) -> Timm:
    """A published backbone by timm's name, or a folder in its hub format.

    Raises:
        TeacherError: no such backbone, or its weights cannot be fetched.
    """
    folder = Path(name).expanduser()
    local = folder.is_dir()
    if not local and not timm.is_model(name.partition(".")[0]):
        raise TeacherError(unknown("backbone of timm", name, timm.list_models()))
    called = f"local-dir:{folder.resolve()}" if local else name
    try:
        try:
            model = timm.create_model(called, pretrained=True, num_classes=0, dynamic_img_size=True)
        except TypeError:  # no Transformer of fixed size
            model = timm.create_model(called, pretrained=True, num_classes=0)
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TeacherError(
            f"timm's {name!r} cannot be had ({type(error).__name__}: {reason}). Without a network, save its folder "
            "(config.json and model.safetensors) here and name that: timm:FOLDER."
        ) from None
    return Timm(model.eval())


class Ours(Foreign):
    """A SegModel whose classes are not the data set's."""

    def __init__(self, model: SegModel, num_classes: int, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        self.channels = model.channels
        self.num_classes, self.names = num_classes, tuple(names)

    def ask(self, pixels: Tensor) -> Answer:
        found = self.model(pixels)
        stages = [tap for name, tap in found.taps.items() if name.startswith("stage")]
        return Answer(found.logits, stages, found.taps.get("decoder"))


def _torchvision_classes(model: Any) -> int:
    convolutions = [one for one in model.classifier.modules() if isinstance(one, nn.Conv2d)]
    return int(convolutions[-1].out_channels)
