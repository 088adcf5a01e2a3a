"""NETWORKS and PAIRS: which teacher teaches which student, by architecture family. One line adds one."""

from __future__ import annotations

from typing import Literal, NamedTuple

from trainables.errors import ConfigError, unknown
from trainables.sources import is_ready

Family = Literal["CNN", "Transformer", "hybrid", "other"]


class Network(NamedTuple):
    """A network and its encoder's family; `model` is "<decoder>:<encoder>"."""

    model: str
    family: Family


class Pair(NamedTuple):
    """A frozen teacher and the student it teaches."""

    teacher: Network
    student: Network

    @property
    def direction(self) -> str:
        """Which family teaches which, such as "CNN->Transformer"."""
        return f"{self.teacher.family}->{self.student.family}"


NETWORKS: dict[str, Network] = {
    "r18": Network("deeplabv3:resnet18", "CNN"),
    "r101": Network("deeplabv3:resnet101", "CNN"),
    "mbv2": Network("deeplabv3:mobilenet_v2", "CNN"),
    "mbv3s": Network("fpn:tu-mobilenetv3_small_050", "CNN"),
    "lite0": Network("fpn:tu-tf_efficientnet_lite0", "CNN"),
    "fpn_r18": Network("fpn:resnet18", "CNN"),
    "mit_b0": Network("segformer:mit_b0", "Transformer"),
    "mit_b4": Network("segformer:mit_b4", "Transformer"),
    "dl_mit_b4": Network("deeplabv3:mit_b4", "Transformer"),  # the paper's teacher
    "pvt_b0": Network("fpn:tu-pvt_v2_b0", "Transformer"),
    "swin_t": Network("fpn:tu-swin_tiny_patch4_window7_224", "Transformer"),
    "edgenext": Network("fpn:tu-edgenext_xx_small", "hybrid"),
}

_NAMES = (
    "fpn_r18:mit_b0",  # CNN -> Transformer
    "fpn_r18:pvt_b0",
    "r18:mit_b0",
    "r101:mit_b0",
    "pvt_b0:mbv3s",  # Transformer -> CNN
    "pvt_b0:fpn_r18",
    "mit_b0:mbv3s",
    "mit_b0:fpn_r18",
    "mit_b0:lite0",
    "mit_b0:r18",
    "mit_b4:r18",
    "mit_b4:mbv2",
    "dl_mit_b4:mbv2",  # the paper's best documented row
    "swin_t:r18",
    "swin_t:lite0",
    "edgenext:mbv3s",  # hybrid -> CNN, hybrid -> Transformer
    "edgenext:mit_b0",
    "fpn_r18:edgenext",  # CNN -> hybrid, Transformer -> hybrid
    "mit_b0:edgenext",
    "r101:mbv2",  # within a family: what heterogeneity is compared with
    "fpn_r18:mbv3s",
    "mit_b4:mit_b0",
)


def _pair(name: str) -> Pair:
    teacher, student = name.split(":")
    return Pair(NETWORKS[teacher], NETWORKS[student])


PAIRS: dict[str, Pair] = {name: _pair(name) for name in _NAMES}

# Read top to bottom: "mobilevit" must be met before "vit", "repvit" (a CNN) too.
_FAMILIES: dict[str, Family] = {
    "edgenext": "hybrid",
    "mobilevit": "hybrid",
    "efficientvit": "hybrid",
    "efficientformer": "hybrid",
    "coat": "hybrid",
    "maxvit": "hybrid",
    "maxxvit": "hybrid",
    "fastvit": "hybrid",
    "levit": "hybrid",
    "nextvit": "hybrid",
    "repvit": "CNN",
    "resnet": "CNN",
    "resnext": "CNN",
    "resnest": "CNN",
    "mobilenet": "CNN",
    "mobileone": "CNN",
    "efficientnet": "CNN",
    "regnet": "CNN",
    "vgg": "CNN",
    "densenet": "CNN",
    "convnext": "CNN",
    "xception": "CNN",
    "inception": "CNN",
    "mit_": "Transformer",
    "pvt": "Transformer",
    "swin": "Transformer",
    "segformer": "Transformer",
    "dino": "Transformer",
    "dpt": "Transformer",
    "beit": "Transformer",
    "eomt": "Transformer",
    "vit": "Transformer",
    "deit": "Transformer",
}


def family(model: str) -> Family:
    """The family of a model, read from its encoder's name; prefixes such as tu-, timm- and tf_ do not matter."""
    encoder = model.rpartition(":")[2].lower()
    return next((family for part, family in _FAMILIES.items() if part in encoder), "other")


def resolve_pair(name: str) -> Pair:
    """A pair from PAIRS, from two NETWORKS ("r18:pvt_b0"), or from two models or NETWORKS
    ("hf:nvidia/segformer-b4-finetuned-ade-512-512>segformer:mit_b1").

    Raises:
        ConfigError: none of the three.
    """
    if name in PAIRS:
        return PAIRS[name]
    teacher, arrow, student = name.rpartition(">")
    if arrow:
        teacher, student = network_model(teacher), network_model(student)
    if arrow and _is_model(teacher) and _is_model(student):
        return Pair(Network(teacher, family(teacher)), Network(student, family(student)))
    teacher, _, student = name.partition(":")
    if teacher in NETWORKS and student in NETWORKS:
        return Pair(NETWORKS[teacher], NETWORKS[student])
    raise ConfigError(unknown("pair", name, PAIRS, "`heteroakd pairs` lists all."))


def pair_name(teacher: str, student: str) -> str:
    """The name of two models as a pair: short where both are in NETWORKS, else "<teacher>><student>"."""
    short = {network.model: name for name, network in NETWORKS.items()}
    if teacher in short and student in short:
        return f"{short[teacher]}:{short[student]}"
    return f"{teacher}>{student}"


def network_model(name: str) -> str:
    """The model of a name of NETWORKS, or the model itself."""
    return NETWORKS[name].model if name in NETWORKS else name


def _is_model(text: str) -> bool:
    decoder, _, encoder = text.partition(":")
    return is_ready(text) or (bool(decoder and encoder) and not set(":>") & set(encoder))
