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

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from trainables.conditions import (
    DEEP,
    HAKD,
    KD,
    KD_BESIDE,
    ONLINE,
    OWN,
    OWN_PREFIX,
    PAIRED,
    READY_TEACHER,
    SOFTENED,
    TAPPED,
    TAUGHT,
    TRAINED,
    as_condition,
    known_method,
)
from trainables.errors import from_validation
from trainables.fields import read, under, weight
from trainables.published import published
from trainables.sources import is_ready
from trainables.yamls import load_yaml

CROPS = {"cityscapes": (512, 1024), "voc": (512, 512), "ade20k": (512, 512), "camvid": (360, 360)}
"""Training crops of the papers, height and width, pixels."""
STRIDE = 32
"""Every encoder's coarsest, pixels: what a network sees is padded to a multiple."""
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
_GUIDE = (
    *("teacher", "teacher_recipe", "teacher_checkpoint", "teacher_classes", "teacher_synonyms", "teacher_cache"),
    *("fold_teacher", "compile"),
)


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


class TrialConfig(Recipe):
    """One trial. Frozen; unknown fields are refused."""

    method: Annotated[str, AfterValidator(known_method)] = read(
        "heteroakd", "A name of METHODS, task being the student alone; or your own, package.module:name."
    )
    student: str = read("segformer:mit_b0", "<decoder>:<encoder> of the trained network, or package.module:name.")
    teacher: str = read(
        "deeplabv3:resnet18", "The frozen network: one that is trained first, or hf:, smp:, torchvision:, timm:, "
        "file: or ready: for one that is good already; under collaborative the other student, trained along.",
        when=PAIRED,
    )  # fmt: skip
    data: str = read("earth", "A data set's name, NAME:PATH, the path of a folder, or package.module:name.")
    own: dict[str, float | int | bool | str] = read({}, "What your own method reads.", when=under(OWN))

    projector_tap: Tap = read(
        "stage4",
        "Feature that is distilled. stage4: last backbone stage; by default decoder for skd, ifvd, at, fitnet, cirkd "
        "and cwd.",
        when=TAPPED,
    )
    temperature: float = read(1.0, "Softens both softmaxes (tau).", unit="1", gt=0, le=100, when=SOFTENED)
    with_kd: bool = read(False, "Plain KD beside the method, as in the scripts of its source.", when=KD_BESIDE)
    lambda_kd: float = weight(0.1, "loss_kd (lambda_1); by default 1 under `with_kd`, for afdcd on ADE20K 0.5", when=KD)
    kd_direction: Literal["teacher_student", "student_teacher"] = read(
        "teacher_student", "loss_kd is KL(teacher || student), or the other way round.", when=KD
    )

    lambda_hakd: float = weight(1.0, "loss_hakd (lambda_2)", "heteroakd")
    lambda_proj: float = weight(1.0, "the projectors' label BCE", "heteroakd")
    kmm: bool = read(True, "Knowledge mixing; false: the target is Z_T.", when=HAKD)
    kem: bool = read(True, "Knowledge evaluation; false: uniform weights.", when=HAKD)
    kem_axis: Literal["class", "space"] = read("class", "Axis of KEM's softmax.", when=HAKD | {"kem": (True,)})
    projector_depth: int = read(1, "Convolutions in a projector.", unit="convolutions", ge=1, le=3, when=HAKD)
    projector_width: int = read(64, "Hidden channels.", unit="channels", ge=8, le=2048, when=DEEP)
    projector_kernel: Literal[1, 3] = read(1, "Side of the hidden convolutions.", unit="cells", when=DEEP)

    lambda_cwd: float = weight(3.0, "cwd on the logits", "cwd")
    lambda_cwd_feature: float = weight(0.0, "cwd on the tap, 50 in the paper's variant", "cwd")
    cwd_temperature: float = read(4.0, "Of the softmax over space.", unit="1", gt=0, le=100, when=under("cwd"))
    lambda_skd: float = weight(10.0, "the pair-wise part of skd", "skd")
    skd_pool: int = read(2, "Cells a side that are max-pooled to a node.", unit="cells", ge=1, le=64, when=under("skd"))
    lambda_ifvd: float = weight(20.0, "ifvd", "ifvd")
    lambda_at: float = weight(1e4, "attention transfer", "at")
    lambda_fitnet: float = weight(10.0, "the hint of fitnet", "fitnet")
    lambda_dist_inter: float = weight(1.0, "dist between classes", "dist")
    lambda_dist_intra: float = weight(1.0, "dist within classes", "dist")
    lambda_cirkd_batch: float = weight(1.0, "cirkd within the mini-batch", "cirkd")
    lambda_cirkd_pixel: float = weight(0.1, "cirkd's memory of pixels; by default 0.01 on VOC 2012", "cirkd")
    lambda_cirkd_region: float = weight(0.1, "cirkd's memory of regions; by default 0.01 on VOC 2012", "cirkd")
    cirkd_temperature: float = read(0.1, "Of cirkd's similarities.", unit="1", gt=0, le=100, when=under("cirkd"))
    lambda_afdcd_feature: float = weight(
        33.6, "af-dcd's masked feature reconstruction; by default 8.4 on VOC 2012 and ADE20K, 33.2 on CamVid", "afdcd"
    )
    lambda_afdcd_contrast: float = weight(0.08, "af-dcd's contrast; by default 0.64 on ADE20K, 0.16 on CamVid", "afdcd")
    afdcd_temperature: float = read(0.07, "Of af-dcd's contrast.", unit="1", gt=0, le=100, when=under("afdcd"))
    lambda_ofa: float = weight(4.0, "ofa's stage exits", "ofa")
    ofa_eps: float = read(1.0, "Exponent of ofa's target.", unit="1", gt=0, le=10, when=under("ofa"))

    lambda_hfd: float = weight(1.0, "heterogeneous feature distillation (a); 0: off", "collaborative")
    lambda_region: float = weight(1.0, "region-wise selective distillation (b); 0: off", "collaborative")
    lambda_pixel: float = weight(1.0, "pixel-wise selective distillation (c); 0: off", "collaborative")
    region_size: Literal[8, 16, 32, 64] = read(16, "Side of a region, pixels.", unit="pixels", when=ONLINE)
    peer_lr: float | None = read(
        None, "lr of the other student (alone it has lr); none: lr.", unit="1", gt=0, le=10, when=ONLINE
    )

    teacher_recipe: Recipe = read(
        Recipe(), "How the teacher is trained.", when=TRAINED | {"teacher_checkpoint": (None,)}
    )
    teacher_checkpoint: str | None = read(None, "Your own teacher's .safetensors; none: train one.", when=TRAINED)
    teacher_classes: Literal["order", "name"] | dict[str, int | str | list[int | str]] | None = read(
        None, "Which classes of a ready teacher speak for the data set's: by order, by name, or a mapping of the data "
        "set's to one or several of the teacher's, by name or number; none: by name if it names them, else by order.",
        when=READY_TEACHER,
    )  # fmt: skip
    teacher_synonyms: dict[str, list[str]] = read(
        {}, "Further names of the data set's classes, for matching by name.", when=READY_TEACHER
    )

    eval_every: int | None = read(
        None,
        "Steps between evaluations (and reports and checkpoints); none: a fifth of the budget.",
        unit="steps",
        ge=1,
    )
    eval_mode: Literal["whole", "slide"] = read("whole", "One forward an image, or windows of the crop's size.")
    eval_stride: float = read(
        2 / 3, "Step of the windows, in crops; scores are averaged where they overlap.", unit="crops", gt=0, le=1,
        when={"eval_mode": ("slide",)},
    )  # fmt: skip
    align_corners: bool = read(
        False, "Logits are enlarged to the label's size, in the task loss and in evaluation, with the corner cells' "
        "centres on the corner pixels', as in CIRKD's code; else cells cover as many pixels each.",
    )  # fmt: skip
    on_corrupt: Literal["fail", "skip"] = read(
        "fail", "A file that cannot be read in mid-training: end the trial, or take the next one and say so."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = read(
        "auto", "auto: cuda where there is one, else cpu. mps, a Mac's GPU, is taken only when asked for; untried."
    )
    amp: bool = read(True, "bf16 autocast on CUDA; losses stay fp32.")
    views: int | None = read(
        None, "Another protocol: crops from a fixed bank of so many views an image, one bank for all seeds; none: "
        "fresh crops.", unit="crops an image", ge=1, le=10_000,
    )  # fmt: skip
    teacher_cache: bool = read(
        False, "With `views`: what the teacher says of each view is computed once, kept on disk in fp16 and shared.",
        when=TAUGHT,
    )  # fmt: skip

    num_workers: int = read(0, "Data-loading processes; 0: in the training process.", unit="processes", ge=0)
    channels_last: bool | None = read(None, "Memory format of networks and images; none: on CUDA.")
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = read(
        "off", "torch.compile's mode for the networks; reduce-overhead records CUDA graphs."
    )
    fused_optimizer: bool | None = read(None, "One kernel for the optimiser's step; none: on CUDA.")
    hakd_kernel: Literal["auto", "plain", "lean", "triton"] = read(
        "auto", "KMM, KEM and L_hakd term by term, in one pass, or in one kernel; auto: the best there is.", when=HAKD
    )
    fold_teacher: bool = read(True, "The teacher's BatchNorms become part of its convolutions.", when=TAUGHT)
    augment_on: Literal["cpu", "device"] = read("cpu", "Where crops are scaled, jittered and flipped.")
    image_cache: Literal["memory", "disk"] = read(
        "memory", "Decoded images: what fits into memory, for each process; or all, mapped from a file all share."
    )

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        """What is not given has the value of the method's source."""
        if not isinstance(values, Mapping):
            return values
        method, data = (str(values.get(name, cls.model_fields[name].default)) for name in ("method", "data"))
        return {**published(method, data), **values}

    @model_validator(mode="after")
    def _learns_with_what_it_trains(self) -> TrialConfig:
        if is_ready(self.student):
            raise ValueError(f"{self.student!r} is a teacher that is good already, and cannot be a student.")
        if self.method == "collaborative" and is_ready(self.teacher):
            raise ValueError(f"collaborative trains both networks, but {self.teacher!r} is good already. Name another.")
        if self.method == "collaborative" and self.ema_decay is not None:
            raise ValueError(f"ema_decay averages one student, but collaborative trains two; got {self.ema_decay}.")
        return self

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
    def is_taught(self) -> bool:
        """Whether a frozen teacher teaches it."""
        return self.reads("fold_teacher")

    @property
    def trains_teacher(self) -> bool:
        """Whether that teacher is trained first, if the cache lacks it."""
        return self.reads("teacher_recipe")

    @property
    def report_every(self) -> int:
        """Steps between evaluations."""
        return self.eval_every or math.ceil(self.steps / 5)

    def digest(self, *, without: Iterable[str] = ()) -> str:
        """Content hash over the fields this trial reads, save SPEED and those named."""
        return digest(self.read_values(without=(*SPEED, *without)))

    def shared_digest(self) -> str:
        """Content hash over what trials must have in common to train side by side: crops, teacher, reports, device."""
        taught = self.is_taught
        tap = ("projector_tap",) if taught and self.teacher_cache else ()
        values = self.read_values()
        return digest({name: values.get(name) for name in (*_STREAM, *(_GUIDE if taught else ()), *tap)})

    def teacher_config(self) -> TrialConfig:
        """The teacher's own training: a `task` trial of the teacher network under `teacher_recipe`."""
        recipe = self.teacher_recipe.model_dump()
        names = ("data", "device", "amp", "eval_mode", "eval_stride", "align_corners", "on_corrupt", *SPEED)
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
