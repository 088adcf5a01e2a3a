"""Whether a split can be scored at all: where it cannot, mIoU is 100 % whatever a network says, or no number."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from trainables.data.dataset import SegDataset
from trainables.data.facts import SplitFacts


def unscorable(dataset: SegDataset, facts: SplitFacts) -> str | None:
    """The sentence for a set of fewer than two classes, or a split whose masks label fewer; None: it can be scored."""
    labelled = np.flatnonzero(facts.class_counts(dataset))
    split = f"split {facts.name!r} of {dataset.root}"
    if dataset.num_classes < 2:
        one = dataset.classes[0]
        said = (
            f"{dataset.root} has one class ({one}): mIoU is 100 % whatever a network says. Name at least two, such as "
        )
        said += f"background and {one}."
    elif not len(labelled):
        said = f"{split} has no labelled pixel: all are ignored ({_ids(facts)}), so nothing can be scored. Label some."
    elif len(labelled) == 1:
        one = dataset.classes[labelled[0]]
        said = f"All that is labelled in {split} is {one}: a network that says nothing else has an mIoU of 100 %. "
        said += "Label a second class."
    else:
        return None
    return f"{said} {_remedy(dataset)}" if _is_binary(dataset, facts.counts) else said


def _is_binary(dataset: SegDataset, counts: Int64[np.ndarray, " ids"]) -> bool:
    """Masks of 0 and 255, as many tools write them, of which 255 counts as ignored."""
    held = set(np.flatnonzero(counts).tolist())
    return dataset.ids is None and dataset.coding is None and dataset.ignore_index == 255 and 255 in held <= {0, 255}


def _remedy(dataset: SegDataset) -> str:
    named = "" if dataset.num_classes > 1 else " and two classes"
    write = f"write `ids: {{255: 1}}`{named} in dataset.yaml"
    return f"The masks hold 0 and 255, and 255 is ignored: if it is a class, {write}."


def _ids(facts: SplitFacts) -> str:
    return ", ".join(map(str, np.flatnonzero(facts.counts)))
