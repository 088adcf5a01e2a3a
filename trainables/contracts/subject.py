"""From a name to the claims it must keep: a method, a network or a data set; one of ours or `package.module:name`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from trainables import own
from trainables.conditions import METHODS
from trainables.config import TrialConfig
from trainables.contracts import datasets, losses, models
from trainables.contracts.case import Loss
from trainables.contracts.claim import Claim, Finding, examine
from trainables.contracts.datasets import Data
from trainables.contracts.models import Network
from trainables.data.catalogue import open_dataset
from trainables.data.dataset import SegDataset
from trainables.data.own import Own
from trainables.errors import ContractError
from trainables.losses.criterion import Criterion
from trainables.losses.find import find_method
from trainables.models import DECODERS
from trainables.models.build import build
from trainables.models.segmodel import SegModel

_CROP = {"crop_height": 64, "crop_width": 64, "projector_tap": "stage3", "region_size": 8, "device": "cpu"}
_WANTED = "a subclass of Criterion or SegModel, or a function annotated -> SegModel or -> SegDataset"


class Subject(NamedTuple):
    """What is looked at: a loss, a network or a data set (`kind`), as its claims want it."""

    kind: str
    under_test: Any
    claims: tuple[Claim, ...]

    def findings(self) -> Iterator[Finding]:
        return examine(self.under_test, self.claims)


def find(name: str, fields: Mapping[str, Any]) -> Subject:
    """Import it, and see what it is.

    Args:
        fields: of the TrialConfig that a loss is built with.

    Raises:
        HeteroakdError: there is none of this name, or it is none of the three.
    """
    return _KINDS[_kind(name)](name, fields)


def _kind(name: str) -> str:
    if name in METHODS:
        return "loss"
    if name.partition(":")[0] in DECODERS:
        return "network"
    if (theirs := Own.parse(name)) is None:
        return "data set"
    found = own.load(theirs.reference, wanted=_WANTED, accepts=_is_known, error=ContractError)
    if own.is_subclass(found, Criterion):
        return "loss"
    return "network" if own.is_subclass(found, SegModel) or own.returns(found, SegModel) else "data set"


def _is_known(found: Any) -> bool:
    made = any(own.returns(found, kind) for kind in (SegModel, SegDataset))
    return made or any(own.is_subclass(found, kind) for kind in (Criterion, SegModel))


def _loss(name: str, fields: Mapping[str, Any]) -> Subject:
    config = TrialConfig.parse({**_CROP, "method": name, **fields})
    return Subject("loss", Loss(find_method(name), config), losses.CLAIMS)


def _network(name: str, _: Mapping[str, Any]) -> Subject:
    def make(num_classes: int) -> SegModel:
        return build(name, num_classes=num_classes)

    make(2)
    return Subject("network", Network(make), models.CLAIMS)


def _dataset(name: str, _: Mapping[str, Any]) -> Subject:
    open_dataset(name)
    return Subject("data set", Data(lambda: open_dataset(name)), datasets.CLAIMS)


_KINDS: dict[str, Callable[[str, Mapping[str, Any]], Subject]] = {
    "loss": _loss,
    "network": _network,
    "data set": _dataset,
}
