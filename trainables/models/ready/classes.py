"""Which of a teacher's classes speak for each class of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.errors import TeacherError, unknown

NOBODY = -1e4
"""The logit of a class that no teacher's class covers: its probability is 0 in fp32, fp16 and bf16."""
_UNNAMED = re.compile(r"(label|class)?[ _]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class ClassTable:
    """Attributes:
    ours: the data set's classes, by id.
    theirs: the teacher's, by id; numbers as texts where it names none.
    sources: for each of ours, the ids of theirs that speak for it; none: nobody does.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    sources: tuple[tuple[int, ...], ...]

    @property
    def covered(self) -> tuple[int, ...]:
        """Our ids that somebody speaks for."""
        return tuple(number for number, found in enumerate(self.sources) if found)

    @property
    def is_identity(self) -> bool:
        """Whether the teacher's classes are ours, in our order."""
        return len(self.theirs) == len(self.ours) and self.sources == tuple((n,) for n in range(len(self.ours)))

    @property
    def unused(self) -> tuple[str, ...]:
        """Classes of theirs that speak for none of ours."""
        used = {number for found in self.sources for number in found}
        return tuple(name for number, name in enumerate(self.theirs) if number not in used)

    def lines(self) -> list[str]:
        """The match, a line for each class of ours, and what is left over."""
        width = max(len(name) for name in self.ours)
        told = [
            f"{name.ljust(width)}  {', '.join(self.theirs[number] for number in sources) or '- (nobody)'}"
            for name, sources in zip(self.ours, self.sources, strict=True)
        ]
        left = self.unused
        shown = ", ".join(left[:12]) + (f" and {len(left) - 12} more" if len(left) > 12 else "")
        return [*told, *([f"unused: {shown}"] if left else [])]


def apply(
    logits: Float[Tensor, "batch theirs height width"], sources: tuple[tuple[int, ...], ...]
) -> Float[Tensor, "batch ours height width"]:
    """A teacher's logits as logits of our classes: probabilities of classes that become one are summed.

    z_c = log sum_k exp(z_k), over the teacher's classes k that speak for c; NOBODY where none does. The softmax of z is
    that of the teacher's probabilities, summed by class and scaled to 1 over the classes that are covered.

    Args:
        sources: `ClassTable.sources`.
    """
    return torch.stack([_spoken(logits, numbers) for numbers in sources], dim=1)


def _spoken(
    logits: Float[Tensor, "batch theirs height width"], numbers: tuple[int, ...]
) -> Float[Tensor, "batch height width"]:
    """Views alone are taken: an index on a CUDA device would make the host wait."""
    if not numbers:
        return torch.full_like(logits[:, 0], NOBODY)
    if len(numbers) == 1:
        return logits[:, numbers[0]]
    return torch.logsumexp(torch.stack([logits[:, number] for number in numbers], dim=1), dim=1)


def match(
    ours: Sequence[str],
    theirs: Sequence[str],
    wanted: str | Mapping[str, Any] | None,
    synonyms: Mapping[str, Sequence[str]],
    *,
    num_theirs: int,
    teacher: str,
) -> ClassTable:
    """The table of a spec.

    Args:
        theirs: the teacher's names; none: it has no names.
        wanted: "order", "name", a mapping of our names to one or several of theirs (names or ids); None: by name where
            the teacher has names, else by order.
        synonyms: our name -> further names of it, read under "name".
        num_theirs: channels of the teacher's logits.

    Raises:
        TeacherError: nothing fits, a name is unknown, or a match is ambiguous.
    """
    named = tuple(theirs) if len(theirs) == num_theirs and not all(map(_UNNAMED.fullmatch, theirs)) else ()
    shown = named or tuple(map(str, range(num_theirs)))
    if wanted is None:
        wanted = "name" if named else "order"
    if wanted == "order":
        sources = _by_order(ours, num_theirs, teacher)
    elif wanted == "name":
        sources = _by_name(ours, named, synonyms, teacher)
    else:
        assert isinstance(wanted, Mapping)
        sources = _as_mapped(ours, shown, wanted, teacher)
    table = ClassTable(tuple(ours), shown, sources)
    if not table.covered:
        raise TeacherError(
            f"No class of the teacher {teacher!r} fits one of the data set's. It has {_listed(shown)}; the data set "
            f"has {_listed(ours)}. Give teacher_classes a mapping of the data set's classes to the teacher's."
        )
    return table


def _by_order(ours: Sequence[str], num_theirs: int, teacher: str) -> tuple[tuple[int, ...], ...]:
    if num_theirs != len(ours):
        raise TeacherError(
            f"The teacher {teacher!r} has {num_theirs} classes and the data set has {len(ours)}, so they cannot be "
            "matched by order. Give teacher_classes a mapping of the data set's classes to the teacher's, such as "
            f"{{{ours[0]}: 0}}."
        )
    return tuple((number,) for number in range(num_theirs))


def _by_name(
    ours: Sequence[str], theirs: Sequence[str], synonyms: Mapping[str, Sequence[str]], teacher: str
) -> tuple[tuple[int, ...], ...]:
    if not theirs:
        raise TeacherError(
            f"The teacher {teacher!r} does not name its classes, so they cannot be matched by name. Set "
            "teacher_classes to order, or map the data set's classes to its numbers."
        )
    for name in synonyms:
        if name not in ours:
            raise TeacherError(unknown("class in teacher_synonyms", name, ours))
    called = [{_plain(name), *map(_plain, synonyms.get(name, ()))} for name in ours]
    speaks: dict[int, str] = {}
    sources: list[tuple[int, ...]] = []
    for name, names in zip(ours, called, strict=True):
        found = tuple(number for number, other in enumerate(theirs) if names & _names(other))
        for number in found:
            if number in speaks:
                raise TeacherError(
                    f"The teacher's class {theirs[number]!r} fits both {speaks[number]!r} and {name!r} of the data "
                    "set. Give teacher_classes a mapping."
                )
            speaks[number] = name
        if len(found) > 1 and name not in synonyms:
            raise TeacherError(
                f"The data set's class {name!r} fits several classes of the teacher {teacher!r}: "
                f"{_listed([theirs[number] for number in found])}. Give teacher_classes a mapping."
            )
        sources.append(found)
    return tuple(sources)


def _as_mapped(
    ours: Sequence[str], theirs: Sequence[str], wanted: Mapping[str, Any], teacher: str
) -> tuple[tuple[int, ...], ...]:
    for name in wanted:
        if name not in ours:
            raise TeacherError(unknown("class in teacher_classes", str(name), ours, "Its keys are the data set's."))
    sources = [
        tuple(dict.fromkeys(_number(one, theirs, teacher) for one in _several(wanted.get(name, ())))) for name in ours
    ]
    used = [number for found in sources for number in found]
    twice = next((number for number in used if used.count(number) > 1), None)
    if twice is not None:
        raise TeacherError(
            f"teacher_classes gives {theirs[twice]!r} to two classes of the data set. A class of the teacher may speak "
            "for one."
        )
    return tuple(sources)


def _several(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _number(value: Any, theirs: Sequence[str], teacher: str) -> int:
    """The id of one of the teacher's classes, from its name or id."""
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(theirs):
            return value
        raise TeacherError(
            f"teacher_classes names class {value}, but the teacher {teacher!r} has {len(theirs)}, 0 to "
            f"{len(theirs) - 1}."
        )
    found = [number for number, name in enumerate(theirs) if _plain(str(value)) in _names(name)]
    if not found:
        raise TeacherError(unknown(f"class of the teacher {teacher!r}", str(value), theirs))
    if len(found) > 1:
        raise TeacherError(
            f"{value!r} fits several classes of the teacher {teacher!r}: {_listed([theirs[n] for n in found])}. Give "
            "their numbers."
        )
    return found[0]


def _names(label: str) -> set[str]:
    """All that a label says: ADE20K's list synonyms, "building;edifice" or "car, auto"."""
    return {_plain(label), *(_plain(part) for part in re.split(r"[;,]", label))} - {""}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
