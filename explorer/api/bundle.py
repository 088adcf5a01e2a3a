"""Bundle: what `Study.export` wrote, asked for class ids of any image."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.api import shown
from explorer.api.given import path
from explorer.api.redacted import redacted
from trainables.errors import CheckpointError, ConfigError, DataError, ModelError
from trainables.extras import need

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from explorer.bundle.video import Rate, Stream
    from trainables.config import TrialConfig
    from trainables.drawing.palette import Colour
    from trainables.serving.predict import Ids, Predictor

    Picture = str | os.PathLike[str] | Image.Image | np.ndarray

_WEIGHTS = ("student", "peer")


class Predicted(NamedTuple):
    """Attributes:
    masks, overlays: the folders; overlays: None if there are none.
    num: images that have a mask now.
    failed: images and videos that could not be read.
    videos: those that have masks now, with how fast: frames, seconds, and seconds in the network (busy).
    """

    masks: Path
    overlays: Path | None
    num: int
    failed: int
    videos: dict[Path, Rate] = {}  # noqa: RUF012, never changed


class Bundle:
    """A bundle's folder.

    Attributes:
        directory: the folder; its README.md is the model card.
    """

    def __init__(self, directory: str | os.PathLike[str], *, weights: str = "student") -> None:
        """Nothing is read yet: `load` reads it."""
        if weights not in _WEIGHTS:
            raise ConfigError(f"weights must be student or peer, got {weights!r}.")
        self.directory = path(directory).absolute()
        self._weights = weights

    @classmethod
    def load(cls, directory: str | os.PathLike[str], *, weights: str = "student") -> Bundle:
        """Read the network; nothing is unpickled.

        Args:
            weights: student, or peer for the other student of a collaborative trial.

        Raises:
            CheckpointError: no bundle, or weights of another network.
            HeteroakdError: its config or network is not understood.
        """
        bundle = cls(directory, weights=weights)
        bundle.predictor  # noqa: B018, read now, so that what is wrong is said here
        return bundle

    @cached_property
    def predictor(self) -> Predictor:
        """The network on this machine's device."""
        from trainables.serving.predict import Predictor

        return Predictor.open(self.directory, weights=self._weights)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of their ids."""
        return self.predictor.classes

    @property
    def palette(self) -> tuple[Colour, ...]:
        """A colour each: red, green and blue in 0 to 255."""
        return self.predictor.palette

    @property
    def config(self) -> TrialConfig:
        """Of the trial that it was exported from."""
        return self.predictor.config

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds: trial, pair, scores by split and class, gain, what was confirmed.

        Raises:
            CheckpointError: there is none.
        """
        try:
            return json.loads((self.directory / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise CheckpointError(f"{self.directory} has no readable metrics.json. Export it again.") from None

    def predict(self, image: Picture) -> Ids:
        """Class ids of an image of any size, uint8 [height, width].

        Args:
            image: a file's path, a PIL image, or RGB pixels as uint8 [height, width, 3]. Files and PIL images are seen
                as people see them: turned as their EXIF says, without alpha. Where the network was trained on other
                bands: a file, or the numbers that it holds [height, width, channels].

        Raises:
            DataError: no image, damaged, other channels or bits than it was trained on, or an array of another shape
                or type.
            MissingExtra: what reads such a file is not installed.
            ModelError: the network does not take an image of this size.
        """
        return self.predictor.predict(self.predictor.read(image))

    def stream(self, frames: Iterable[Picture]) -> Stream:
        """Class ids of frames as they come, such as a camera's; endless ones too.

        Args:
            frames: each as an image for `predict`.

        Returns:
            What gives (pixels, ids) for each frame. Its `rate` says how many there were (`frames`), in how many
            `seconds`, and how many of these the network was `busy`; `rate.per_second` is frames a second.
        """
        from explorer.bundle.video import Stream

        return Stream(self.predictor, frames)

    def overlay(self, image: Picture, ids: Ids | None = None) -> Image.Image:
        """The classes' colours over an image.

        Args:
            image: as for `predict`.
            ids: what was predicted for it; none: predict it.
        """
        from explorer.bundle.predict import blend

        read = self.predictor.read(image)
        found = self.predictor.predict(read) if ids is None else ids
        return blend(self.predictor.picture(read), found, self.palette)

    def __repr__(self) -> str:
        return f"Bundle({shown.near(self.directory)!r}: {', '.join(_facts(self).values()) or 'no metrics'})"

    def _repr_html_(self) -> str:
        return shown.table({"bundle": shown.near(self.directory), **_facts(self)})


def predict(
    bundle: str | os.PathLike[str],
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str] = "predicted",
    *,
    overlay: bool = True,
    masks: str = "frames",
    weights: str = "student",
    say: Callable[[str], None] = print,
) -> Predicted:
    """Write a mask, and an overlay, for each image file, and for each frame of a video.

    Args:
        bundle: the folder.
        images: files, folders of images, or patterns such as 'a/*.jpg'; a file and a pattern may be videos.
        out: folder of masks/ and overlays/.
        masks: of a video: `frames`, a PNG each, or `video`, which loses nothing either.
        weights: student, or peer.
        say: told in one sentence of each image or video that cannot be read; the others are done.

    Raises:
        HeteroakdError: no bundle, no image, or masks that would replace images or each other.
    """
    from explorer.bundle import predict as predicting
    from explorer.bundle import video

    if masks not in ("frames", "video"):
        raise ConfigError(f"masks must be frames or video, got {masks!r}.")
    loaded = Bundle(bundle, weights=weights)
    several = [images] if isinstance(images, (str, os.PathLike)) else images
    found = predicting.files([os.fspath(one) for one in several])
    videos = [one for one in found if one.suffix.lower() in predicting.VIDEOS]
    if videos:
        need("av")
    pictures = [one for one in found if one not in videos]
    failed = predicting.run(loaded.predictor, pictures, path(out), overlay=overlay, say=say)
    rates = {}
    for one in videos:
        try:
            rates[one] = video.run(loaded.predictor, one, path(out), overlay=overlay, masks=masks)  # type: ignore[arg-type]
        except (DataError, ModelError) as error:
            say(str(error))
    overlays = path(out) / predicting.OVERLAYS if overlay else None
    num = len(pictures) - failed
    return Predicted(path(out) / predicting.MASKS, overlays, num, failed + len(videos) - len(rates), rates)


@redacted()
def push(folder: str | os.PathLike[str], repository: str, *, private: bool = True) -> str:
    """Send a folder that `Study.export(hub=...)` wrote to the Hugging Face hub, with the token in HF_TOKEN.

    Args:
        repository: OWNER/NAME; made where there is none.
        private: whether one that is made is seen by its owner alone.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: no such folder, or HF_TOKEN is not set.
        StudyError: the hub does not take it, or cannot be reached.
    """
    from explorer.bundle import hub

    return hub.push(path(folder), repository, private=private)


def bench(
    bundle: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    files: Iterable[str] = (),
    device: str | None = None,
    provider: str = "CPUExecutionProvider",
    threads: int = 1,
    size: tuple[int, int] | None = None,
    runs: int = 50,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """How long a bundle's ONNX files take on this machine; on a device without this package: the bundle's bench.py.

    Args:
        out: the JSON file; none: bench.json in the bundle.
        files: some of the ONNX files; none: all.
        device: what to call this machine in it.
        provider: of ONNX Runtime.
        size: height and width; none: the graph's own, or 512x512 where it takes any.
        say: told one line a file.

    Returns:
        What the JSON file holds: device, provider, threads and, by file, p50_ms, p90_ms, peak_mib, miou, points_lost.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
        CheckpointError: no bundle.
        ConfigError: it has no such file, or a provider or size that is not there.
    """
    need("onnxruntime")
    from explorer.bundle import snippet_bench
    from trainables.kept import atomic

    if "layout" not in Bundle(bundle).metrics:
        raise CheckpointError(f"{bundle} is of an earlier release, which did not say enough. Export it again.")
    target = path(bundle) / "bench.json" if out is None else path(out)
    atomic.check_file(target)
    if threads < 1 or runs < 1:
        raise ConfigError(f"threads and runs must be >= 1, got {threads} and {runs}.")
    try:
        found = snippet_bench.bench(
            path(bundle), files=[*files], device=device, provider=provider, threads=threads, size=size, runs=runs
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    atomic.write_text(target, json.dumps(found, indent=1) + "\n")
    for line in snippet_bench.lines(found):
        say(line)
    return found


def _facts(bundle: Bundle) -> dict[str, str]:
    """In words; never raises. A study's texts may hold anything, so names are shown as Python writes them."""
    try:
        told = bundle.metrics
        facts = {"trial": f"trial {int(told['trial'])}", "pair": ascii(told["pair"])}
        facts["mIoU"] = f"mIoU {100 * told['miou']:.2f} %"
        if told["gain"] is not None:
            facts["gain"] = f"{100 * told['gain']:+.2f} points over the student alone"
        facts["confirmed"] = "not confirmed" if told["confirmed"] is None else "confirmed on fresh seeds"
    except (CheckpointError, KeyError, TypeError, ValueError):
        return {}
    return facts
