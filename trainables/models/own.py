"""A network of the user's own, `package.module:name`."""

from __future__ import annotations

import inspect
from typing import Any

from trainables import own
from trainables.errors import ModelError
from trainables.models.segmodel import SegModel

_WANTED = "a subclass of SegModel or a function annotated -> SegModel, which takes num_classes"


def build_own(reference: str, *, num_classes: int, channels: int = 3, **asked: Any) -> SegModel:
    """Build it in train mode.

    Args:
        channels: of the images; passed on where they are not 3.
        asked: what else a recipe says of weights (`pretrained`, ...); passed on where the network takes it.

    Raises:
        ModelError: it cannot be imported, is nothing that makes networks, raises, makes something else, or does not
            take what is asked for.
    """
    make = own.load(reference, wanted=_WANTED, accepts=_makes_networks, error=ModelError)
    for name, value in asked.items():
        if value and not _takes(make, name):
            raise ModelError(f"{reference!r} takes no {name}, got {value!r}. Leave {name} out, or add the parameter.")
    if channels != 3 and not _takes(make, "channels"):
        raise ModelError(
            f"{reference!r} is for images of 3 channels, but the data set has {channels}. Add the parameter channels."
        )
    taken = {name: value for name, value in asked.items() if _takes(make, name)}
    taken |= {} if channels == 3 else {"channels": channels}
    with own.in_words(reference, "while it was built", ModelError):
        model = make(num_classes=num_classes, **taken)
    if not isinstance(model, SegModel):
        raise ModelError(f"{reference!r} must give a SegModel, got {type(model).__name__}.")
    if model.channels != channels:
        raise ModelError(f"{reference!r} must have the attribute channels {channels}, got {model.channels}.")
    return model.train()


def _makes_networks(found: Any) -> bool:
    return (own.is_subclass(found, SegModel) or own.returns(found, SegModel)) and _takes(found, "num_classes")


def _takes(found: Any, name: str) -> bool:
    parameters = inspect.signature(found).parameters.values()
    return any(parameter.name == name or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
