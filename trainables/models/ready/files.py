"""`file:PATH@NETWORK`: weights in one file, of a network of ours, of torchvision's or of CIRKD's code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from trainables import own
from trainables.bands import Bands
from trainables.errors import TeacherError, unknown
from trainables.kept import checkpoint
from trainables.models import DECODERS, given
from trainables.models.build import build
from trainables.models.ready import cirkd
from trainables.models.ready.foreign import Foreign, Pixels
from trainables.models.ready.libraries import Ours, build_torchvision
from trainables.models.segmodel import SegModel

_AUXILIARY = ("aux_classifier.", "auxlayer.")  # heads of training alone


def load(path: Path, network: str, name: str) -> Foreign:
    """Build the network and fill it, strictly.

    Args:
        network: `<decoder>:<encoder>`, `torchvision:NAME`, `cirkd:NAME` or `package.module:name`; "": the one that a
            file of ours (a bundle's, the cache's) names itself.

    Raises:
        TeacherError: no such file or network, or its weights do not fit.
        CheckpointError: it holds no weights.
    """
    if not path.is_file():
        raise TeacherError(f"{name!r}: {path} is no file. Give a .safetensors or .pth file.")
    tensors = given.read(path)
    classes: tuple[str, ...] = ()
    bands = None
    if path.suffix == ".safetensors":
        meta = checkpoint.load(path)[1]
        network = network or str(meta.get("model") or "")
        classes = tuple(map(str, meta.get("classes") or ()))
        bands = _bands(meta, path)
    if not network:
        raise TeacherError(
            f"{path} does not say of which network its weights are. Name it: file:{path}@deeplabv3:resnet101, "
            "@torchvision:deeplabv3_resnet101 or @cirkd:resnet101."
        )
    found, module = _build(network, tensors, name, bands)
    _fill(module, tensors, path, network)
    if classes and len(classes) == found.num_classes:
        found.names = classes
    return found


def _bands(meta: Mapping[str, object], path: Path) -> Bands | None:
    """What a file of ours says of the images that it was trained on; None: nothing, as most files."""
    try:
        return Bands.of(meta["bands"]) if "bands" in meta else None
    except ValueError:
        raise TeacherError(f"{path} does not say its bands as we write them. Export it again.") from None


def _build(network: str, tensors: Mapping[str, Tensor], name: str, bands: Bands | None) -> tuple[Foreign, nn.Module]:
    kind, _, rest = network.partition(":")
    if kind == "torchvision":
        theirs = build_torchvision(rest, num_classes=_num_classes(tensors, "classifier.4.weight", name))
        return theirs, theirs.model
    if kind == "cirkd":
        if rest not in cirkd.ENCODERS:
            raise TeacherError(unknown("network of cirkd", rest, cirkd.ENCODERS))
        made = cirkd.Cirkd(rest, _num_classes(tensors, "head.block.4.weight", name))
        return made, made
    if kind not in DECODERS and not own.exists(network):
        raise TeacherError(unknown("network", network, ("torchvision:NAME", "cirkd:NAME", "<decoder>:<encoder>")))
    num_classes = _num_classes(tensors, "head.weight", name)
    ours = build(network, num_classes=num_classes)
    if (channels := bands.channels if bands else _channels(ours, tensors)) != ours.channels:
        ours = build(network, num_classes=num_classes, channels=channels)
    found = Ours(ours, num_classes)
    found.pixels = Pixels() if channels == 3 else None
    if bands is not None:
        found.pixels = Pixels(bands.mean, bands.std)
    return found, ours


def _channels(model: SegModel, tensors: Mapping[str, Tensor]) -> int:
    """Of the images, by the weights of the one convolution that reads as many as the network's own does."""
    fitting = given.named(tensors, model.state_dict())
    for name, own_weight in model.state_dict().items():
        if own_weight.ndim == 4 and own_weight.shape[1] == model.channels and name in fitting:
            found = fitting[name]
            return int(found.shape[1]) if found.ndim == 4 else model.channels
    return model.channels


def _num_classes(tensors: Mapping[str, Tensor], head: str, name: str) -> int:
    """From the classifier's weights, whatever a wrapper called them."""
    last = {head, head.replace("head.", "segmentation_head.0.", 1)} if head == "head.weight" else {head}
    found = [len(value) for key, value in tensors.items() if any(key == one or key.endswith(f".{one}") for one in last)]
    if not found:
        raise TeacherError(f"{name!r}: the file has no {head}, so it is not of this network.")
    return found[-1]


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, network: str) -> None:
    fitting = given.named(tensors, module.state_dict())
    fitting = {key: value for key, value in fitting.items() if not key.startswith(_AUXILIARY)}
    try:
        module.load_state_dict(fitting)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise TeacherError(f"{path} does not hold the weights of {network!r}: {reason}") from None
    module.eval()
