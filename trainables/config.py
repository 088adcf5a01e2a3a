"""TrialConfig: every hyper-parameter of a trial, once: default, unit, range and the condition under which it is read.

A search space, a study spec, the loop and an exported `best.yaml` all use these names and no others.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainables.errors import from_validation, unknown
from trainables.yamls import load_yaml

METHODS = (
    *("task", "kd", "heteroakd", "cwd", "skd", "ifvd", "at", "fitnet", "dist", "cirkd", "afdcd", "ofa"),
    "collaborative",
)
OWN = "own"
"""What a method of the user's own, `package.module:name`, is called in conditions."""
OWN_PREFIX = "own."
"""A search dimension `own.alpha` is the entry `alpha` of the field `own`."""
CROPS = {"cityscapes": (512, 1024), "voc": (512, 512), "ade20k": (512, 512), "camvid": (352, 480)}
"""Training crops of the papers, height and width, pixels."""
Tap = Literal["stage1", "stage2", "stage3", "stage4", "decoder"]
SPEED = (
    *("num_workers", "channels_last", "compile", "fused_optimizer", "hakd_kernel", "fold_teacher"),
    *("augment_on", "image_cache"),
)
"""How a trial is computed, not what: results agree to within rounding, so digests leave these out.

But for one: in channels_last, dropout draws in another order.
"""
_STREAM = (
    *("data", "views", "seed", "steps", "batch_size", "crop_height", "crop_width", "scale_min", "scale_max"),
    *("flip_horizontal", "flip_vertical", "color_jitter", "on_corrupt", "eval_every", "eval_mode", "eval_stride"),
    *("device", "amp", "num_threads", "num_workers", "channels_last", "augment_on", "image_cache"),
)
_GUIDE = ("teacher", "teacher_recipe", "teacher_checkpoint", "teacher_cache", "fold_teacher", "compile")


def _read(default: Any, doc: str, /, *, unit: str = "", when: dict[str, Any] | None = None, **limits: Any) -> Any:
    """A field with its description; `when`: the values of other fields under which a trial reads it.

    `unit` is a number's, "1" if it has none; the reference (docs/reference/trial.md) shows both.
    """
    return Field(default, description=doc, json_schema_extra={"when": when or {}, "unit": unit}, **limits)


def _method(*names: str) -> dict[str, Any]:
    return {"method": names}


_TAUGHT = _method(*(name for name in METHODS if name not in ("task", "collaborative")), OWN)
_PAIRED = _method(*_TAUGHT["method"], "collaborative")
_TAPPED = _method("heteroakd", "cwd", "skd", "ifvd", "at", "fitnet", "cirkd", "afdcd", OWN)
_SOFTENED = _method("kd", "heteroakd", "collaborative")
_HAKD = _method("heteroakd")
_DEEP = _HAKD | {"projector_depth": (2, 3)}
_ONLINE = _method("collaborative")


def as_condition(value: Any) -> Any:
    """A field's value as conditions name it: every method of the user's own is OWN."""
    return OWN if isinstance(value, str) and ":" in value and value not in METHODS else value


def _known_method(name: str) -> str:
    if name not in METHODS and ":" not in name:
        raise ValueError(unknown("method", name, METHODS, "Your own is named package.module:name."))
    return name


def _weight(default: float, doc: str, /, *methods: str) -> Any:
    """The weight of a term, under the methods that have it."""
    return _read(default, f"Weight of {doc}.", unit="1", ge=0, le=1e6, when=_method(*methods))


