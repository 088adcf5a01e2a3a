"""Under which methods and teachers a field of a trial is read: what `when` of a field is made of."""

from __future__ import annotations

from typing import Any

from trainables.errors import unknown
from trainables.fields import under
from trainables.published import BESIDE
from trainables.sources import is_ready

METHODS = (
    *("task", "kd", "heteroakd", "cwd", "skd", "ifvd", "at", "fitnet", "dist", "cirkd", "afdcd", "ofa"),
    *("nfd", "lskd", "qsd", "cirkdv2", "diffkd", "collaborative"),
)
OWN = "own"
"""What a method of the user's own, `package.module:name`, is called in conditions."""
OWN_PREFIX = "own."
"""A search dimension `own.alpha` is the entry `alpha` of the field `own`."""
READY = "ready"
"""What a teacher that is good already is called in conditions (see `sources.py`)."""

TAUGHT = under(*(name for name in METHODS if name not in ("task", "collaborative")), OWN)
TRAINED = TAUGHT | {"teacher": (OWN,)}
READY_TEACHER = TAUGHT | {"teacher": (READY,)}
PAIRED = under(*TAUGHT["method"], "collaborative")
FEATURED = under(
    *("cwd", "skd", "ifvd", "at", "fitnet", "cirkd", "afdcd", "nfd", "qsd", "cirkdv2", "diffkd", OWN),
)
"""Methods that compare features themselves, so that these can be trained before all else."""
TAPPED = under("heteroakd", *FEATURED["method"])
CIRKD = ("cirkd", "cirkdv2")
KD_BESIDE = under(*BESIDE)
_WITH_KD = KD_BESIDE | {"with_kd": (True,)}
KD = (under("kd", "heteroakd"), _WITH_KD)
SOFTENED = (under("kd", "heteroakd", "lskd", "collaborative"), _WITH_KD)
HAKD = under("heteroakd")
DEEP = HAKD | {"projector_depth": (2, 3)}
ONLINE = under("collaborative")


def as_condition(value: Any) -> Any:
    """A field's value as conditions name it: every method of the user's own is OWN, and so is every network, but for
    teachers that are good already, which are READY.
    """
    if isinstance(value, str) and is_ready(value):
        return READY
    return OWN if isinstance(value, str) and ":" in value and value not in METHODS else value


def known_method(name: str) -> str:
    if name not in METHODS and ":" not in name:
        raise ValueError(unknown("method", name, METHODS, "Your own is named package.module:name."))
    return name
