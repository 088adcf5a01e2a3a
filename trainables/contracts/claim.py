"""A claim: one sentence, and the function that shows whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch

from trainables.errors import ContractError, HeteroakdError


class Claim(NamedTuple):
    """A sentence about a subject, and `check`, which raises ContractError where it does not hold."""

    sentence: str
    check: Callable[[Any], None]


class Finding(NamedTuple):
    """A claim's sentence, and why it does not hold; None: it does."""

    sentence: str
    reason: str | None


def examine(subject: Any, claims: Iterable[Claim]) -> Iterator[Finding]:
    """Try each claim; one that fails stops no other."""
    for claim in claims:
        yield Finding(claim.sentence, broken(claim, subject))


def broken(claim: Claim, subject: Any) -> str | None:
    """Why a claim does not hold; the global random state is left as it was.

    What the subject raises breaks the claim too.
    """
    with torch.random.fork_rng(devices=()):
        try:
            claim.check(subject)
        except HeteroakdError as error:
            return str(error)
        except Exception as error:
            return f"{type(error).__name__} was raised: {' '.join(str(error).split())[:300]}"
    return None


def ensure(holds: bool, otherwise: str) -> None:
    """Raises:
    ContractError: it does not hold.
    """
    if not holds:
        raise ContractError(otherwise)