class Recipe(BaseModel):
    """How one network is trained: shared by students and teachers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = _read(400, "Budget: optimiser steps.", unit="steps", ge=1)
    batch_size: int = _read(8, "Images a step; BatchNorm after global pooling needs 2.", unit="images", ge=2)
    crop_height: int = _read(128, "Training crop, pixels.", unit="pixels", ge=32, multiple_of=32)
    crop_width: int = _read(128, "Training crop, pixels.", unit="pixels", ge=32, multiple_of=32)
    scale_min: float = _read(0.5, "Smallest random scale of a training image.", unit="image sides", gt=0, le=8)
    scale_max: float = _read(2.0, "Largest random scale of a training image.", unit="image sides", gt=0, le=8)
    flip_horizontal: float = _read(0.5, "Probability of a left-right flip.", unit="probability", ge=0, le=1)
    flip_vertical: float = _read(0.0, "Probability of a top-bottom flip.", unit="probability", ge=0, le=1)
    color_jitter: float = _read(0.0, "Strength of brightness, contrast and saturation jitter.", unit="1", ge=0, lt=1)
    optimizer: Literal["adamw", "sgd"] = _read("adamw", "AdamW for Transformers, SGD with momentum as in CNN recipes.")
    lr: float = _read(1e-3, "Learning rate at step 0; decays by the poly schedule.", unit="1", gt=0, le=10)
    momentum: float = _read(0.9, "Momentum of SGD.", unit="1", ge=0, lt=1, when={"optimizer": ("sgd",)})
    weight_decay: float = _read(1e-2, "Weight decay.", unit="1", ge=0, le=1)
    poly_power: float = _read(0.9, "lr(step) = lr * (1 - step / steps) ** poly_power.", unit="1", ge=0)
    clip_norm: float | None = _read(None, "Largest gradient norm; none: not clipped.", unit="1", gt=0)
    lambda_aux: float = _read(
        0.0, "Weight of an auxiliary FCN head on stage3, 0.4 in CNN recipes; 0: none.", unit="1", ge=0
    )
    pretrained: bool = _read(False, "ImageNet weights for the encoder, fetched by timm; needs a network once.")
    encoder_weights: str | None = _read(
        None, "Local weights of the encoder: a file, or a folder with <encoder>.safetensors or .pth."
    )
    seed: int = _read(0, "Seed of weights, data order, crops and dropout.", unit="1", ge=0, lt=2**31)
    num_threads: int = _read(
        1, "CPU threads; part of the recipe because float sums depend on it.", unit="threads", ge=1
    )

    @model_validator(mode="after")
    def _scales_are_ordered(self) -> Recipe:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min must be <= scale_max ({self.scale_max}), got {self.scale_min}.")
        return self

    @classmethod
    def conditions(cls, field: str) -> dict[str, tuple[Any, ...]]:
        """Which values of which other fields make it be read; empty: always read."""
        extra = cls.model_fields[field].json_schema_extra
        assert isinstance(extra, dict)
        return {name: tuple(values) for name, values in extra["when"].items()}  # type: ignore[union-attr, arg-type]

    def reads(self, field: str) -> bool:
        """Whether a training with this config reads `field`."""
        return all(as_condition(getattr(self, name)) in values for name, values in self.conditions(field).items())

    def read_values(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """The fields that are read, as JSON; nested recipes likewise."""
        values = self.model_dump(mode="json", exclude=set(without))
        nested = {name: value.read_values() for name, value in self if isinstance(value, Recipe)}
        return {name: nested.get(name, value) for name, value in values.items() if self.reads(name)}


class TrialConfig(Recipe):
    """One trial. Frozen; unknown fields are refused."""

    method: Annotated[str, AfterValidator(_known_method)] = _read(
        "heteroakd", "A name of METHODS, task being the student alone; or your own, package.module:name."
    )
    student: str = _read("segformer:mit_b0", "<decoder>:<encoder> of the trained network, or package.module:name.")
    teacher: str = _read(
        "deeplabv3:resnet18", "The frozen network; under collaborative the other student, trained along.", when=_PAIRED
    )
    data: str = _read("earth", "A data set's name, NAME:PATH, the path of a folder, or package.module:name.")
    own: dict[str, float | int | bool | str] = _read({}, "What your own method reads.", when=_method(OWN))

    projector_tap: Tap = _read("stage4", "Feature that is distilled; stage4: last backbone stage.", when=_TAPPED)
    temperature: float = _read(1.0, "Softens both softmaxes (tau).", unit="1", gt=0, le=100, when=_SOFTENED)
    lambda_kd: float = _weight(0.1, "loss_kd (lambda_1)", "kd", "heteroakd")

    lambda_hakd: float = _weight(1.0, "loss_hakd (lambda_2)", "heteroakd")
    lambda_proj: float = _weight(1.0, "the projectors' label BCE", "heteroakd")
    kmm: bool = _read(True, "Knowledge mixing; false: the target is Z_T.", when=_HAKD)
    kem: bool = _read(True, "Knowledge evaluation; false: uniform weights.", when=_HAKD)
    kem_axis: Literal["class", "space"] = _read("class", "Axis of KEM's softmax.", when=_HAKD | {"kem": (True,)})
    projector_depth: int = _read(1, "Convolutions in a projector.", unit="convolutions", ge=1, le=3, when=_HAKD)
    projector_width: int = _read(64, "Hidden channels.", unit="channels", ge=8, le=2048, when=_DEEP)
    projector_kernel: Literal[1, 3] = _read(1, "Side of the hidden convolutions.", unit="cells", when=_DEEP)

    lambda_cwd: float = _weight(3.0, "cwd on the logits", "cwd")
    lambda_cwd_feature: float = _weight(0.0, "cwd on the tap, 50 in the paper's variant", "cwd")
    cwd_temperature: float = _read(4.0, "Of the softmax over space.", unit="1", gt=0, le=100, when=_method("cwd"))
    lambda_skd: float = _weight(10.0, "the pair-wise part of skd", "skd")
    skd_pool: int = _read(
        2, "Cells a side that are max-pooled to a node.", unit="cells", ge=1, le=64, when=_method("skd")
    )
    lambda_ifvd: float = _weight(20.0, "ifvd", "ifvd")
    lambda_at: float = _weight(1e4, "attention transfer", "at")
    lambda_fitnet: float = _weight(10.0, "the hint of fitnet", "fitnet")
    lambda_dist_inter: float = _weight(1.0, "dist between classes", "dist")
    lambda_dist_intra: float = _weight(1.0, "dist within classes", "dist")
    lambda_cirkd_batch: float = _weight(1.0, "cirkd within the mini-batch", "cirkd")
    lambda_cirkd_pixel: float = _weight(0.1, "cirkd's memory of pixels", "cirkd")
    lambda_cirkd_region: float = _weight(0.1, "cirkd's memory of regions", "cirkd")
    cirkd_temperature: float = _read(0.1, "Of cirkd's similarities.", unit="1", gt=0, le=100, when=_method("cirkd"))
    lambda_afdcd_feature: float = _weight(33.6, "af-dcd's masked feature reconstruction", "afdcd")
    lambda_afdcd_contrast: float = _weight(0.08, "af-dcd's contrast", "afdcd")
    afdcd_temperature: float = _read(0.07, "Of af-dcd's contrast.", unit="1", gt=0, le=100, when=_method("afdcd"))
    lambda_ofa: float = _weight(4.0, "ofa's stage exits", "ofa")
    ofa_eps: float = _read(1.0, "Exponent of ofa's target.", unit="1", gt=0, le=10, when=_method("ofa"))

    lambda_hfd: float = _weight(1.0, "heterogeneous feature distillation (a); 0: off", "collaborative")
    lambda_region: float = _weight(1.0, "region-wise selective distillation (b); 0: off", "collaborative")
    lambda_pixel: float = _weight(1.0, "pixel-wise selective distillation (c); 0: off", "collaborative")
    region_size: Literal[8, 16, 32, 64] = _read(16, "Side of a region, pixels.", unit="pixels", when=_ONLINE)
    peer_lr: float | None = _read(
        None, "lr of the other student (alone it has lr); none: lr.", unit="1", gt=0, le=10, when=_ONLINE
    )

    teacher_recipe: Recipe = _read(
        Recipe(), "How the teacher is trained.", when=_TAUGHT | {"teacher_checkpoint": (None,)}
    )
    teacher_checkpoint: str | None = _read(None, "Your own teacher's .safetensors; none: train one.", when=_TAUGHT)

    eval_every: int | None = _read(
        None,
        "Steps between evaluations (and reports and checkpoints); none: a fifth of the budget.",
        unit="steps",
        ge=1,
    )
    eval_mode: Literal["whole", "slide"] = _read("whole", "One forward an image, or windows of the crop's size.")
    eval_stride: float = _read(
        2 / 3, "Step of the windows, in crops; scores are averaged where they overlap.", unit="crops", gt=0, le=1,
        when={"eval_mode": ("slide",)},
    )  # fmt: skip
    on_corrupt: Literal["fail", "skip"] = _read(
        "fail", "A file that cannot be read in mid-training: end the trial, or take the next one and say so."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = _read(
        "auto", "auto: cuda where there is one, else cpu. mps, a Mac's GPU, is taken only when asked for; untried."
    )
    amp: bool = _read(True, "bf16 autocast on CUDA; losses stay fp32.")
    views: int | None = _read(
        None, "Another protocol: crops from a fixed bank of so many views an image, one bank for all seeds; none: "
        "fresh crops.", unit="crops an image", ge=1, le=10_000,
    )  # fmt: skip
    teacher_cache: bool = _read(
        False, "With `views`: what the teacher says of each view is computed once, kept on disk in fp16 and shared.",
        when=_TAUGHT,
    )  # fmt: skip

    num_workers: int = _read(0, "Data-loading processes; 0: in the training process.", unit="processes", ge=0)
    channels_last: bool | None = _read(None, "Memory format of networks and images; none: on CUDA.")
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = _read(
        "off", "torch.compile's mode for the networks; reduce-overhead records CUDA graphs."
    )
    fused_optimizer: bool | None = _read(None, "One kernel for the optimiser's step; none: on CUDA.")
    hakd_kernel: Literal["auto", "plain", "lean", "triton"] = _read(
        "auto", "KMM, KEM and L_hakd term by term, in one pass, or in one kernel; auto: the best there is.", when=_HAKD
    )
    fold_teacher: bool = _read(True, "The teacher's BatchNorms become part of its convolutions.", when=_TAUGHT)
    augment_on: Literal["cpu", "device"] = _read("cpu", "Where crops are scaled, jittered and flipped.")
    image_cache: Literal["memory", "disk"] = _read(
        "memory", "Decoded images: what fits into memory, for each process; or all, mapped from a file all share."
    )

    @model_validator(mode="after")
    def _caches_views(self) -> TrialConfig:
        if self.teacher_cache and self.views is None:
            raise ValueError("teacher_cache is true, but views is none: fresh crops do not come again. Set views.")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str = "") -> TrialConfig:
        """Validate a mapping. `own.alpha` in it is the entry `alpha` of `own`.

        Raises:
            ConfigError: one sentence per wrong field: value, rule, remedy.
        """
        try:
            return cls.model_validate(_gathered(values))
        except ValidationError as error:
            raise from_validation(error, known=cls.model_fields, where=where) from None

    @classmethod
    def load(cls, path: Path) -> TrialConfig:
        """Read a YAML file.

        Raises:
            ConfigError: no such file, not a mapping, or a wrong field.
        """
        return cls.parse(with_teacher_recipe(with_data_defaults(load_yaml(path))), where=f"{path}: ")

    @property
    def report_every(self) -> int:
        """Steps between evaluations."""
        return self.eval_every or math.ceil(self.steps / 5)

    def digest(self, *, without: Iterable[str] = ()) -> str:
        """Content hash over the fields this trial reads, save SPEED and those named."""
        return digest(self.read_values(without=(*SPEED, *without)))

    def shared_digest(self) -> str:
        """Content hash over what trials must have in common to train side by side: crops, teacher, reports, device."""
        taught = self.reads("fold_teacher")
        tap = ("projector_tap",) if taught and self.teacher_cache else ()
        values = self.read_values()
        return digest({name: values.get(name) for name in (*_STREAM, *(_GUIDE if taught else ()), *tap)})

    def teacher_config(self) -> TrialConfig:
        """The teacher's own training: a `task` trial of the teacher network under `teacher_recipe`."""
        recipe = self.teacher_recipe.model_dump()
        names = ("data", "device", "amp", "eval_mode", "eval_stride", "on_corrupt", *SPEED)
        shared = {name: getattr(self, name) for name in names if not self.conditions(name).get("method")}
        return TrialConfig(method="task", student=self.teacher, **shared, **recipe)


