"""What an import did, as numbers and as lines."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from trainables.data.faults import counted
from trainables.data.importers.convert import Done
from trainables.data.importers.source import IGNORED, LeftOut
from trainables.data.importers.target import LEFT

_SHOWN = 20  # left out, in the lines


@dataclass
class Report:
    """What an import did.

    Attributes:
        kind, source, folder: what was imported into what.
        classes: in the order of their ids.
        images: of each split.
        pixels: of each 8-bit id, over all labels.
        objects: annotations drawn, of each class; none for masks.
        overlaps: pixels that annotations of more than one class cover.
        placed: files by what was done: linked, copied, kept, written.
        notes: what to know.
        left_out: what could not be read.
        places: the files of the set.
        seen: what was met in the labels, and how often.
    """

    kind: str
    source: Path
    folder: Path
    classes: tuple[str, ...] = ()
    images: dict[str, int] = field(default_factory=dict)
    pixels: Int64[np.ndarray, " ids"] = field(default_factory=lambda: np.zeros(256, np.int64))
    objects: Counter[str] = field(default_factory=Counter)
    overlaps: int = 0
    placed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, done: Done, named: tuple[str, ...]) -> None:
        """One image more.

        Args:
            named: the source's classes, in the order of their numbers.
        """
        self.left_out += done.left_out
        if done.label is None or done.counts is None:
            return
        self.images[done.split] += 1
        self.places |= set(done.places)
        self.pixels += done.counts
        self.overlaps += done.label.overlaps
        self.placed += done.placed
        self.seen += done.label.notes
        self.objects.update({named[number]: count for number, count in done.label.objects.items()})

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.kind}: {self.source} -> {self.folder}"
        yield "images: " + ", ".join(f"{split} {number}" for split, number in self.images.items())
        yield from self._classes()
        if self.overlaps:
            yield f"{self.overlaps:,} pixels belong to objects of more than one class: the smaller one lies on top."
        yield from self.notes
        yield from (f"{what}: {number:,}" for what, number in sorted(self.seen.items()))
        yield "files: " + ", ".join(f"{number} {how}" for how, number in sorted(self.placed.items()) if number)
        yield from self._left_out()
        yield f"next: heteroakd data check {shlex.quote(str(self.folder))}"

    def _classes(self) -> Iterator[str]:
        whole = max(1, int(self.pixels.sum()))
        for number, name in enumerate(self.classes):
            objects = f", {counted(self.objects[name], 'object')}" if self.objects[name] else ""
            yield f"  {number:3} {name}: {100 * self.pixels[number] / whole:.2f} % of all pixels{objects}"
        if ignored := self.pixels[IGNORED]:
            yield f"  {IGNORED} ignored: {100 * ignored / whole:.2f} % of all pixels"

    def _left_out(self) -> Iterator[str]:
        if not self.left_out:
            return
        yield f"left out: {len(self.left_out)}"
        yield from (f"  {one.file}: {one.reason}" for one in self.left_out[:_SHOWN])
        if len(self.left_out) > _SHOWN:
            yield f"  and {len(self.left_out) - _SHOWN} more: {self.folder / LEFT}"
