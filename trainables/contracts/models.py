"""What every network promises the loop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.contracts.claim import Claim, ensure
from trainables.contracts.tiny import IGNORE, NUM_CLASSES, random_labels
from trainables.models.segmodel import Features, SegModel

CROP = (32, 64)  # pixels: multiples of 32
ODD = (96, 160)  # odd multiples of 32
_CLOSE = 1e-3


@dataclass(frozen=True)
class Network:
    """A network under test: `make` builds it for a number of classes, in train mode."""

    make: Callable[[int], SegModel]

    def build(self, num_classes: int = NUM_CLASSES, *, seed: int = 0) -> SegModel:
        torch.manual_seed(seed)
        return self.make(num_classes)


def images(height: int, width: int, *, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def it_is_built_offline(network: Network) -> None:
    with _offline():
        network.build()


def it_starts_in_train_mode(network: Network) -> None:
    model = network.build()
    ensure(all(part.training for part in model.modules()), "It is built with parts in eval mode.")
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    ensure(len(frozen) < len(list(model.parameters())), "Not one of its parameters requires a gradient.")


def a_seed_gives_the_same_weights(network: Network) -> None:
    first, second = network.build().state_dict(), network.build().state_dict()
    for name, value in first.items():
        ensure(torch.equal(value, second[name]), f"{name} differs between two networks of one seed.")


def logits_have_a_channel_a_class(network: Network) -> None:
    for num_classes in (2, NUM_CLASSES):
        logits = _forward(network.build(num_classes), images(*CROP)).logits
        ensure(logits.shape[:2] == (2, num_classes), f"{num_classes} classes, 2 images: logits {tuple(logits.shape)}.")


def maps_are_as_declared(network: Network) -> None:
    for size in (CROP, ODD):
        model = network.build()
        found = _forward(model, images(*size))
        _has_grid("logits", found.logits, model.stride, size)
        ensure(found.taps.keys() == model.taps.keys(), f"taps are {list(found.taps)}, declared {list(model.taps)}.")
        for name, tap in model.taps.items():
            channels = found.taps[name].shape[1]
            ensure(channels == tap.channels, f"tap {name} has {channels} channels, declared are {tap.channels}.")
            _has_grid(f"tap {name}", found.taps[name], tap.stride, size)


def maps_are_finite(network: Network) -> None:
    for batch in (images(*CROP), torch.zeros(2, 3, *CROP)):
        _are_finite(network.build()(batch), "in train mode")
        _are_finite(_forward(network.build(), batch), "in eval mode")


def images_are_left_alone(network: Network) -> None:
    batch = images(*CROP)
    network.build()(batch)
    ensure(torch.equal(batch, images(*CROP)), "forward writes into the images, which the teacher sees too.")


def an_image_does_not_depend_on_its_batch(network: Network) -> None:
    model, batch = network.build(), images(*CROP, batch=3)
    whole = _forward(model, batch).logits
    alone = torch.cat([_forward(model, image[None]).logits for image in batch])
    ensure(_near(whole, alone), "In eval mode an image's logits depend on the other images of its batch.")


def eval_mode_draws_nothing(network: Network) -> None:
    model, batch = network.build(), images(*CROP)
    first, second = _forward(model, batch).logits, _forward(model, batch).logits
    ensure(torch.equal(first, second), "In eval mode two calls on one batch differ.")


def the_loss_reaches_every_parameter(network: Network) -> None:
    model = network.build()
    logits = model(images(*CROP)).logits
    F.cross_entropy(logits, random_labels(2, *logits.shape[2:]), ignore_index=IGNORE).backward()
    learning = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    left = [name for name, parameter in learning if parameter.grad is None]
    ensure(not left, f"No gradient reaches {', '.join(left[:5])} ({len(left)} in all). Remove or freeze them.")
    for name, parameter in learning:
        ensure(bool(torch.isfinite(parameter.grad).all()), f"The gradient of {name} is not finite.")  # type: ignore[arg-type]


def weights_go_through_a_checkpoint(network: Network) -> None:
    model, other = network.build(), network.build(seed=1)
    model(images(*CROP))  # running statistics are no longer those of the start
    other.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    same = torch.equal(_forward(model, images(*CROP)).logits, _forward(other, images(*CROP)).logits)
    ensure(same, "A network with another's state_dict gives other logits: keep all that counts in it.")


def autocast_is_finite(network: Network) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _are_finite(network.build()(images(*CROP)), "under bf16 autocast")


CLAIMS = (
    Claim("it is built without a network connection", it_is_built_offline),
    Claim("it starts in train mode", it_starts_in_train_mode),
    Claim("a seed gives the same weights", a_seed_gives_the_same_weights),
    Claim("its logits have a channel for each class", logits_have_a_channel_a_class),
    Claim("logits and taps have the declared channels and strides", maps_are_as_declared),
    Claim("its maps are finite", maps_are_finite),
    Claim("images are left alone", images_are_left_alone),
    Claim("in eval mode an image does not depend on its batch", an_image_does_not_depend_on_its_batch),
    Claim("in eval mode nothing is drawn at random", eval_mode_draws_nothing),
    Claim("the loss reaches every parameter", the_loss_reaches_every_parameter),
    Claim("a checkpoint holds all of it", weights_go_through_a_checkpoint),
    Claim("under bf16 autocast its maps are finite", autocast_is_finite),
)


@torch.no_grad()
def _forward(model: SegModel, batch: Tensor) -> Features:
    found: Features = model.eval()(batch)
    return found


def _has_grid(what: str, maps: Tensor, stride: int, size: tuple[int, int]) -> None:
    grid, expected = tuple(maps.shape[2:]), (size[0] // stride, size[1] // stride)
    ensure(grid == expected, f"{what} of a {size[0]}x{size[1]} image is {grid}; stride {stride} makes {expected}.")


def _are_finite(found: Features, when: str) -> None:
    for name, maps in {"logits": found.logits, **found.taps}.items():
        ensure(bool(maps.isfinite().all()), f"{name} is not finite {when}.")


def _near(one: Tensor, two: Tensor) -> bool:
    return bool((one - two).abs().max() <= _CLOSE * one.abs().max().clamp(min=1e-6))


@contextmanager
def _offline() -> Iterator[None]:
    """No socket leads anywhere."""

    def refuse(*_: object) -> None:
        raise OSError("it asks for a network connection")

    connect = socket.socket.connect
    socket.socket.connect = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
