"""TrialConfig: every hyper-parameter of a trial, once: default, unit, range and the condition under which it is read.

A search space, a study spec, the loop and an exported `best.yaml` all use these names and no others.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ValidationError, model_validator

from trainables.conditions import (
    CIRKD,
    DEEP,
    FEATURED,
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
    known_method,
)
from trainables.digested import GUIDE, IF_GIVEN, SPEED, STREAM
from trainables.errors import from_validation
from trainables.fields import read, under, weight
from trainables.published import published, with_data_defaults
from trainables.recipe import Recipe
from trainables.sources import is_ready
from trainables.yamls import load_yaml

Tap = Literal["stage1", "stage2", "stage3", "stage4", "decoder"]


class TrialConfig(Recipe):
    """One trial. Frozen; unknown fields are refused."""

    method: Annotated[str, AfterValidator(known_method)] = read(
        "heteroakd", "A name of METHODS, task being the student alone; or your own, package.module:name."
    )
    student: str = read("fpn:tu-pvt_v2_b0", "<decoder>:<encoder> of the trained network, or package.module:name.")
    teacher: str = read(
        "deeplabv3:resnet18", "The frozen network: one that is trained first, or hf:, smp:, torchvision:, timm:, "
        "file: or ready: for one that is good already; under collaborative the other student, trained along.",
        when=PAIRED,
    )  # fmt: skip
    data: str = read("earth", "A data set's name, NAME:PATH, the path of a folder, or package.module:name.")
    own: dict[str, float | int | bool | str] = read({}, "What your own method reads.", when=under(OWN))

    projector_tap: Tap = read(
        "stage4",
        "Feature that is distilled. stage4: last backbone stage; by default decoder for skd, ifvd, at, fitnet, cirkd, "
        "cirkdv2 and cwd.",
        when=TAPPED,
    )
    temperature: float = read(
        1.0, "Softens both softmaxes (tau); by default 2 for lskd.", unit="1", gt=0, le=100, when=SOFTENED
    )  # fmt: skip
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
    lambda_cirkd_batch: float = weight(1.0, "cirkd within the mini-batch", *CIRKD)
    lambda_cirkd_pixel: float = weight(0.1, "cirkd's memory of pixels; by default 0.01 on VOC 2012 for cirkd", *CIRKD)
    lambda_cirkd_region: float = weight(0.1, "cirkd's memory of regions; by default 0.01 on VOC 2012 for cirkd", *CIRKD)
    cirkd_temperature: float = read(0.1, "Of cirkd's similarities.", unit="1", gt=0, le=100, when=under(*CIRKD))
    lambda_afdcd_feature: float = weight(
        33.6, "af-dcd's masked feature reconstruction; by default 8.4 on VOC 2012 and ADE20K, 33.2 on CamVid", "afdcd"
    )
    lambda_afdcd_contrast: float = weight(0.08, "af-dcd's contrast; by default 0.64 on ADE20K, 0.16 on CamVid", "afdcd")
    afdcd_temperature: float = read(0.07, "Of af-dcd's contrast.", unit="1", gt=0, le=100, when=under("afdcd"))
    lambda_ofa: float = weight(4.0, "ofa's stage exits", "ofa")
    lambda_nfd: float = weight(1.0, "normalised features", "nfd")
    lambda_lskd: float = weight(9.0, "lskd, the KL divergence of standardised logits", "lskd")
    lambda_qsd: float = weight(1.0, "query-based soft distillation", "qsd")
    lambda_cirkdv2_batch: float = weight(1.0, "cirkdv2 between the channels of the mini-batch", "cirkdv2")
    lambda_cirkdv2_memory: float = weight(0.1, "cirkdv2's memory of channels", "cirkdv2")
    lambda_cirkdv2_mse: float = weight(100.0, "the squared difference of cirkdv2's channels", "cirkdv2")
    lambda_diffkd: float = weight(1.0, "diffkd", "diffkd")
    ofa_eps: float = read(1.0, "Exponent of ofa's target.", unit="1", gt=0, le=10, when=under("ofa"))

    feature_share: float | None = read(
        None, "Share of the steps, from the first on, in which the method's terms on features are trained alone, on "
        "labelled and unlabelled images; then all terms are; none: all of them from the first step.",
        unit="steps a step", gt=0, lt=1, when=FEATURED,
    )  # fmt: skip

    lambda_hfd: float = weight(1.0, "heterogeneous feature distillation (a); 0: off", "collaborative")
    lambda_region: float = weight(1.0, "region-wise selective distillation (b); 0: off", "collaborative")
    lambda_pixel: float = weight(1.0, "pixel-wise selective distillation (c); 0: off", "collaborative")
    region_size: Literal[8, 16, 32, 64] = read(16, "Side of a region, pixels.", unit="pixels", when=ONLINE)
    peer_lr: float | None = read(
        None, "lr of the other student (alone it has lr); none: lr.", unit="1", gt=0, le=10, when=ONLINE
    )

    unlabelled_ratio: float = read(
        0.0, "Share of a step's images that are unlabelled ones: at least one if it is above 0, and no more than leave "
        "a labelled one to each part of `accumulate`.",
        unit="images an image", ge=0, lt=1,
    )  # fmt: skip
    distil_on: Literal["labelled", "all"] = read(
        "labelled", "Where the terms on the teacher are taken: at labelled pixels, or also at ignored ones and in "
        "unlabelled images; by default all under unlabelled_ratio.", when=TAUGHT,
    )  # fmt: skip
    pseudo_weight: float = read(
        0.0, "Weight of loss_pseudo: the cross-entropy to pseudo-labels where there is no label. They are the "
        "teacher's, or where there is none the student's own.", unit="1", ge=0, le=1e3,
    )  # fmt: skip
    pseudo_threshold: float = read(
        0.9, "Least probability of the likeliest class at which it is taken for the label.", unit="probability",
        ge=0, lt=1,
    )  # fmt: skip

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

    folds: int | None = read(
        None, "Train and val together are cut into so many parts; the trial trains as many students, each without one "
        "part, and reports their mean mIoU on the parts left out; none: the data set's own splits.",
        unit="parts", ge=2, le=20,
    )  # fmt: skip
    fold_by: str | None = read(
        None, "What belongs together, in one fold and in one draw of an interval over images: a pattern of image names "
        "that has it in braces, such as {scene}_*; none: `split.by` of dataset.yaml, else each image for itself.",
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
    processes: int = read(
        1, "Processes that share each batch, of this trial and of its teacher's training, a GPU each; in a sweep by "
        "default as many as the trial has GPUs.", unit="processes", ge=1, le=64,
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        """What is not given has the value of the method's source."""
        if not isinstance(values, Mapping):
            return values
        method, data = (str(values.get(name, cls.model_fields[name].default)) for name in ("method", "data"))
        everywhere = {"distil_on": "all"} if values.get("unlabelled_ratio") else {}
        return {**published(method, data), **everywhere, **values}

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
    def _compares_by_labels(self) -> TrialConfig:
        if self.method == "collaborative" and self.sees_unlabelled:
            raise ValueError(
                "collaborative says by labels which network teaches, so pixels without one would teach nothing: "
                f"unlabelled_ratio and pseudo_weight must be 0, got {self.unlabelled_ratio} and {self.pseudo_weight}."
            )
        return self

    @model_validator(mode="after")
    def _has_features_to_begin_with(self) -> TrialConfig:
        if self.feature_share is not None and self.method != "task" and not self.reads("feature_share"):
            raise ValueError(
                f"feature_share trains terms on features first, but {self.method} has none; got {self.feature_share}. "
                f"Leave it out, or take {', '.join(FEATURED['method'][:-1])} or a method of your own."
            )
        return self

    @model_validator(mode="after")
    def _caches_views(self) -> TrialConfig:
        if self.teacher_cache and self.views is None:
            raise ValueError("teacher_cache is true, but views is none: fresh crops do not come again. Set views.")
        return self

    @model_validator(mode="after")
    def _shares_batches_evenly(self) -> TrialConfig:
        if self.processes > 1 and self.compile != "off":
            raise ValueError(f"compile is {self.compile!r}, but with {self.processes} processes must be off. Set off.")
        for recipe in (self, self.teacher_recipe) if self.trains_teacher else (self,):
            if recipe.batch_size % (recipe.accumulate * self.processes):
                raise ValueError(
                    f"processes must divide batch_size / accumulate, the teacher's too ({recipe.batch_size} / "
                    f"{recipe.accumulate}), got {self.processes}. Change one of them."
                )
        return self

    @model_validator(mode="after")
    def _folds_what_can_be(self) -> TrialConfig:
        if self.folds is not None and self.teacher_cache:
            raise ValueError(f"teacher_cache keeps one bank, but folds is {self.folds}. Leave one of them out.")
        if self.folds is not None and self.processes > 1:
            raise ValueError(
                f"folds is {self.folds}, but a trial of {self.processes} processes trains one student. Leave folds "
                "out, or set processes (gpus_per_trial) to 1."
            )
        if self.fold_by is not None and not re.search(r"\{[A-Za-z]\w*\}", self.fold_by):
            raise ValueError(f"fold_by must have a name in braces, such as {{scene}}_*, got {self.fold_by!r}.")
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
    def num_unlabelled(self) -> int:
        """Unlabelled images of a step."""
        wanted = round(self.unlabelled_ratio * self.batch_size)
        return min(max(wanted, 1), self.batch_size - self.accumulate) if self.unlabelled_ratio > 0 else 0

    @property
    def sees_unlabelled(self) -> bool:
        """Whether a term is taken at pixels without a label."""
        return self.num_unlabelled > 0 or self.pseudo_weight > 0 or (self.is_taught and self.distil_on == "all")

    @property
    def feature_steps(self) -> int:
        """Steps in which terms on features are trained alone: at least one under `feature_share`, and never all."""
        share = self.feature_share if self.reads("feature_share") else None
        return 0 if share is None else min(max(round(share * self.steps), 1), self.steps - 1)

    @property
    def report_every(self) -> int:
        """Steps between evaluations."""
        return self.eval_every or math.ceil(self.steps / 5)

    def digest(self, *, without: Iterable[str] = ()) -> str:
        """Content hash over the fields this trial reads, save SPEED and those named."""
        left_out = (name for name in IF_GIVEN if getattr(self, name) is None)
        return digest(self.read_values(without=(*SPEED, *left_out, *without)))

    def shared_digest(self) -> str:
        """Content hash over what trials must have in common to train side by side: crops, teacher, reports, device."""
        taught = self.is_taught
        tap = ("projector_tap",) if taught and self.teacher_cache else ()
        values = self.read_values()
        shared = {name: values.get(name) for name in (*STREAM, *(GUIDE if taught else ()), *tap)}
        return digest({**shared, "unlabelled": [self.num_unlabelled, self.sees_unlabelled]})

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


def digest(values: Any) -> str:
    """First 16 hex digits of the SHA-256 of the values' canonical JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
