"""A student's ONNX graph in int8 and fp16: each scored on all of val, and left out if it loses much."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor

from trainables.bands import Bands
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.loader import Crops, eval_batches, train_batches
from trainables.errors import HeteroakdError, ModelError
from trainables.kept import atomic
from trainables.scoring.evaluate import windowed
from trainables.scoring.metrics import ConfusionMatrix, miou
from trainables.serving.exported import ONNX, Images, Run, pad, quiet, read_onnx

INT8, FP16 = "student.int8.onnx", "student.fp16.onnx"
MAX_LOSS = 1.0  # points of mIoU
CROPS = 64  # to calibrate with
HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
EVERY = "every operator that has an int8 form"
Size = tuple[int, int]
Make = Callable[[Path, Path], None]


def write(
    out: Path,
    config: TrialConfig,
    dataset: SegDataset,
    facts: dict[str, Any],
    *,
    max_loss: float = MAX_LOSS,
    tuned: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Score `student.onnx` on all of val, and write `student.int8.onnx` and `student.fp16.onnx` beside it.

    int8 is static, signed, by channel, in QDQ form, calibrated (minimum and maximum) on 64 training crops: every
    operator or, where that loses too much, the convolutions and matrix products alone. fp16 takes and gives float32,
    and normalises in float32. int8 is scored as the graph defines it, and once more by this CPU's own instructions,
    which saturate on x86 without VNNI. Takes as long as scoring val four to six times on this machine's CPU.

    Args:
        facts: of `student.onnx`, as `exported.write` gave them.
        max_loss: points of mIoU below `student.onnx` from which on a file is left out.
        tuned: a graph like `student.onnx` with weights that were fine-tuned for int8 (see `aware.py`), which is then
            made of the better one of both.

    Returns:
        By file: `size`, `miou` and `iou` by class on val, `points_lost` to `student.onnx`, `mib`, and of int8 what is
        `quantised`, `points_lost_here` and, with `tuned`, the points that each of both loses as `plain_lost` and
        `tuned_lost`; or `reason`, one sentence, and then the file is not there, though its scores may be.
    """
    if "size" not in facts:
        return {name: {"reason": f"{name} was not made: there is no {ONNX}."} for name in (INT8, FP16)}
    size = sides(facts["size"])
    crops = list(calibration(dataset, config, size))

    def scored(run: Run) -> dict[str, Any]:
        iou = score(run, dataset, config, size)
        return {"miou": miou(iou), "iou": dict(zip(dataset.classes, iou, strict=True))}

    try:
        plain = scored(read_onnx(out / ONNX))
    except HeteroakdError as error:
        return {
            ONNX: facts,
            **{name: {"reason": f"{name} was not made: val cannot be scored: {error}"} for name in (INT8, FP16)},
        }
    found: dict[str, dict[str, Any]] = {ONNX: {**facts, **plain, "mib": _mib(out / ONNX)}}
    ways: dict[str, dict[str, Make]] = {
        INT8: {EVERY: _int8(crops, ()), f"{', '.join(HEAVY)} alone": _int8(crops, HEAVY)},
        FP16: {"": half},
    }

    def made(name: str, source: Path, folder: Path) -> dict[str, Any]:
        """In the first way that loses little, else what the best way found."""
        tried = []
        for what, make in ways[name].items():
            told = _try(make, source, folder / name, scored, plain, max_loss)
            tried.append({**told, **({"quantised": what} if what else {})})
            if "reason" not in told:
                tried[-1]["size"] = facts["size"]
                break
        return min(tried, key=_lost)

    found |= {name: made(name, out / ONNX, out) for name in ways}
    if tuned is not None:
        with tempfile.TemporaryDirectory() as folder:
            again = made(INT8, tuned, Path(folder))
            lost = {"plain_lost": found[INT8].get("points_lost"), "tuned_lost": again.get("points_lost")}
            if _lost(again) < _lost(found[INT8]):
                found[INT8] = again
                if "reason" not in again:
                    atomic.write(out / INT8, lambda part: part.write_bytes((Path(folder) / INT8).read_bytes()))
            found[INT8] |= lost
    return found


def _lost(told: dict[str, Any]) -> float:
    lost: float = told.get("points_lost", math.inf)
    return lost


def sides(size: str) -> Size | None:
    """Of a graph's `size`: None for any."""
    height, cross, width = size.partition("x")
    return (int(height), int(width)) if cross else None


