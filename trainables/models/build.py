"""`build(name, num_classes)`: a SegModel from segmentation-models-pytorch and timm."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import timm
from torch import nn

from trainables.errors import ModelError, unknown
from trainables.models import DECODERS
from trainables.models.segmodel import SegModel

_CONVOLUTIONAL = ("resnet", "resnext", "mobilenet", "efficientnet", "regnet", "densenet", "vgg", "mobileone")


def build(name: str, *, num_classes: int, pretrained: bool = False) -> SegModel:
    """Build a network in train mode.

    Args:
        name: `<decoder>:<encoder>`, e.g. `deeplabv3:resnet18`, `segformer:mit_b0`, `fpn:tu-pvt_v2_b0`.
        num_classes: channels of the logits.
        pretrained: ImageNet weights for the encoder, fetched by timm or segmentation-models-pytorch.

    Raises:
        ModelError: no such decoder or encoder, the two do not fit, or the weights cannot be fetched.
    """
    decoder, encoder = split(name)
    weights = "imagenet" if pretrained else None
    try:
        if decoder == "deeplabv3" and not _is_convolutional(encoder):
            return _undilated_deeplabv3(encoder, weights, num_classes)
        model = smp.create_model(
            decoder, encoder, encoder_weights=weights, classes=num_classes, **_encoder_options(encoder)
        )
        return SegModel(model.encoder, model.decoder, model.segmentation_head[0])
    except OSError as error:  # every hub and HTTP client error derives from it
        raise ModelError(
            f"ImageNet weights of {encoder!r} cannot be fetched ({type(error).__name__}). Set pretrained to false, "
            "or connect to the network once: the weights are then kept in the hub's cache."
        ) from error
    except (AssertionError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"Model {name!r} cannot be built: {' '.join(str(error).split())}") from error


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


def _undilated_deeplabv3(encoder: str, weights: str | None, num_classes: int) -> SegModel:
    """DeepLabV3's ASPP on a Transformer's last stage at its own stride.

    Deviation: CNN encoders are dilated to output stride 8, as DeepLabV3 has it. Dilating a patch embedding would make
    self-attention run on 16 times the tokens it was designed for, and most timm encoders cannot be dilated at all.
    """
    backbone = smp.encoders.get_encoder(encoder, in_channels=3, depth=5, weights=weights, **_encoder_options(encoder))
    decoder = smp.decoders.deeplabv3.decoder.DeepLabV3Decoder(
        in_channels=backbone.out_channels[-1],
        out_channels=256,
        atrous_rates=(12, 24, 36),
        aspp_separable=False,
        aspp_dropout=0.5,
    )
    return SegModel(backbone, decoder, nn.Conv2d(256, num_classes, kernel_size=1))
