"""`heteroakd predict`: masks and overlays of any images, by a bundle's network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainables.data.images import SUFFIXES
from trainables.errors import DataError, Interrupted, ModelError
from trainables.kept import atomic

if TYPE_CHECKING:
    from trainables.serving.predict import Predictor

MASKS, OVERLAYS = "masks", "overlays"
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
_OPACITY = 0.5  # of the classes over the image


def files(given: Sequence[str]) -> list[Path]:
    """Files, each once: a file, the images that lie in a folder (not in those below), or what a glob finds.

    Videos count where they are named or a glob finds them.

    Hidden ones, such as the `._photo.jpg` that macOS leaves, count only where they are named.

    Raises:
        DataError: something cannot be read or gives no image, or two images would have a mask of one name.
    """
    found: dict[Path, Path] = {}
    for text in given:
        try:
            images = _images(text)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{text!r} is no path or pattern that can be read: {reason}.") from None
        if not images:
            raise DataError(f"{text!r} gives no image: it is no file, no folder with images and no pattern that fits.")
        for path in images:
            found.setdefault(path.parent.resolve() / path.name, path)
    return _of_different_names(list(found.values()))


def run(predictor: Predictor, images: Sequence[Path], out: Path, *, overlay: bool, say: Callable[[str], None]) -> int:
    """Write `masks/NAME.png` and `overlays/NAME.png`; files of these names are replaced.

    Args:
        say: told in one sentence of each image that cannot be read.

    Returns:
        How many could not.

    Raises:
        ConfigError: see `atomic.check_folder`.
        DataError: a mask would be written over an image that is to be read.
        Interrupted: the disk is full.
    """
    from trainables.serving.predict import save_mask

    for folder in (MASKS, OVERLAYS):
        atomic.check_folder(out / folder)
    targets = {path: (out / MASKS / f"{path.stem}.png", out / OVERLAYS / f"{path.stem}.png") for path in images}
    written = {target.resolve() for pair in targets.values() for target in pair}
    for path in images:
        if path.resolve() in written:
            raise DataError(f"{path} would be overwritten by a prediction. Give another --out.")
    failed = 0
    for path, (mask, over) in targets.items():
        try:
            image = predictor.read(path)
            ids = predictor.predict(image)
        except Interrupted:
            raise
        except (DataError, ModelError) as error:
            say(str(error))
            failed += 1
            continue
        save_mask(ids, predictor.palette, mask)
        if overlay:
            _save(blend(predictor.picture(image), ids, predictor.palette), over)
    return failed


def blend(image: np.ndarray, ids: np.ndarray, palette: Sequence[Sequence[int]]) -> Image.Image:
    """The classes' colours over the image, uint8 [height, width, 3]."""
    colours = Image.fromarray(np.array(palette, np.uint8)[ids])
    return Image.blend(Image.fromarray(image), colours, _OPACITY)


def _images(text: str) -> list[Path]:
    if not text:
        return []
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    root = Path(path.anchor) if path.is_absolute() else Path()
    pattern = str(path.relative_to(root)) if path.is_absolute() else str(path)
    found = path.iterdir() if path.is_dir() else root.glob(pattern)
    named = not path.is_dir() and path.name.startswith(".")  # a pattern that asks for hidden ones
    seen = (one for one in found if named or not one.name.startswith("."))
    wanted = SUFFIXES if path.is_dir() else (*SUFFIXES, *VIDEOS)
    return sorted(one for one in seen if one.suffix.lower() in wanted and one.is_file())


def _of_different_names(images: list[Path]) -> list[Path]:
    known: dict[str, Path] = {}
    for path in images:
        ending = ".mp4" if path.suffix.lower() in VIDEOS else ".png"
        other = known.setdefault(f"{path.stem.casefold()}{ending}", path)  # some file systems know no case
        if other != path:
            raise DataError(
                f"{other} and {path} would both become {path.stem}{ending}. Rename one, or predict them in two runs."
            )
    return images


@atomic.outside_a_sweep()
def _save(picture: Image.Image, path: Path) -> None:
    atomic.write(path, lambda part: picture.save(part, format="PNG"))