def score(run: Run, dataset: SegDataset, config: TrialConfig, size: Size | None) -> list[float | None]:
    """IoU by class of a graph on all of val, whole or in windows as its trial was scored.

    Args:
        run: stored values to logits.
        size: the only one that it takes; None: multiples of 32.

    Raises:
        DataError: an image that cannot be read, or is larger than `size`.
    """
    matrix = ConfusionMatrix(dataset.num_classes, ignore_index=dataset.ignore_index, device=torch.device("cpu"))
    for images, labels in eval_batches(dataset, "val", 1, on_corrupt=config.on_corrupt):
        matrix.add(logits(run, images, config, dataset.bands, size), labels)
    return matrix.iou()


def logits(
    run: Run, images: Real[Tensor, "batch channels H W"], config: TrialConfig, bands: Bands, size: Size | None = None
) -> Float[Tensor, "batch classes H W"]:
    """Of images at their own size.

    Raises:
        DataError: they are larger than `size`.
    """

    def forward(window: Tensor) -> Tensor:
        height, width = window.shape[-2:]
        return run(pad(window, bands, size))[..., :height, :width]

    return windowed(images, config, forward)


def calibration(dataset: SegDataset, config: TrialConfig, size: Size | None) -> Iterator[Images]:
    """The training crops of the first steps, of the graph's size where it takes but one."""
    height, width = size or (config.crop_height, config.crop_width)
    steps = -(-CROPS // config.batch_size)
    changes = {"steps": steps, "augment_on": "cpu", "unlabelled_ratio": 0.0, "accumulate": 1}
    drawn = config.model_copy(update={**changes, "crop_height": height, "crop_width": width})
    for batch in train_batches(dataset, drawn):
        assert isinstance(batch, Crops)
        yield pad(batch.images, dataset.bands, size)


def half(source: Path, target: Path) -> None:
    """fp16 but for input, output and normalisation, whose values may lie beyond 65504."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(source)
    kept = _normalisation(model.graph)
    made = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    for node in made.graph.node:
        if node.name in kept[:1]:  # the converter has it read the images by way of fp16
            node.input[0] = made.graph.input[0].name
    OnnxModel.graph_topological_sort(made.graph)
    onnx.save(made, str(target))


def _normalisation(graph: Any) -> list[str]:
    """Names of the nodes that scale, then shift the input."""
    reads, found = graph.input[0].name, []
    for kind in ("Mul", "Sub"):
        node = next(one for one in graph.node if one.op_type == kind and one.input[0] == reads)
        node.name = node.name or f"normalise_{kind}"
        found.append(node.name)
        reads = node.output[0]
    return found


def _int8(crops: list[Images], kinds: tuple[str, ...]) -> Make:
    def make(source: Path, target: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._left = iter(crops)

            def get_next(self) -> dict[str, np.ndarray] | None:
                batch = next(self._left, None)
                return None if batch is None else {"images": batch.numpy()}

        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=[*kinds] or None,
            )

    return make


def _try(
    make: Make,
    source: Path,
    path: Path,
    scored: Callable[[Run], dict[str, Any]],
    plain: dict[str, Any],
    max_loss: float,
) -> dict[str, Any]:
    name = path.name
    try:
        with quiet():
            atomic.write(path, lambda part: make(source, part))
            _opened_elsewhere(path)
            found = scored(read_onnx(path, exact=name == INT8))
            here = scored(read_onnx(path)) if name == INT8 else found
    except Exception as error:  # converters raise whatever a network makes them stumble over
        path.unlink(missing_ok=True)
        return {"reason": f"{name} was not made: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    lost = 100 * (plain["miou"] - found["miou"])
    told = {**found, "points_lost": lost, "mib": _mib(path)}
    if name == INT8:
        told["points_lost_here"] = 100 * (plain["miou"] - here["miou"])
    if not lost <= max_loss:
        path.unlink()
        told["reason"] = f"{name} is left out: it loses {lost:.2f} points of mIoU on val, more than {max_loss:g}."
    return told


def _opened_elsewhere(path: Path) -> None:
    """ONNX Runtime's optimiser ends its process over some quantised Transformers, so another one opens the file first.

    Raises:
        ModelError: that process has ended so, or could not open it.
    """
    code = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, encoding="utf-8")
    if done.returncode < 0:
        raise ModelError(f"ONNX Runtime ends with signal {-done.returncode} when it opens the file")
    if done.returncode:
        raise ModelError(f"ONNX Runtime cannot open the file: {done.stderr.strip()[-150:]}")


def _mib(path: Path) -> float:
    return round(path.stat().st_size / 2**20, 3)
