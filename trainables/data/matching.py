"""Images and labels of a split, found in folders and matched by a key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from trainables.data.dataset import Sample
from trainables.data.faults import Fault, counted, first_three
from trainables.data.names import folded, in_order
from trainables.data.passed import taken


def listed(folder: Path, suffixes: Collection[str], fault: Fault) -> list[Path]:
    """Files of a folder with one of these suffixes (lower case), in the order of their names; all else is a fault."""
    wanted = "NAME with " + ", ".join(sorted(suffixes))
    return taken(folder, lambda name: Path(name).suffix.lower() in suffixes, wanted=wanted, fault=fault)


def by_key(paths: Iterable[Path], key: Callable[[Path], str], fault: Fault) -> dict[str, Path]:
    """Files under their keys; of two with one key the first stays, after a fault."""
    found: dict[str, Path] = {}
    for path in paths:
        first = found.setdefault(key(path), path)
        if first is not path:
            fault(f"{first} and {path} share the name {key(path)!r}. Remove or rename one.")
    return found


def match(
    images: Mapping[str, Path], labels: Mapping[str, Path], *, split: str | None, root: Path, rule: str, fault: Fault
) -> tuple[Sample, ...]:
    """The samples of a split, in the order of their keys.

    Args:
        split: its name, for the sentence; None: the images are not split yet.
        rule: which file belongs to which, such as "train/NAME.png needs trainannot/NAME.png".
    """
    where = str(root) if split is None else f"split {split!r} of {root}"
    _refuse_almost_pairs(images, labels, where=where, fault=fault)
    for kind, other, alone in (
        ("images", "label", sorted(images.keys() - labels.keys(), key=in_order)),
        ("labels", "image", sorted(labels.keys() - images.keys(), key=in_order)),
    ):
        if alone:
            fault(
                f"{where} has {kind} without {other}: {first_three(alone)}. "
                f"Each {rule}: add the {other} or remove these {kind}.",
                [str((images if kind == "images" else labels)[key]) for key in alone],
            )
    return tuple(Sample(images[key], labels[key]) for key in sorted(images.keys() & labels.keys(), key=in_order))


def _refuse_almost_pairs(images: Mapping[str, Path], labels: Mapping[str, Path], *, where: str, fault: Fault) -> None:
    """An image and a label whose names look alike are named together: apart, each would seem to lack the other."""
    of_labels = {folded(key): labels[key] for key in labels.keys() - images.keys()}
    alone = sorted(images.keys() - labels.keys(), key=in_order)
    pairs = [(images[key], of_labels[folded(key)]) for key in alone if folded(key) in of_labels]
    if pairs:
        alike = [f"{image.name} and {label.name}" for image, label in pairs]
        fault(
            f"{where} has {counted(len(alike), 'image')} with a label whose name differs in case or "
            f"Unicode form: {first_three(alike)}. Rename one of each.",
            [str(image) for image, _ in pairs],
        )


def pair_folders(
    images: Path,
    labels: Path,
    *,
    split: str,
    root: Path,
    suffixes: Collection[str],
    rule: str,
    fault: Fault,
    label_suffixes: Collection[str] = (".png",),
) -> tuple[Sample, ...]:
    """Match two folders by stem. A folder that is missing leaves the split empty."""
    missing = [folder for folder in (images, labels) if not folder.is_dir()]
    if missing:
        fault(f"split {split!r} is missing: expected {missing[0]}. Each {rule}.")
        return ()
    kinds = (images, suffixes), (labels, label_suffixes)
    found = [by_key(listed(folder, ends, fault), stem, fault) for folder, ends in kinds]
    if not found[0]:
        fault(f"split {split!r} is empty: {images} holds no {', '.join(sorted(suffixes))}.")
    return match(*found, split=split, root=root, rule=rule, fault=fault)


def stem(path: Path) -> str:
    return path.stem


def inside(root: Path, *names: str) -> Path:
    """The tree within the top folders of its archive: the first of `names` that `root` holds, else `root`."""
    return next((root / name for name in names if (root / name).is_dir()), root)
