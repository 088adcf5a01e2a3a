"""A student as graphs that run without this package: ONNX and torch.export, each held against the network itself."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.bands import RGB, Bands
from trainables.config import TrialConfig
from trainables.errors import DataError
from trainables.kept import atomic
from trainables.models.segmodel import SegModel
from trainables.scoring.evaluate import predict

ONNX, PT2 = "student.onnx", "student.pt2"
STEP = 32  # sides are multiples of every encoder's coarsest stride
LEAST = 2 * STEP  # torch.export treats a grid of one cell as a case of its own
SIZES = f"multiples of {STEP} from {LEAST}"
MOST_DIFFERENCE, LEAST_AGREEMENT = 1e-3, 0.999  # of the largest logit; of the pixels' labels
MOST_SECONDS = 120  # of CPU: windows (Swin) and padding that depends on the size (tf_) keep the tracer busy for hours
_LARGEST = 8192  # pixels a side, images a batch
_NOISY = ("", "torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch.fx.experimental.sym_node")

Images = Float[Tensor, "batch channels height width"]
Run = Callable[[Images], Float[Tensor, "batch classes height width"]]


class Deployed(nn.Module):
    """Stored values in float32, such as RGB 0-255, to logits of the same size; normalisation is inside."""

    scale: Tensor
    shift: Tensor

    def __init__(self, student: SegModel, *, align_corners: bool = False, bands: Bands = RGB) -> None:
        super().__init__()
        self.align_corners, self.channels = align_corners, bands.channels
        self.encoder, self.decoder, self.head = student.encoder, student.decoder, student.head
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (bands.mean, bands.std))
        self.register_buffer("scale", 1 / (bands.scale * std))
        self.register_buffer("shift", mean / std)

    def forward(self, images: Tensor) -> Tensor:
        """Images [batch, channels, H, W], sides multiples of 32, to logits [batch, classes, H, W]."""
        logits = self.head(self.decoder(self.encoder(images * self.scale - self.shift)))
        return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=self.align_corners)


class Form(NamedTuple):
    """One file format: how a traced graph is written, for an ONNX opset, and what runs it. Both may raise anything."""

    file: str
    write: Callable[[Any, Path, int | None], object]
    read: Callable[[Path], Run]


def write(
    student: SegModel,
    config: TrialConfig,
    images: Sequence[Real[Tensor, "channels height width"]],
    out: Path,
    *,
    bands: Bands = RGB,
    size: tuple[int, int] | None = None,
    opset: int | None = None,
    only: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Write `student.onnx` and `student.pt2`; a minute for a small network. Never raises for a network's sake.

    Any batch; sides that are multiples of 32 from 64 on, or where the network does not allow that, the first image's.

    Args:
        student: on the CPU; set to eval mode.
        images: at least one, real, on which the file is held against `evaluate.predict` of whole images.
        out: the folder.
        bands: of the images.
        size: height and width, multiples of 32 from 64 on, of graphs that take nothing else; images are cut or padded.
        opset: of ONNX; none: the exporter's own.
        only: the file to write; none: both.

    Returns:
        By file: `size` (SIZES or "HxW"), `max_abs_diff` of the logits, `agreement` (share of pixels with the same
        class), `num_images`; or `reason`, one sentence, and then the file is not there.
    """
    student.eval()
    if size is not None:
        images = [pad(image[None, :, : size[0], : size[1]], bands, size)[0] for image in images]
    whole = config.model_copy(update={"eval_mode": "whole", "device": "cpu"})
    with torch.no_grad():
        expected = [predict(student, image[None], whole, bands) for image in images]
        cases = [(pad(image[None], bands), logits) for image, logits in zip(images, expected, strict=True)]
    deployed = Deployed(student, align_corners=config.align_corners, bands=bands).eval()
    traced_at = cases[0][0].shape[-2:]

    @functools.cache  # of failures, too, since they may have taken minutes
    def attempt(free: bool) -> torch.export.ExportedProgram | Exception:
        try:
            with quiet(), torch.no_grad(), cpu_limit(MOST_SECONDS):
                return _trace(deployed, traced_at, free=free)
        except Exception as error:  # exporters raise whatever a network makes them stumble over
            return error

    def traced(free: bool) -> torch.export.ExportedProgram:
        found = attempt(free)
        if isinstance(found, Exception):
            raise found
        return found

    ways = (True, False) if size is None else (False,)
    return {
        form.file: _write_one(form, traced, cases, out / form.file, ways, opset)
        for form in FORMS
        if only in (None, form.file)
    }


