"""`heteroakd check`: each claim with a tick, or the reason why it does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from trainables.contracts.subject import find


def check(name: str, *, console: Console, fields: Mapping[str, Any]) -> bool:
    """Hold a loss, network or data set to its contract.

    Args:
        fields: of the TrialConfig that a loss is built with, such as `own.alpha`.

    Returns:
        Whether every claim holds.

    Raises:
        HeteroakdError: there is nothing of this name, or it is none of the three.
    """
    subject = find(name, fields)
    console.print(Text(f"{name}, a {subject.kind}"))
    reasons = []
    for finding in subject.findings():
        console.print(_line(finding.sentence, finding.reason), soft_wrap=True)
        reasons += [finding.reason] if finding.reason else []
    console.print(Text(f"{len(subject.claims) - len(reasons)} of {len(subject.claims)} claims hold."))
    return not reasons


def _line(sentence: str, reason: str | None) -> Text:
    if reason is None:
        return Text.assemble(("✓ ", "green"), sentence)
    return Text.assemble(("✗ ", "red"), sentence, "\n    ", reason)
