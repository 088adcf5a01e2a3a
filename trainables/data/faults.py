"""What a layout reader does with a tree that breaks its rules: refuse it, or (the doctor) note it and go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from trainables.errors import DataError


@runtime_checkable
class Fault(Protocol):
    """Told each broken rule. A reader goes on after it, with what the tree does hold."""

    def __call__(self, sentence: str, files: Sequence[str] = ()) -> None:
        """`sentence` says value, rule and remedy; `files` are all those it is about, if they are many."""


def refuse(sentence: str, files: Sequence[str] = ()) -> None:  # noqa: ARG001
    """The reader's own answer.

    Raises:
        DataError: always.
    """
    raise DataError(sentence)


def first_three(names: Sequence[str]) -> str:
    """The first three of a list, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 image", "2 images"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def ranges(numbers: Sequence[int]) -> str:
    """Sorted whole numbers, neighbours joined: "0-33, 255"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
