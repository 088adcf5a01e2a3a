"""`build(name, num_classes)`: a SegModel from segmentation-models-pytorch and timm."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import Tensor, nn

from trainables import own
from trainables.errors import ModelError, unknown
from trainables.models import DECODERS
from trainables.models.own import build_own
from trainables.models.segmodel import SegModel
from trainables.models.weights import adapted, overlay, read_encoder
from trainables.sources import is_ready

_CONVOLUTIONAL = ("resnet", "resnext", "mobilenet", "efficientnet", "regnet", "densenet", "vgg", "mobileone")


def build(
    name: str, *, num_classes: int, channels: int = 3, pretrained: bool = False, encoder_weights: str | None = None
) -> SegModel:
    """Build a network in train mode.

    Args:
        name: `<decoder>:<encoder>`, e.g. `deeplabv3:resnet18`, `segformer:mit_b0`, `fpn:tu-pvt_v2_b0`; or your own,
            `package.module:name`.
        num_classes: channels of the logits.
        channels: of the images. Weights of an encoder are of 3: the first convolution's are then summed (1 channel), or
            repeated and scaled by 3 / channels.
        pretrained: ImageNet weights for the encoder, fetched by timm or segmentation-models-pytorch.
        encoder_weights: a local file or folder with the encoder's weights instead (see `weights.py`).

    Raises:
        ModelError: no such decoder or encoder, the two do not fit, or the weights cannot be fetched or read.
    """
    if is_ready(name):
        raise ModelError(f"{name!r} is a network that is good already: it can teach, and is not built here.")
    if is_own(name):
        if encoder_weights is not None:
            raise ModelError(f"encoder_weights is for our own networks, but {name!r} loads its weights itself.")
        weights = {"pretrained": pretrained, "encoder_weights": encoder_weights}
        return build_own(name, num_classes=num_classes, channels=channels, **weights)
    decoder, encoder = split(name)
    local = None if encoder_weights is None else read_encoder(encoder, encoder_weights)
    try:
        return _assemble(decoder, encoder, num_classes, channels, pretrained=pretrained, local=local)
    except OSError as error:  # every hub and HTTP client error derives from it
        raise ModelError(
            f"ImageNet weights of {encoder!r} cannot be fetched ({type(error).__name__}). Set pretrained to false, "
            "or connect to the network once: the weights are then kept in the hub's cache."
        ) from error
    except (AssertionError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"Model {name!r} cannot be built: {' '.join(str(error).split())}") from error


def library_model(name: str, *, num_classes: int, channels: int = 3) -> Any:
    """The network of segmentation-models-pytorch that a name stands for, without weights.

    Args:
        num_classes, channels: as for `build`.

    Raises:
        ModelError: there is none: it is the user's own, or put together here.
    """
    if is_own(name) or is_ready(name):
        raise ModelError(f"{name!r} is no network of segmentation-models-pytorch, which could not open it.")
    decoder, encoder = split(name)
    if decoder == "deeplabv3" and not _is_convolutional(encoder):
        raise ModelError(
            f"{name!r} is put together here: segmentation-models-pytorch has no DeepLabV3 on an encoder that is not "
            "dilated, so it could not open it."
        )
    return smp.create_model(
        decoder, encoder, encoder_weights=None, in_channels=channels, classes=num_classes, **_encoder_options(encoder)
    )


def _assemble(
    decoder: str, encoder: str, num_classes: int, channels: int, *, pretrained: bool, local: dict[str, Tensor] | None
) -> SegModel:
    options = _encoder_options(encoder)
    by_timm = encoder.startswith("tu-")
    if local is not None and by_timm:  # timm renames what its feature extractors split up
        options["pretrained_cfg_overlay"] = overlay(encoder, local, channels)
    wanted = by_timm if local is not None else pretrained
    weights = _published(encoder) if wanted else None
    if decoder == "deeplabv3" and not _is_convolutional(encoder):
        model = _undilated_deeplabv3(encoder, weights, num_classes, channels, options)
    else:
        told = {"in_channels": channels, "classes": num_classes, **options}
        whole = smp.create_model(decoder, encoder, encoder_weights=weights, **told)
        model = SegModel(whole.encoder, whole.decoder, whole.segmentation_head[0], channels=channels)
    if local is not None and not by_timm:
        model.encoder.load_state_dict(adapted(local, model.encoder.state_dict(), channels))
    return model


def is_own(name: str) -> bool:
    """Whether a model is the user's own: its left part is no decoder of ours, but a module that can be found."""
    return name.partition(":")[0] not in DECODERS and not is_ready(name) and own.exists(name)


def split(name: str) -> tuple[str, str]:
    """Decoder and encoder of a model name.

    Raises:
        ModelError: not of the form `<decoder>:<encoder>`, or either is unknown.
    """
    decoder, colon, encoder = name.partition(":")
    if not colon or not encoder:
        raise ModelError(f"A model is named '<decoder>:<encoder>', such as 'segformer:mit_b0', got {name!r}.")
    if decoder not in DECODERS:
        raise ModelError(unknown("decoder", decoder, DECODERS))
    if encoder.startswith("tu-"):
        if not timm.is_model(encoder.removeprefix("tu-")):
            raise ModelError(unknown("timm encoder", encoder, (f"tu-{model}" for model in timm.list_models())))
    elif encoder not in smp.encoders.get_encoder_names():
        raise ModelError(unknown("encoder", encoder, smp.encoders.get_encoder_names(), "timm's have the prefix 'tu-'."))
    return decoder, encoder


def _is_convolutional(encoder: str) -> bool:
    return any(family in encoder for family in _CONVOLUTIONAL)


def _encoder_options(encoder: str) -> dict[str, Any]:
    """Swin fixes its input size unless told that any will come."""
    return {"strict_img_size": False} if encoder.startswith("tu-swin") else {}


def _published(encoder: str) -> str | bool:
    """How segmentation-models-pytorch is asked for ImageNet weights: 0.6 warns of a name where timm builds the encoder,
    whose own name says which weights; 0.5 takes either.
    """
    return True if encoder.startswith("tu-") else "imagenet"


def _undilated_deeplabv3(
    encoder: str, weights: str | bool | None, num_classes: int, channels: int, options: dict[str, Any]
) -> SegModel:
    """DeepLabV3's ASPP on a Transformer's last stage at its own stride.

    Deviation: CNN encoders are dilated to output stride 8, as DeepLabV3 has it. Dilating a patch embedding would make
    self-attention run on 16 times the tokens it was designed for, and most timm encoders cannot be dilated at all.
    """
    backbone = smp.encoders.get_encoder(encoder, in_channels=channels, depth=5, weights=weights, **options)
    decoder = smp.decoders.deeplabv3.decoder.DeepLabV3Decoder(
        in_channels=backbone.out_channels[-1],
        out_channels=256,
        atrous_rates=(12, 24, 36),
        aspp_separable=False,
        aspp_dropout=0.5,
    )
    return SegModel(backbone, decoder, nn.Conv2d(256, num_classes, kernel_size=1), channels=channels)
