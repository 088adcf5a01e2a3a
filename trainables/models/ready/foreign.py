"""A network of another library, as it is asked here: its own pixels in, its own logits and features out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.published import MEAN, STD


class Pixels(NamedTuple):
    """What a network was trained on: (value / scale - mean) / std of 0..255, by channel.

    Attributes:
        mean, std: in the order of its own channels.
        scale: 255 for values in [0, 1], 1 for 0..255.
        bgr: blue first.
    """

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    scale: float = 255.0
    bgr: bool = False


def pixels_of(facts: Mapping[str, Any], channels: int) -> Pixels:
    """What the hub's image processors would do.

    Args:
        facts: what preprocessor_config.json holds.
        channels: of the images.
    """
    plain, defaults = not facts.get("do_normalize", True), Pixels()
    return Pixels(
        mean=(0.0,) * channels if plain else tuple(facts.get("image_mean") or defaults.mean),
        std=(1.0,) * channels if plain else tuple(facts.get("image_std") or defaults.std),
        scale=1 / float(facts.get("rescale_factor") or 1 / 255) if facts.get("do_rescale", True) else 1.0,
        bgr=bool(facts.get("do_flip_channel_order", False)),
    )


def names_of(labels: Mapping[Any, Any] | None) -> tuple[str, ...]:
    """Of classes, in the order of their ids, out of an id2label, whose ids JSON makes texts."""
    return tuple(str((labels or {})[number]) for number in sorted(labels or {}, key=int))


class Answer(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: at its own stride; None: it is a backbone.
        stages: up to four features, finest first.
        decoded: what its last 1x1 convolution reads; None where it has none.
    """

    logits: Float[Tensor, "batch theirs height width"] | None
    stages: list[Tensor]
    decoded: Tensor | None


class Foreign(nn.Module):
    """A library's own module and how it is asked. In eval mode, without gradients.

    Attributes:
        channels: of the images that it was trained on.
        pixels: how those were prepared; None: as the data set's.
        names: of its classes, by id; empty where it names none.
        num_classes: channels of its logits; 0: it is a backbone.
        patch: sides of an image are resized to multiples of this before it sees them; 1: any will do.
        side: the only side it takes, pixels; none: any.
    square: it takes square images alone, so that others are stretched, as its own library does.
        licence: of its weights, as their source states it.
    """

    channels: int = 3
    pixels: Pixels | None = Pixels()
    names: tuple[str, ...] = ()
    num_classes: int = 0
    patch: int = 1
    side: int | None = None
    square: bool = False
    licence: str = "unknown"

    @abstractmethod
    def ask(self, pixels: Float[Tensor, "batch channels H W"]) -> Answer:
        """Its answer to images prepared as its own library does it."""


class Kept(nn.Module):
    """A module that keeps what it was last given and gave, until that is taken. No hook: it can be copied, compiled
    and folded.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.given: Any = None
        self.said: Any = None

    def forward(self, *given: Any, **named: Any) -> Any:
        self.given = given[0] if given else None
        self.said = self.inner(*given, **named)
        return self.said

    def forward_with_filtered_kwargs(self, *given: Any, **named: Any) -> Any:
        """What transformers' UPerNet and DPT call of their backbones."""
        backbone: Any = self.inner
        self.said = backbone.forward_with_filtered_kwargs(*given, **named)
        return self.said

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def take(self) -> tuple[Any, Any]:
        """Input and output of the last call, which are forgotten."""
        found = self.given, self.said
        self.given = self.said = None
        return found


def keep(root: nn.Module, module: nn.Module) -> Kept:
    """Put a Kept in a module's place, wherever it stands under `root`."""
    kept = Kept(module)
    for parent in [*root.modules()]:
        for name, child in [*parent.named_children()]:
            if child is module and parent is not kept:
                setattr(parent, name, kept)
    return kept


def classifier(module: nn.Module, num_classes: int, run: Any) -> nn.Module | None:
    """The 1x1 convolution to `num_classes` channels that runs last; None where there is none.

    Args:
        run: calls the module once.
    """
    called: list[nn.Module] = []
    found = [
        one
        for one in module.modules()
        if isinstance(one, nn.Conv2d) and one.out_channels == num_classes and one.kernel_size == (1, 1)
    ]
    handles = [one.register_forward_hook(lambda one, *_: called.append(one)) for one in found]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return called[-1] if called else None


def native(said: Tensor, whole: Tensor, *, tolerance: float = 1e-5) -> bool:
    """Whether `whole` is nothing but `said` enlarged bilinearly, as evaluation here enlarges logits."""
    if said.shape[:2] != whole.shape[:2] or said.shape[-1] >= whole.shape[-1]:
        return False
    enlarged = F.interpolate(said.float(), size=whole.shape[-2:], mode="bilinear", align_corners=False)
    return bool((enlarged - whole.float()).abs().max() <= tolerance * whole.float().abs().max().clamp(min=1))


def as_map(hidden: Tensor, size: tuple[int, int], patch: int) -> Tensor | None:
    """A hidden state as a map: itself, or the tokens of a grid of patches without those before them; else None."""
    if hidden.dim() == 4:
        return hidden
    rows, columns = size[0] // patch, size[1] // patch
    if hidden.dim() != 3 or rows * columns < 1 or hidden.shape[1] < rows * columns:
        return None
    tokens = hidden[:, hidden.shape[1] - rows * columns :]
    return tokens.transpose(1, 2).reshape(len(hidden), -1, rows, columns)


def four(maps: list[Tensor]) -> list[Tensor]:
    """At most four of a network's features: the last of each grid, or where there is one grid, evenly by depth."""
    last = {one.shape[-1]: one for one in maps}
    if len(last) > 1:
        return [last[width] for width in sorted(last, reverse=True)][-4:]
    if len(maps) <= 4:
        return maps
    return [maps[round((len(maps) - 1) * part / 4)] for part in (1, 2, 3, 4)]
