"""What is there before a sweep: data sets, one's own code, the known pairs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.api import driving
from explorer.api.given import path, plain
from explorer.api.redacted import redacted
from trainables.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from trainables.contracts.claim import Finding
    from trainables.data.doctor import Diagnosis
    from trainables.data.measure import Measured

_PAIRS = ("pair", "direction", "teacher", "student")


@dataclass(frozen=True)
class DataCheck:
    """What a data set holds and what is wrong with it; shown as text.

    Attributes:
        faults: a kind of fault, and the files that have it.
        advice: what is no fault.
        measured: mean and std of each channel, where they were asked for.
    """

    diagnosis: Diagnosis
    measured: Measured | None = None

    @property
    def sound(self) -> bool:
        return not self.diagnosis.faults

    @property
    def faults(self) -> dict[str, list[str]]:
        return self.diagnosis.faults

    @property
    def advice(self) -> list[str]:
        return self.diagnosis.advice

    def shares(self) -> pd.DataFrame:
        """Each class's share of the labelled pixels, in [0, 1]; a column a split."""
        import pandas as pd

        found = self.diagnosis
        counts = {facts.name: facts.class_counts(found.dataset) for facts in found.splits}
        shares = {name: count / max(1, count.sum()) for name, count in counts.items()}
        return pd.DataFrame(shares, index=pd.Index(found.dataset.classes, name="class"))

    def sheet(self, out: str | os.PathLike[str]) -> Path:
        """Write a PNG of samples, labels and legend.

        Raises:
            DataError: the file cannot be written.
        """
        from trainables.data.sheet import write_sheet

        write_sheet(self.diagnosis.dataset, path(out), splits=[facts.name for facts in self.diagnosis.splits])
        return path(out)

    def __str__(self) -> str:
        from explorer.api.diagnosis import lines

        return "\n".join(lines(self.diagnosis, self.measured))

    __repr__ = __str__


def check_data(
    data: str | os.PathLike[str], *, split: str | None = None, full: bool = False, measure: bool = False
) -> DataCheck:
    """Count, measure and check a data set, in seconds.

    Args:
        data: a name, NAME:PATH, or a folder with dataset.yaml.
        split: look at this one alone.
        full: decode every mask and image, not an even choice.
        measure: mean and std of each channel over the training images.

    Raises:
        DataError: no such data set or split, or no image that can be measured.
        MissingExtra: what reads its images is not installed.
    """
    from trainables.data.doctor import diagnose
    from trainables.data.measure import measure as measured

    found = diagnose(os.fspath(data), split=split, full=full)
    return DataCheck(found, measured(found.dataset, full=full) if measure else None)


@dataclass(frozen=True)
class Check:
    """What of a contract holds.

    Attributes:
        name: what was looked at.
        kind: loss, network or data set.
        findings: each claim's sentence, and the reason why it does not hold; None: it does.
    """

    name: str
    kind: str
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether every claim does."""
        return all(finding.reason is None for finding in self.findings)


@redacted()
def check(name: str, *, set: Mapping[str, Any] | None = None, console: Console | None = None) -> Check:
    """Hold a loss, network or data set to the claims that ours are tested with; each claim is shown as it is tried.

    Args:
        name: your package.module:name, a method, a network or a data set.
        set: fields of the trial that a loss is built with, such as {"own.alpha": 0.5}.
        console: where the claims go; none: this process's output.

    Raises:
        HeteroakdError: there is nothing of this name, or it is none of the three.
    """
    from rich.text import Text

    from trainables.contracts.subject import find

    console = console or driving.console()
    subject = find(name, plain(set or {}))
    console.print(Text(f"{name}, a {subject.kind}"))
    findings = []
    for finding in subject.findings():
        console.print(Text.assemble(*_line(finding)), soft_wrap=True)
        findings.append(finding)
    num = sum(finding.reason is None for finding in findings)
    console.print(Text(f"{num} of {len(subject.claims)} claims hold."))
    return Check(name, subject.kind, tuple(findings))


def _line(finding: Finding) -> tuple[str | tuple[str, str], ...]:
    if finding.reason is None:
        return ("✓ ", "green"), finding.sentence
    return ("✗ ", "red"), finding.sentence, "\n    ", finding.reason


def pairs(*, height: int = 512, width: int = 1024, classes: int = 19) -> pd.DataFrame:
    """The known pairs of teacher and student: direction, both networks' parameters, GMAC and logit stride, and the
    licences of their code, their published weights and the data of these, as the sources state them.

    Args:
        height, width: of the image that GMAC are counted for, multiples of 32.

    Raises:
        ConfigError: a side that is no multiple of 32.
    """
    import pandas as pd

    from search_spaces.pairs import PAIRS
    from trainables.models.build import build
    from trainables.models.cost import cost
    from trainables.models.licences import licences

    if height % 32 or width % 32:
        raise ConfigError(f"height and width must be multiples of 32, got {height} and {width}.")
    models = {network.model for pair in PAIRS.values() for network in pair}
    costs = {model: cost(build(model, num_classes=classes), height=height, width=width) for model in models}
    rows = [(name, pair.direction, pair.teacher.model, pair.student.model) for name, pair in PAIRS.items()]
    table = pd.DataFrame(rows, columns=list(_PAIRS))
    for name in ("parameters_millions", "gmac", "stride"):
        for role in ("teacher", "student"):
            table[f"{role}_{name}"] = [getattr(costs[model], name) for model in table[role]]
    for role in ("teacher", "student"):
        for name in ("code", "weights", "data"):
            table[f"{role}_{name}_licence"] = [getattr(licences(model), name) for model in table[role]]
    return table
