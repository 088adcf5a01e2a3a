"""Whether a network attends."""

from __future__ import annotations

from trainables.models.segmodel import SegModel


def is_convolutional(model: SegModel) -> bool:
    """Whether no module of its encoder is an attention between places, by the name of its class; hybrids attend.

    ResNeSt's SplitAttn chooses among channels, as do the gates of other convolutional encoders.
    """
    names = {type(module).__name__.lower() for module in model.encoder.modules()} - {"splitattn"}
    return not any("attention" in name or name.endswith("attn") for name in names)
