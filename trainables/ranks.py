"""The processes that share a step's batch, its ranks: together they do what one process does with the whole batch.

A rank computes its own images. Its losses divide by what is valid in the whole batch, its BatchNorms take the whole
batch's statistics, and gradients are averaged once the backward passes of a step are done. By hand rather than by
DistributedDataParallel, whose hooks reduce in every backward pass: a step has one for each part of `accumulate`, and
more for the terms' shares. The price is that reducing does not overlap with the backward pass.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from trainables.errors import CheckpointError

_BUCKET = 2**24  # numbers that are reduced at a time: 64 MiB beside the gradients in fp32
_SIGNATURE = inspect.signature(F.batch_norm)


class Ranks(NamedTuple):
    """Attributes:
    number: of this process.
    size: how many there are; 1: nothing here does anything.
    """

    number: int = 0
    size: int = 1

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within it, `denominator` and every BatchNorm that trains speak for all ranks, which must ask alike."""
        global _sharing
        if self.size == 1:
            yield
            return
        before, _sharing = _sharing, self
        try:
            with _BatchNorms(self):
                yield
        finally:
            _sharing = before

    def seed(self, seed: int, step: int) -> None:
        """So that ranks draw apart. The first draws on as one process does; the others by (seed, step) alone, so that
        the first one's random states are all that a checkpoint needs.
        """
        if self.number:
            draw = torch.Generator().manual_seed(seed)
            torch.manual_seed(int(torch.randint(2**48, (), generator=draw)) + step * self.size + self.number)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """In place, over the ranks; the same numbers on each."""
        if self.size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            flat /= self.size
            for tensor, mean in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """The first rank's values, in place, to all."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            dist.broadcast(sent.view(torch.uint8) if sent.dtype == torch.bool else sent, src=0)
            if sent.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(sent)

    def agree(self, step: int, *, device: torch.device) -> None:
        """Raises:
        CheckpointError: the ranks found checkpoints of different steps; one was written meanwhile.
        """
        if self.size > 1 and int(self.total(torch.tensor(step, device=device))) != step * self.size:
            raise CheckpointError(f"The processes of a trial found other checkpoints, this one step {step}. Try again.")

    def total(self, counts: Tensor) -> Tensor:
        """The sum over the ranks; alone, as given."""
        if self.size == 1:
            return counts
        summed = counts.clone()
        dist.all_reduce(summed)
        return summed

    def texts(self, own: Sequence[str], *, device: torch.device) -> list[str]:
        """Those of all ranks, in their order."""
        if self.size == 1:
            return list(own)
        raw = torch.frombuffer(bytearray(json.dumps(list(own)).encode()), dtype=torch.uint8).to(device)
        lengths = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(raw)], device=device))
        most = max(int(length) for length in lengths)
        found = [torch.zeros(most, dtype=torch.uint8, device=device) for _ in range(self.size)]
        dist.all_gather(found, F.pad(raw, (0, most - len(raw))))
        whole = (bytes(part[: int(length)].tolist()) for part, length in zip(found, lengths, strict=True))
        return [text for part in whole for text in json.loads(part)]


ALONE = Ranks()
_sharing: Ranks | None = None


def denominator(count: Tensor) -> Tensor:
    """What a rank's sum over so many of its own is divided by, at least 1.

    With ranks: the whole batch's count over their number, so that the ranks' mean is the whole batch's quotient.
    """
    if _sharing is None:
        return count.clamp(min=1)
    return _sharing.total(count).clamp(min=1) / _sharing.size


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """In order, of one type each."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket


class _BatchNorms(TorchFunctionMode):
    """Every training call of `F.batch_norm`, whatever module makes it (timm's have an activation in them), takes the
    statistics of all ranks.
    """

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        given = _SIGNATURE.bind(*args, **(kwargs or {}))
        given.apply_defaults()
        called = given.arguments
        if not called["training"]:
            return func(*args, **(kwargs or {}))
        names = ("input", "weight", "bias", "running_mean", "running_var", "eps", "momentum")
        if called["input"].device.type == "cuda":  # torch's own, of fused kernels, which a CPU has not
            from torch.nn.modules._functions import SyncBatchNorm

            return SyncBatchNorm.apply(*(called[name] for name in names), dist.group.WORLD, self._ranks.size)
        return _BatchNorm.apply(*(called[name] for name in names))


class _BatchNorm(torch.autograd.Function):
    """BatchNorm over all ranks, in fp32. Gradients of the input are those of the ranks' summed losses; those of weight
    and bias are this rank's part of them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        eps: float,
        momentum: float,
    ) -> Tensor:
        count, mean, var = _moments(maps)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(var * (count / (count - 1)), momentum)
        ctx.count, ctx.invstd = count, (var + eps).rsqrt()
        ctx.save_for_backward(maps, weight, mean)
        return F.batch_norm(maps, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight, mean = ctx.saved_tensors
        scale = ctx.invstd if weight is None else ctx.invstd * weight
        normed = (maps - _wide(mean, maps)) * _wide(ctx.invstd, maps)
        to_bias, to_weight = grad.sum(_but_channels(maps)), (grad * normed).sum(_but_channels(maps))
        means = torch.stack([to_bias, to_weight])
        dist.all_reduce(means)
        means /= ctx.count
        to_maps = (grad - _wide(means[0], maps) - normed * _wide(means[1], maps)) * _wide(scale, maps)
        affine = (None, None) if weight is None else (to_weight, to_bias)
        return to_maps, *affine, None, None, None, None


def _moments(maps: Tensor) -> tuple[float, Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Numbers of a channel, mean and variance of all ranks' maps, by each rank's own, so that nothing cancels."""
    var, mean = torch.var_mean(maps, dim=_but_channels(maps), correction=0)
    count = torch.full_like(mean, maps.numel() // maps.shape[1])
    own = torch.stack([count, mean, var])
    found = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(found, own)
    counts, means, variances = torch.stack(found, dim=1)
    whole = counts.sum(dim=0)
    mean = (counts * means).sum(dim=0) / whole
    return float(whole[0]), mean, (counts * (variances + (means - mean).square())).sum(dim=0) / whole


def _but_channels(maps: Tensor) -> list[int]:
    return [dim for dim in range(maps.ndim) if dim != 1]


def _wide(values: Float[Tensor, " c"], maps: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (maps.ndim - 2))
