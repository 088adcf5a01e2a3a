"""What the live dashboard asks of whoever knows the studies; `explorer.show.live` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboards.frames import StudyFrames


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        frames: trials and curves of this moment, and the latest statistics.
        version: rises whenever frames changed.
        num_finished: search trials that are complete, pruned or failed.
        as_of: of how many finished search trials the statistics are; None: not computed yet.
        note: a sentence on what keeps the page from being up to date; empty if nothing does.
    """

    frames: StudyFrames = field(default_factory=StudyFrames)
    version: int = 0
    num_finished: int = 0
    as_of: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Detail:
    """What the frames leave out of a trial; texts may be hostile.

    Attributes:
        config: every field of its config, as text.
        classes: names of the data set's classes; empty: not known, or not yet.
        palette: RGB of each class, 0 to 255, as in the sample predictions; may be empty.
        iou: by class, in [0, 1]; NaN: the class occurs in neither label nor prediction. Empty: never evaluated.
        alone: the same of the student alone that its gain is measured against; may be empty.
        pending: the classes are still being looked up.
    """

    config: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    iou: Sequence[float] = ()
    alone: Sequence[float] = ()
    palette: Sequence[tuple[int, int, int]] = ()
    pending: bool = False


class Picture(Protocol):
    """RGB arrays of one size, uint8 [height, width, 3]; teacher: None where there is none."""

    name: str
    miou: float
    image: Any
    label: Any
    teacher: Any | None
    student: Any
    difference: Any


@dataclass(frozen=True)
class Pictures:
    """Sample predictions of a trial.

    Attributes:
        samples: empty while pending, and where there are none.
        note: a sentence why there are none.
        pending: they are being computed.
    """

    samples: Sequence[Picture] = ()
    note: str = ""
    pending: bool = False


class Source(Protocol):
    """The studies. Nothing here blocks: what is slow runs elsewhere and is there at a later call.

    Every method but `names` raises KeyError for a name that is none of the studies'.
    """

    def names(self) -> Sequence[str]:
        """The studies' names, all different, in the order shown."""

    def snapshot(self, name: str) -> Snapshot:
        """The study as last read."""

    def detail(self, name: str, role: str, number: int) -> Detail:
        """More of a trial that the snapshot holds."""

    def pictures(self, name: str, role: str, number: int) -> Pictures:
        """Its sample predictions; the first call starts their computation."""
