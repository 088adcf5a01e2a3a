"""Bands: how many channels an image has, what its numbers are parts of, and how a network is given them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from trainables.published import MEAN, STD

BYTE = 255.0
"""The scale of images of 8 bits."""
_MOST = 255  # channels


@dataclass(frozen=True)
class Bands:
    """A network is given (value / scale - mean) / std of each stored value, by channel.

    Attributes:
        channels: of an image.
        mean, std: of value / scale, by channel; empty: not measured yet.
        scale: 255 for images of 8 bits; else what the numbers are parts of, such as 65535, or 10000 for Sentinel-2.
        shown: the channels that are red, green and blue in pictures, counted from 0.
    """

    channels: int = 3
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    scale: float = BYTE
    shown: tuple[int, int, int] = (0, 1, 2)

    @property
    def is_deep(self) -> bool:
        """Whether the numbers are kept as float32; else as uint8."""
        return self.scale != BYTE

    @property
    def is_photo(self) -> bool:
        """RGB of 8 bits."""
        return self.channels == 3 and not self.is_deep

    @property
    def is_measured(self) -> bool:
        return len(self.mean) == self.channels

    @property
    def fill(self) -> list[int | float]:
        """Stored values that normalise to about 0: what is padded, or holds no data."""
        values: list[int | float] = [self.scale * mean for mean in self.mean]
        return values if self.is_deep else [round(value) for value in values]

    @property
    def content(self) -> dict[str, Any]:
        """What a network sees of them, as JSON."""
        return {"channels": self.channels, "mean": [*self.mean], "std": [*self.std], "scale": self.scale}

    @property
    def record(self) -> dict[str, Any]:
        """All of it as JSON, for `of`."""
        return asdict(self) | {"mean": [*self.mean], "std": [*self.std], "shown": [*self.shown]}

    @property
    def words(self) -> str:
        """Such as "4 channels, scale 10000"."""
        return f"{self.channels} channel{'s' * (self.channels > 1)}, scale {self.scale:g}"

    @classmethod
    def of(cls, record: object) -> Bands:
        """The inverse of `record`; None is RGB.

        Raises:
            ValueError: it is no record.
        """
        if record is None:
            return RGB
        if not isinstance(record, Mapping):
            raise ValueError(f"bands must be a mapping, got {record!r}.")
        return Declared.model_validate(dict(record)).bands


RGB = Bands()
"""8 bits, with ImageNet's mean and std: what images are unless a data set says otherwise."""


class Declared(BaseModel):
    """What dataset.yaml says of its images' bands."""

    channels: int = Field(3, ge=1, le=_MOST)
    mean: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = None
    scale: float = Field(BYTE, gt=0, allow_inf_nan=False)
    shown: tuple[int, int, int] | None = None

    @model_validator(mode="after")
    def _has_a_number_for_each_channel(self) -> Declared:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std must be given both, or neither: `heteroakd data check --measure` says them.")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                rule = f"one number for each of the {self.channels} channels"
                raise ValueError(f"{name} must hold {rule}, got {len(values)}.")
        if self.shown is not None and not all(0 <= one < self.channels for one in self.shown):
            rule = f"three channels, counted from 0 to {self.channels - 1}"
            raise ValueError(f"shown must name {rule}, got {', '.join(map(str, self.shown))}.")
        return self

    @property
    def bands(self) -> Bands:
        """ImageNet's mean and std only where there are three channels and nothing else is said."""
        unsaid: tuple[tuple[float, ...], tuple[float, ...]] = (MEAN, STD) if self.channels == 3 else ((), ())
        mean, std = self.mean or unsaid[0], self.std or unsaid[1]
        shown = self.shown or ((0, 1, 2) if self.channels > 2 else (0, 0, 0))
        return Bands(self.channels, mean, std, self.scale, shown)
