"""`heteroakd predict` of videos, and of any frames that come one after the other, such as a camera's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from explorer.bundle.predict import MASKS, OVERLAYS, blend
from trainables.errors import DataError
from trainables.extras import need
from trainables.kept import atomic

if TYPE_CHECKING:
    from trainables.serving.predict import Ids, Pixels, Predictor

Kind = Literal["frames", "video"]
_USUAL = Fraction(25)  # frames a second, where a file does not say
_DIGITS = 6


class Rate(NamedTuple):
    """How fast frames were predicted.

    Attributes:
        frames: their number.
        seconds: from the first frame that was asked for to the end.
        busy: of these, in the network, with what prepares its input and reads its answer.
    """

    frames: int
    seconds: float
    busy: float

    @property
    def per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def words(self) -> str:
        alone = self.frames / self.busy if self.busy else 0.0
        return f"{self.frames} frames, {self.per_second:.1f} a second ({alone:.1f} in the network alone)"


class Stream:
    """Frames in, each frame as it was read with its class ids out; `rate` says how fast so far."""

    def __init__(self, predictor: Predictor, frames: Iterable[Any]) -> None:
        """Args:
        frames: each as `Bundle.predict` takes an image.
        """
        self._predictor = predictor
        self._frames = frames
        self.rate = Rate(0, 0.0, 0.0)

    def __iter__(self) -> Iterator[tuple[Pixels, Ids]]:
        begun, busy = time.perf_counter(), 0.0
        for number, frame in enumerate(self._frames, start=1):
            start = time.perf_counter()
            pixels = self._predictor.read(frame)
            ids = self._predictor.predict(pixels)
            busy += time.perf_counter() - start
            yield pixels, ids
            self.rate = Rate(number, time.perf_counter() - begun, busy)


@atomic.outside_a_sweep()
def run(predictor: Predictor, video: Path, out: Path, *, overlay: bool, masks: Kind) -> Rate:
    """Write `masks/NAME/000000.png` and so on, or `masks/NAME.mkv`, and `overlays/NAME.mp4`; they are replaced.

    Args:
        masks: PNGs of class ids, or a video of them: grey levels, FFV1, which loses nothing.

    Raises:
        DataError: it is no video or a damaged one, or would be overwritten; or the network takes no RGB.
        MissingExtra: av is not installed.
        Interrupted: the disk is full.
    """
    from trainables.serving.predict import save_mask

    check(predictor, video)
    over, ids_file = out / OVERLAYS / f"{video.stem}.mp4", out / MASKS / f"{video.stem}.mkv"
    if video.resolve() in (over.resolve(), ids_file.resolve()):
        raise DataError(f"{video} would be overwritten by a prediction. Give another --out.")
    stream = Stream(predictor, frames(video))
    rate = frame_rate(video)
    with ExitStack() as opened:
        shown = opened.enter_context(_writer(over, "mp4", "libx264", "yuv420p", rate)) if overlay else None
        told = opened.enter_context(_writer(ids_file, "matroska", "ffv1", "gray", rate)) if masks == "video" else None
        for number, (pixels, ids) in enumerate(stream):
            if told is not None:
                told(ids)
            else:
                save_mask(ids, predictor.palette, out / MASKS / video.stem / f"{number:0{_DIGITS}d}.png")
            if shown is not None:
                shown(_even(np.array(blend(pixels, ids, predictor.palette))))
    return stream.rate


def check(predictor: Predictor, video: Path) -> None:
    """Before anything is predicted.

    Raises:
        DataError: the network takes other images than a video has.
        MissingExtra: av is not installed.
    """
    need("av")
    if not predictor.bands.is_photo:
        raise DataError(f"{video} has frames of RGB, but the network was trained on {predictor.bands.words}.")


def frames(video: Path) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """A video's frames, upright as a phone says they are.

    Raises:
        DataError: it cannot be read, or only in part.
    """
    import av

    number = 0
    try:
        with av.open(video) as container:
            for number, frame in enumerate(container.decode(video=0), start=1):  # noqa: B007
                pixels = frame.to_ndarray(format="rgb24")
                turns = round(frame.rotation / 90) % 4
                yield np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
    except (av.FFmpegError, IndexError) as error:  # IndexError: sound alone
        raise _unreadable(video, error, number) from None
    if not number:
        raise DataError(f"{video} has no frame. Replace it.")


def frame_rate(video: Path) -> Fraction:
    """Frames a second, on average.

    Raises:
        DataError: it cannot be read.
    """
    import av

    try:
        with av.open(video) as container:
            return container.streams.video[0].average_rate or _USUAL
    except (av.FFmpegError, IndexError) as error:
        raise _unreadable(video, error, 0) from None


def _unreadable(video: Path, error: Exception, number: int) -> DataError:
    reason = getattr(error, "strerror", None) or "it has no picture"
    after = f" after {number} frames" if number else ""
    return DataError(f"{video} cannot be decoded{after}: {reason}. Replace it.")


@contextmanager
def _writer(path: Path, container: str, codec: str, pixels: str, rate: Fraction) -> Iterator[Any]:
    """A function that adds a frame, uint8 [height, width] or [height, width, 3]; the file is there once it is whole."""
    import av

    with atomic.interrupting(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(atomic.part_of(path.name))
    try:
        with atomic.interrupting(path.parent), av.open(part, "w", format=container) as file:
            stream: Any = file.add_stream(codec, rate=rate)
            stream.pix_fmt = pixels

            def add(values: np.ndarray) -> None:
                if not stream.codec_context.is_open:
                    stream.height, stream.width = values.shape[:2]
                frame = av.VideoFrame.from_ndarray(values, format="gray" if values.ndim == 2 else "rgb24")
                file.mux(stream.encode(frame))

            yield add
            file.mux(stream.encode())
        with atomic.interrupting(path.parent):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _even(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Its last row and column once more where their number is odd: what most players play has even sides."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
