"""A data set's diagnosis as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainables.data.faults import counted, ranges

if TYPE_CHECKING:
    from trainables.data.doctor import Diagnosis
    from trainables.data.facts import SplitFacts
    from trainables.data.measure import Measured

MOST = 20  # files said of each kind of fault
_HEADING = "share of the labelled pixels"
_BAR = 24  # characters of the largest class


def lines(found: Diagnosis, measured: Measured | None = None) -> Iterator[str]:
    """What the set holds, advice, what was measured, and every kind of fault with up to 20 files each."""
    dataset = found.dataset
    yield f"{dataset.name} in {dataset.root}: {len(dataset.classes)} classes, ignored pixels are {dataset.ignore_index}"
    for facts in found.splits:
        yield from _split(facts, found)
    if dataset.unlabelled:
        yield f"unlabelled: {counted(len(dataset.unlabelled), 'image')}"
    yield from classes(found)
    yield from (f"advice: {sentence}" for sentence in found.advice)
    if measured is not None:
        yield f"measured over {measured.num_images} images of train; in dataset.yaml:"
        yield from (f"  {line}" for line in measured.lines())
    yield from _faults(found)


def _split(facts: SplitFacts, found: Diagnosis) -> Iterator[str]:
    read = f"{facts.num_masks} masks and {facts.num_images} images decoded"
    rest = " (evenly spaced; --full decodes all)" if facts.num_images < facts.num_samples else ""
    yield f"{facts.name}: {facts.num_samples} samples, {read}{rest}"
    if facts.sizes:
        yield f"  images: {_sizes(facts.sizes)} (height x width)"
    if facts.bands:
        yield "  bands: " + ", ".join(f"{kind} {count}" for kind, count in facts.bands.most_common())
    if facts.kinds:
        kinds = ", ".join(f"{kind} {count}" for kind, count in facts.kinds.most_common())
        where = "in the files" if found.dataset.coding is None else "of what they mean"
        yield f"  masks: {kinds}; ids {where}: {ranges([number for number in range(256) if facts.counts[number]])}"
    if total := int(facts.counts.sum()):
        unmatched = f", {_percent(facts.unmatched / total)} for they are of no colour named" if facts.unmatched else ""
        yield f"  ignored: {100 * facts.ignored(found.dataset) / total:.1f} % of the pixels{unmatched}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _sizes(sizes: list[tuple[int, int]]) -> str:
    """One size, or smallest, median and largest by area."""
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    said = [f"{height}x{width}" for height, width in (ordered[0], ordered[len(ordered) // 2], ordered[-1])]
    return f"all {said[0]}" if len(set(sizes)) == 1 else f"smallest {said[0]}, median {said[1]}, largest {said[2]}"


def classes(found: Diagnosis) -> Iterator[str]:
    """Each class's share of the labelled pixels, a column a split, and a bar for the first."""
    counts = [facts.class_counts(found.dataset) for facts in found.splits]
    if not found.dataset.classes or not sum(int(one.sum()) for one in counts):
        return
    shares = [one / max(1, one.sum()) for one in counts]
    wide = max(len(_HEADING) - 6, *(len(name) for name in found.dataset.classes))
    yield f"{_HEADING:<{wide + 6}} " + "".join(f"{one.name:>9}" for one in found.splits)
    largest = max(shares[0]) or 1.0
    for number, name in enumerate(found.dataset.classes):
        columns = "".join(f"{100 * share[number]:>7.2f} %" if share[number] else f"{'-':>9}" for share in shares)
        bar = "█" * round(_BAR * shares[0][number] / largest)
        yield f"  {number:>3} {name:<{wide}} {columns}  {bar}".rstrip()


def _faults(found: Diagnosis) -> Iterator[str]:
    if not found.faults:
        yield "sound: nothing is wrong with what was read."
        return
    number = sum(max(1, len(files)) for files in found.faults.values())
    yield f"{number} fault{'s' * (number > 1)}:"
    for kind, files in found.faults.items():
        yield f"  {kind}" + (f" ({len(files)}):" if files else "")
        yield from (f"    {file}" for file in files[:MOST])
        if len(files) > MOST:
            yield f"    and {len(files) - MOST} more"