def _gathered(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each `own.NAME` as an entry of `own`."""
    own = {name.removeprefix(OWN_PREFIX): value for name, value in values.items() if name.startswith(OWN_PREFIX)}
    if not own or not isinstance(values.get("own", {}), Mapping):
        return dict(values)
    rest = {name: value for name, value in values.items() if not name.startswith(OWN_PREFIX)}
    return {**rest, "own": {**rest.get("own", {}), **own}}


def with_teacher_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed fields of a trial, its teacher's recipe completed from them: trained alike, save what is said otherwise.

    Seeds are apart: the teacher of a study stays the same when the trial's seed does not.
    """
    own = values.get("teacher_recipe", {})
    if not isinstance(own, Mapping):
        return dict(values)  # refused by the validation that follows
    shared = {name: values[name] for name in Recipe.model_fields if name in values and name != "seed"}
    return {**values, "teacher_recipe": {**shared, **own}}


def with_data_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed fields of a trial with the papers' crop where `data` names a set of CROPS and they do not fix it.

    Goes before `with_teacher_recipe`: the teacher is trained on the same crops.
    """
    crop = CROPS.get(str(values.get("data")).partition(":")[0])
    return dict(values) if crop is None else {"crop_height": crop[0], "crop_width": crop[1], **values}


def digest(values: Any) -> str:
    """First 16 hex digits of the SHA-256 of the values' canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
