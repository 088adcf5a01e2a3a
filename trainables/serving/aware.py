"""Quantisation-aware fine-tuning: a trained student learns on, by its own losses and teacher, while it is rounded.

Source: Jacob et al. 2018, arXiv:1712.05877, section 3.
Deviation: weights by output channel, and BatchNorm as a layer of its own instead of folded into the weights: by
    channel, rounding commutes with that fold. Not PT2E's captured graph, which has no taps for the losses on features.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.loop import train
from trainables.losses.find import find_method
from trainables.models.segmodel import SegModel
from trainables.state import TrialState, criterion_weights, student_weights

LR = 0.1  # of the trial's learning rate
_DECAY = 0.9  # of the ends of an input's range, by step
_HEAVY = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_LEAST = 1e-12  # a scale; the channel is 0


def fine_tune(
    config: TrialConfig,
    learnt: dict[str, Tensor],
    *,
    dataset: SegDataset,
    teacher: SegModel | None,
    steps: int,
) -> dict[str, Tensor]:
    """The student's weights after some more steps of its trial, from a tenth of its learning rate downwards.

    A method that trains two students goes on with the labels alone, and no weights are averaged.

    Args:
        learnt: a whole checkpoint of the trial: the student as it is scored, and what its losses have learnt.
        teacher: the trial's own; None for a method without a frozen one.

    Raises:
        NonFiniteLoss: a loss became NaN or infinite.
    """
    changes: dict[str, Any] = {
        "steps": steps,
        "eval_every": steps,
        "warmup_steps": 0,
        "lr": LR * config.lr,
        "ema_decay": None,
        "pretrained": False,
        "encoder_weights": None,
        "teacher_cache": False,
    }
    changes |= {"compile": "off", "processes": 1, "feature_share": None, "folds": None}
    changes |= {"method": "task"} if find_method(config.method).needs_peer else {}
    again = config.model_copy(update=changes)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:

        def begin(state: TrialState) -> None:
            state.student.load_state_dict(student_weights(learnt))
            if again.method == config.method:
                state.criterion.load_state_dict(criterion_weights(learnt))
            stack.enter_context(rounded(state.student))

        state = train(again, dataset=dataset, teacher=teacher, directory=Path(folder), begin=begin)
        stack.close()
        return {name: tensor.detach().cpu() for name, tensor in state.student.state_dict().items()}


@contextmanager
def rounded(network: nn.Module) -> Iterator[None]:
    """Inside, convolutions and linear layers compute as int8 would: with rounded weights, of rounded inputs.

    What is not a module, such as the products within an attention, is not rounded.
    """
    found = [one for one in network.modules() if isinstance(one, _HEAVY) and not parametrize.is_parametrized(one)]
    with ExitStack() as stack:
        for module in found:
            axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            parametrize.register_parametrization(module, "weight", Rounded(axis))
            stack.callback(parametrize.remove_parametrizations, module, "weight", leave_parametrized=False)
            stack.callback(module.register_forward_pre_hook(Inputs()).remove)
        yield


class Rounded(nn.Module):
    """A weight on 255 levels a channel, symmetric about 0; gradients pass as if it were not."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, weight: Tensor) -> Tensor:
        others = [one for one in range(weight.ndim) if one != self.axis]
        scale = (weight.detach().abs().amax(others) / 127).clamp(min=_LEAST)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, self.axis, -127, 127)


class Inputs:
    """A module's inputs on 256 levels between the running least and most of what training has shown, 0 among them."""

    def __init__(self) -> None:
        self._ends: Tensor | None = None

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not given:  # named, in code of the user's own
            return given
        values = given[0].float()
        if module.training or self._ends is None:
            low, high = values.detach().aminmax()
            seen = torch.stack([low.clamp(max=0), high.clamp(min=0)])
            self._ends = seen if self._ends is None else self._ends.lerp(seen, 1 - _DECAY)
        scale = ((self._ends[1] - self._ends[0]) / 255).clamp(min=_LEAST)
        zero = (-128 - self._ends[0] / scale).round().clamp(-128, 127).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, -128, 127), *given[1:]
