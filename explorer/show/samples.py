"""What a trial sees: images of its data set beside label, teacher, student and where the student errs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from trainables import own
from trainables.errors import HeteroakdError, StudyError

if TYPE_CHECKING:
    from explorer.results.trained import Trained
    from explorer.search.plan import Role
    from trainables.data.dataset import SegDataset
    from trainables.serving.samples import Seen

Picture = UInt8[np.ndarray, "height width 3"]
WRONG = (213, 94, 0)  # vermilion of Okabe and Ito; on grey, whatever one's colour vision
_STRIPES = ((235, 235, 235), (150, 150, 150))  # of what is ignored: no palette has stripes
_STRIPE = 4  # pixels
NO_CODE = "This would run code that the study names: {}. Allow it with --own-code."


@dataclass(frozen=True)
class Sample:
    """RGB pictures of one size.

    Attributes:
        name: the image's file name.
        miou: the student's on this image alone, in [0, 1]; NaN where no pixel is labelled.
        image: as it is on disk.
        label: in the data set's colours; striped where it is ignored.
        teacher: its prediction; None where nothing taught the trial, or where the teacher's weights are gone.
        student: its prediction.
        difference: the image in grey, wrong pixels in the colour WRONG, ignored ones striped.
    """

    name: str
    miou: float
    image: Picture
    label: Picture
    teacher: Picture | None
    student: Picture
    difference: Picture


def of_trial(
    directory: Path,
    number: int,
    *,
    role: Role = "search",
    num: int = 4,
    names: Sequence[str] = (),
    split: str = "val",
    longest: int = 512,
    own_code: bool = True,
) -> list[Sample]:
    """Pictures of a complete trial of a study. Seconds: the networks are loaded and run. No teacher is trained for it.

    Args:
        role: which trials `number` counts.
        num: images, evenly spaced in the split: the same ones for every trial.
        names: these images instead, by file name.
        split: train, val or test.
        longest: side of the pictures, pixels; larger images are made smaller after the prediction.
        own_code: whether code that the trial names (`package.module:name`) may be run.

    Raises:
        StudyError: no such trial, code that may not be run, or its checkpoint is gone: pruned trials have none.
        DataError: no such split or image, or a file that cannot be read.
    """
    return look(directory, number, role=role, num=num, names=names, split=split, longest=longest, own_code=own_code)[2]


def look(
    directory: Path,
    number: int,
    *,
    role: Role,
    num: int,
    names: Sequence[str],
    split: str,
    longest: int,
    own_code: bool = True,
) -> tuple[str, SegDataset, list[Sample]]:
    """As `of_trial`, with the trial in words and its data set before the pictures."""
    from explorer.results.trained import load, teacher_caches
    from explorer.results.trials import load_studies
    from trainables.serving import samples

    spec, studies = load_studies(directory)
    every = studies[role].get_trials(deepcopy=False)
    if not own_code and 0 <= number < len(every):
        refuse_code(every[number].user_attrs.get("config"))
    found = load(spec, directory, studies, number, role=role)
    config = samples.here(found.config)
    chosen = samples.choose(found.dataset, split, num=num, names=names)
    classes, channels = found.dataset.num_classes, found.dataset.bands.channels
    try:
        student = samples.network(config, config.student, found.student, classes, channels=channels)
        peer = None
        if found.peer:
            peer = samples.network(config, config.teacher, found.peer, classes, channels=channels)
        teacher = peer or samples.known_teacher(config, found.dataset, caches=teacher_caches(directory))
        seen = samples.look(config, found.dataset, chosen, student=student, teacher=teacher)
    except HeteroakdError:
        raise
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise StudyError(f"The weights of trial {number} do not fit {config.student!r}: {reason}") from None
    return _title(found, role), found.dataset, [draw(one, found.dataset, longest=longest) for one in seen]


def refuse_code(values: object) -> None:
    """Raises:
    StudyError: `code_of` finds some.
    """
    if reference := code_of(values):
        raise StudyError(NO_CODE.format(reference))


def code_of(values: object) -> str:
    """The first text in a config, however deep, that names a module which is there; empty if none does.

    The texts are `package.module:name`, or that with a path of any length behind it.
    """
    spelt = (":".join(text.split(":", 2)[:2]) for text in _texts(values) if ":" in text)
    return next((reference[:200] for reference in spelt if own.exists(reference)), "")


def _texts(values: object) -> Iterator[str]:
    left = [values]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += one.values()
        elif isinstance(one, (list, tuple)):
            left += one


def _title(found: Trained, role: Role) -> str:
    told = found.trial.user_attrs
    score = max(found.trial.intermediate_values.items(), default=(0, float("nan")))[1]
    name = told.get("pair") or told.get("student")
    return f"{role} trial {found.trial.number}: {name}, {told.get('method')}, mIoU {100 * score:.2f} % on val"


def draw(seen: Seen, dataset: SegDataset, *, longest: int) -> Sample:
    """Ids as colours, at most `longest` pixels a side."""
    height, width = seen.label.shape
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    label, student = (_shrunk(ids, size) for ids in (seen.label, seen.student))
    image = np.asarray(Image.fromarray(seen.image).resize(size, Image.Resampling.BILINEAR))
    ignored = label == dataset.ignore_index
    return Sample(
        name=seen.name,
        miou=seen.miou,
        image=image,
        label=striped(colour(label, dataset), ignored),
        teacher=None if seen.teacher is None else colour(_shrunk(seen.teacher, size), dataset),
        student=colour(student, dataset),
        difference=_difference(image, wrong=(label != student) & ~ignored, ignored=ignored),
    )


def colour(ids: UInt8[np.ndarray, "height width"], dataset: SegDataset) -> Picture:
    """Class ids in the data set's colours; other ids black."""
    table = np.zeros((256, 3), np.uint8)
    table[: dataset.num_classes] = dataset.palette
    return table[ids]


def _shrunk(ids: UInt8[np.ndarray, "height width"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    return np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))


def _difference(
    image: Picture, *, wrong: Bool[np.ndarray, "height width"], ignored: Bool[np.ndarray, "height width"]
) -> Picture:
    grey = np.asarray(Image.fromarray(image).convert("L"))
    faint = (160 + grey * 0.35).astype(np.uint8)[..., None].repeat(3, axis=2)
    faint[wrong] = WRONG
    return striped(faint, ignored)


def striped(picture: Picture, where: Bool[np.ndarray, "height width"]) -> Picture:
    """What is ignored, as stripes."""
    rows, columns = np.indices(where.shape)
    stripes = np.array(_STRIPES, np.uint8)[(rows + columns) // _STRIPE % 2]
    return np.where(where[..., None], stripes, picture)