def pad(images: Real[Tensor, "batch channels H W"], bands: Bands = RGB, size: tuple[int, int] | None = None) -> Images:
    """To a size, or to sides that are multiples of 32, 64 at least, below and right, with what normalises to 0.

    Raises:
        DataError: they are larger than the size.
    """
    height, width = images.shape[-2:]
    rows, columns = size or tuple(max(LEAST, side + -side % STEP) for side in (height, width))
    if height > rows or width > columns:
        raise DataError(f"The graph takes {rows}x{columns} pixels, got {height}x{width}. Export it with a larger size.")
    padded = (bands.scale * torch.tensor(bands.mean)).view(1, -1, 1, 1).repeat(len(images), 1, rows, columns)
    padded[..., :height, :width] = images
    return padded


def _write_one(
    form: Form,
    traced: Callable[[bool], torch.export.ExportedProgram],
    cases: list[tuple[Tensor, Tensor]],
    path: Path,
    ways: tuple[bool, ...],
    opset: int | None,
) -> dict[str, Any]:
    path.unlink(missing_ok=True)  # of an earlier bundle here
    size, reason = cases[0][0].shape[-2:], ""
    for free in ways:
        fitting = cases if free else [case for case in cases if case[0].shape[-2:] == size]
        try:
            with quiet():
                program = traced(free)
                atomic.write(path, lambda part, program=program: form.write(program, part, opset))  # type: ignore[misc]
                found = _compared(form.read(path), fitting)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            continue
        if found["agreement"] >= LEAST_AGREEMENT and found["max_abs_diff"] <= MOST_DIFFERENCE * _largest(fitting):
            return {"size": SIZES if free else f"{size[0]}x{size[1]}", **found}
        reason = f"{found['max_abs_diff']:.2g} between logits, {100 * found['agreement']:.2f} % of the pixels agree"
    path.unlink(missing_ok=True)
    return {"reason": f"{form.file} was not made: {reason}"}


def _trace(deployed: Deployed, size: torch.Size, *, free: bool) -> torch.export.ExportedProgram:
    """The graph, without the places in this machine's files that it came from."""
    batch = torch.export.Dim("batch", min=1, max=_LARGEST)
    shape: dict[int, Any] = {0: batch}
    if free:
        for axis, name in ((2, "rows"), (3, "columns")):
            shape[axis] = STEP * torch.export.Dim(name, min=LEAST // STEP, max=_LARGEST // STEP)
        size = torch.Size((3 * STEP, 5 * STEP))  # two different sides, neither of them 1 cell
    program = torch.export.export(
        deployed, (torch.zeros(2, deployed.channels, *size),), dynamic_shapes={"images": shape}, strict=False
    )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _compared(run: Run, cases: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """How a file's logits differ from the network's.

    Raises:
        ValueError: logits that are no numbers, or it takes no batch.
    """
    largest, same, pixels = 0.0, 0, 0
    for images, expected in cases:
        height, width = expected.shape[-2:]
        got = run(images)[..., :height, :width]
        difference = float((got - expected).abs().max())
        if not math.isfinite(difference):
            raise ValueError("its logits, or the network's, are not all finite")
        largest = max(largest, difference)
        same += int((got.argmax(dim=1) == expected.argmax(dim=1)).sum())
        pixels += height * width
    twice = run(cases[0][0].repeat(2, 1, 1, 1))
    if len(twice) != 2:
        raise ValueError("it takes no batch of two")
    return {"max_abs_diff": largest, "agreement": same / pixels, "num_images": len(cases)}


def _largest(cases: list[tuple[Tensor, Tensor]]) -> float:
    return max(1.0, *(float(expected.abs().max()) for _, expected in cases))


def _write_pt2(program: torch.export.ExportedProgram, path: Path, _: int | None) -> None:
    named = path.with_suffix(".pt2")  # torch insists
    torch.export.save(program, named)
    named.replace(path)


def _read_pt2(path: Path) -> Run:
    return torch.export.load(path).module()  # our own file of a moment ago


def _write_onnx(program: torch.export.ExportedProgram, path: Path, opset: int | None) -> None:
    import onnx

    torch.onnx.export(
        program,
        f=path,
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        external_data=False,
        verbose=False,
        opset_version=opset,
    )
    found = max(one.version for one in onnx.load(path).opset_import if not one.domain)
    if opset not in (None, found):
        raise ValueError(f"the exporter gives opset {found}, not {opset}")


def read_onnx(path: Path, *, exact: bool = False) -> Run:
    """An ONNX file in ONNX Runtime, on the CPU.

    Args:
        exact: int8 as the graph defines it; else by this CPU's instructions, which saturate on x86 without VNNI.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Images) -> Tensor:
        return torch.from_numpy(np.asarray(session.run(["logits"], {"images": images.numpy()})[0]))

    return run


FORMS = (Form(PT2, _write_pt2, _read_pt2), Form(ONNX, _write_onnx, read_onnx))


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in here after so much CPU time of this process; no limit outside of the main thread, or where
    the system has no such timer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGPROF"):
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"tracing took more than {seconds:g} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # again each second: the tracer catches some exceptions
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters print, log and warn about their own insides."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
