"""BatchNorm folded into the convolution before it: a frozen network then says the same in fewer passes over memory."""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainables.models.segmodel import Features, SegModel

TOLERANCE = 1e-4  # of a map's largest absolute value, in fp32
_SIDE = 64  # pixels of the dry forward; SegModel itself has been probed on them
_CONVOLUTIONS = {"Conv2d", "Conv2dSame"}  # others may do more with a weight than convolve
_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)  # and what is derived from them


class Pair(NamedTuple):
    """A convolution, and the BatchNorm that alone reads what it says."""

    conv: nn.Conv2d
    norm: _BatchNorm


def fold(model: SegModel) -> SegModel:
    """A copy of a frozen model without the BatchNorms that follow a convolution; the model itself is not changed.

    Which do is seen in one dry forward, so it does not matter how a network names or nests them. The copy is compared
    with the model there: where a map differs by more than TOLERANCE, or the copy cannot be made, the model is returned.
    In between stay BatchNorms after anything else, such as a concatenation or a convolution that is used twice.

    Args:
        model: in eval mode, without gradients. Its dtype is kept.
    """
    assert not model.training
    weight = next(model.parameters())
    images = torch.randn(1, model.channels, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0)).to(weight)
    with torch.no_grad(), _exact_convolutions():
        try:
            folded = copy.deepcopy(model)
            for pair in find_pairs(folded, images):
                _replace(folded, pair)
            same = _agree(folded(images), model(images))
        except Exception:  # a network of the user's own may do anything; unfolded it is only slower
            return model
    return folded if same else model


@torch.no_grad()
def find_pairs(model: SegModel, images: Float[Tensor, "batch channels H W"]) -> list[Pair]:
    """Each convolution that ran once and whose result nothing read but a BatchNorm that ran once."""
    calls: list[tuple[nn.Module, Any, Any]] = []
    with ExitStack() as stack:
        for module in model.modules():
            if type(module).__name__ in _CONVOLUTIONS or isinstance(module, _NORMS):
                handle = module.register_forward_hook(lambda *call: calls.append(call))
                stack.callback(handle.remove)
        readers = stack.enter_context(_Readers())
        features = model(images)
    readers.count(features)
    times = Counter(id(module) for module, _, _ in calls)
    once = [call for call in calls if times[id(call[0])] == 1]
    said = {id(output): module for module, _, output in once if isinstance(module, nn.Conv2d)}
    norms = [(module, given[0]) for module, given, _ in once if isinstance(module, _NORMS)]
    return [
        Pair(said[id(given)], norm)
        for norm, given in norms
        if id(given) in said and readers.times[id(given)] == 1 and norm.running_var is not None
    ]


class _Readers(TorchDispatchMode):
    """Counts the operators that are given each tensor; keeps all tensors alive, so that ids stay theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[int] = Counter()
        self._alive: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count((args, kwargs))
        return func(*args, **(kwargs or {}))

    def count(self, given: Any) -> None:
        tensors = [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
        self.times.update(id(tensor) for tensor in tensors)
        self._alive += tensors


def _replace(model: nn.Module, pair: Pair) -> None:
    """The convolution gets weights of its own: another that shared the old ones keeps them."""
    conv, norm = pair
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    conv.weight, conv.bias = (nn.Parameter(value, requires_grad=False) for value in (weight, bias))
    for parent in model.modules():
        for name, child in parent._modules.items():  # a BatchNorm may have two names
            if child is norm:
                parent._modules[name] = _rest(norm)


def _rest(norm: _BatchNorm) -> nn.Module:
    """What the module does after normalising: timm's also activates."""
    if type(norm) in _NORMS:
        return nn.Identity()
    return nn.Sequential(*(part for part in (getattr(norm, "drop", None), getattr(norm, "act", None)) if part))


def _agree(folded: Features, model: Features) -> bool:
    pairs = [(folded.logits, model.logits), *((folded.taps[name], tap) for name, tap in model.taps.items())]
    return all((a - b).abs().max() <= TOLERANCE * b.abs().max() for a, b in pairs)


def _exact_convolutions() -> Any:
    """Without TF32, which would differ by more than TOLERANCE from itself."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
