"""Recipe: how one network is trained; default, unit and range of each field, and when it is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from trainables.conditions import as_condition
from trainables.fields import read

STRIDE = 32
"""Every encoder's coarsest, pixels: what a network sees is padded to a multiple."""


class Recipe(BaseModel):
    """How one network is trained: shared by students and teachers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = read(400, "Budget: optimiser steps.", unit="steps", ge=1)
    batch_size: int = read(8, "Images a step; BatchNorm after global pooling needs 2.", unit="images", ge=2)
    crop_height: int = read(128, "Training crop; networks see it padded to a multiple of 32.", unit="pixels", ge=32)
    crop_width: int = read(128, "Training crop; networks see it padded to a multiple of 32.", unit="pixels", ge=32)
    scale_min: float = read(0.5, "Smallest random scale of a training image.", unit="image sides", gt=0, le=8)
    scale_max: float = read(2.0, "Largest random scale of a training image.", unit="image sides", gt=0, le=8)
    flip_horizontal: float = read(0.5, "Probability of a left-right flip.", unit="probability", ge=0, le=1)
    flip_vertical: float = read(0.0, "Probability of a top-bottom flip.", unit="probability", ge=0, le=1)
    color_jitter: float = read(0.0, "Strength of brightness, contrast and saturation jitter.", unit="1", ge=0, lt=1)
    optimizer: Literal["adamw", "sgd"] = read("adamw", "AdamW for Transformers, SGD with momentum as in CNN recipes.")
    lr: float = read(1e-3, "Learning rate at step 0; decays by the poly schedule.", unit="1", gt=0, le=10)
    momentum: float = read(0.9, "Momentum of SGD.", unit="1", ge=0, lt=1, when={"optimizer": ("sgd",)})
    weight_decay: float = read(1e-2, "Weight decay.", unit="1", ge=0, le=1)
    poly_power: float = read(0.9, "lr(step) = lr * (1 - step / steps) ** poly_power.", unit="1", ge=0)
    warmup_steps: int = read(0, "Steps over which lr rises linearly, beside the poly schedule.", unit="steps", ge=0)
    clip_norm: float | None = read(None, "Largest gradient norm; none: not clipped.", unit="1", gt=0)
    accumulate: int = read(
        1, "Parts in which a step's batch is computed, one after the other, their gradients averaged: less memory. "
        "BatchNorm and the losses' means see a part.", unit="parts", ge=1,
    )  # fmt: skip
    ema_decay: float | None = read(
        None, "The weights that are scored and kept are a running average of those trained: each step so much of it "
        "stays, at first less, (1 + step) / (10 + step); none: the trained weights themselves.", unit="1", ge=0, lt=1,
    )  # fmt: skip
    lambda_aux: float = read(
        0.0, "Weight of an auxiliary FCN head on stage3, 0.4 in CNN recipes; 0: none.", unit="1", ge=0
    )
    pretrained: bool = read(False, "ImageNet weights for the encoder, fetched by timm; needs a network once.")
    encoder_weights: str | None = read(
        None, "Local weights of the encoder: a file, or a folder with <encoder>.safetensors or .pth."
    )
    seed: int = read(0, "Seed of weights, data order, crops and dropout.", unit="1", ge=0, lt=2**31)
    num_threads: int = read(1, "CPU threads; part of the recipe because float sums depend on it.", unit="threads", ge=1)

    @model_validator(mode="after")
    def _scales_are_ordered(self) -> Recipe:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min must be <= scale_max ({self.scale_max}), got {self.scale_min}.")
        return self

    @model_validator(mode="after")
    def _accumulates_whole_parts(self) -> Recipe:
        if self.batch_size % self.accumulate or self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"accumulate must divide batch_size ({self.batch_size}) into parts of at least 2 images, got "
                f"{self.accumulate}."
            )
        return self

    @model_validator(mode="after")
    def _warms_up_within_the_budget(self) -> Recipe:
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps must be < steps ({self.steps}), got {self.warmup_steps}.")
        return self

    @property
    def padded_crop(self) -> tuple[int, int]:
        """Height and width of what a network sees, pixels: the crop, padded below and right with ignored pixels."""
        return self.crop_height + -self.crop_height % STRIDE, self.crop_width + -self.crop_width % STRIDE

    @classmethod
    def alternatives(cls, field: str) -> list[dict[str, tuple[Any, ...]]]:
        """The ways in which a field comes to be read: which other fields have which values; an empty one always holds.

        One for most fields.
        """
        extra = cls.model_fields[field].json_schema_extra
        assert isinstance(extra, dict)
        ways: Any = extra["when"]
        return [{name: tuple(values) for name, values in way.items()} for way in ways]

    @classmethod
    def conditions(cls, field: str) -> dict[str, tuple[Any, ...]]:
        """Which values of which other fields it needs to be read, in one way or another; empty: always read."""
        first, *others = cls.alternatives(field)
        named = [name for name in first if all(name in way for way in others)]
        return {name: tuple(dict.fromkeys(value for way in (first, *others) for value in way[name])) for name in named}

    def reads(self, field: str) -> bool:
        """Whether a training with this config reads `field`."""
        return any(
            all(as_condition(getattr(self, name)) in values for name, values in way.items())
            for way in self.alternatives(field)
        )

    def read_values(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """The fields that are read, as JSON; nested recipes likewise."""
        values = self.model_dump(mode="json", exclude=set(without))
        nested = {name: value.read_values() for name, value in self if isinstance(value, Recipe)}
        return {name: nested.get(name, value) for name, value in values.items() if self.reads(name)}
