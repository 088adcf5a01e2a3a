"""What a bundle holds beside weights and card: graphs, the makers' own code, the snippet, the script, all trials."""

from __future__ import annotations

import inspect
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.bundle import reproduce
from trainables import own
from trainables.config import TrialConfig
from trainables.data import deep, headers
from trainables.data.dataset import SegDataset
from trainables.data.own import Own
from trainables.errors import ConfigError
from trainables.kept import atomic
from trainables.models.build import build, is_own
from trainables.models.segmodel import SegModel
from trainables.serving import dressed, exported, quantised, samples

CODE, MARK, BENCH = "code", "provenance.json", "bench.py"
_LEAST_OPSET = 13
_IMAGES, _SIDE = 3, 512  # on which graphs are tried, and the most of each side that is taken


def check(out: Path) -> None:
    """Before the minutes that a bundle takes. MARK is its first file, so that an unfinished one is replaced, too.

    Raises:
        ConfigError: it would replace files that are no bundle's, or cannot be written.
    """
    atomic.check_folder(out)
    if out.is_dir() and not (out / MARK).is_file() and any(out.iterdir()):
        raise ConfigError(
            f"{out} holds files that are no bundle of ours, which export would replace. Give an empty folder."
        )


@dataclass(frozen=True)
class Graphs:
    """What graphs a bundle has.

    Attributes:
        size: height and width, where they take one size alone.
        opset: of ONNX; None: the exporter's own.
        ids: the ONNX graphs give class ids instead of logits.
        nhwc: they take [batch, H, W, channels], in uint8 where images have 8 bits.
        quantize: also int8 and fp16, each scored on all of val, as `student.onnx` is then.
        max_loss: points of mIoU from which on one of these is left out.
        qat_steps: of fine-tuning for int8, see `aware.fine_tune`; 0: none.
    """

    size: tuple[int, int] | None = None
    opset: int | None = None
    ids: bool = False
    nhwc: bool = False
    quantize: bool = True
    max_loss: float = quantised.MAX_LOSS
    qat_steps: int = 0

    def check(self, config: TrialConfig | None = None) -> None:
        """Args:
            config: of the trial, once it is known.

        Raises:
            ConfigError: a size that no network takes, no such opset, fine-tuning for nothing, or class ids where
                windows are averaged.
        """
        if self.size and (min(self.size) < exported.LEAST or any(side % exported.STEP for side in self.size)):
            got = "x".join(map(str, self.size))
            raise ConfigError(f"size must be height and width, {exported.SIZES}, got {got}.")
        if self.opset is not None and self.opset < _LEAST_OPSET:
            raise ConfigError(f"opset must be >= {_LEAST_OPSET}, got {self.opset}. int8 by channel needs it.")
        if not self.max_loss >= 0:
            raise ConfigError(f"max_loss is in points of mIoU and must be >= 0, got {self.max_loss}.")
        if self.qat_steps < 0:
            raise ConfigError(f"qat_steps must be >= 0, got {self.qat_steps}.")
        if self.qat_steps and not self.quantize:
            raise ConfigError("qat_steps fine-tunes for int8, which is not asked for. Leave one of the two out.")
        if self.ids and config is not None and config.eval_mode == "slide":
            raise ConfigError(
                "A graph of class ids cannot be averaged over windows, as this trial (eval_mode slide) is scored. "
                "Leave --ids out."
            )


def graphs(
    config: TrialConfig,
    weights: dict[str, Any],
    dataset: SegDataset,
    out: Path,
    asked: Graphs,
    *,
    tuned: dict[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """ONNX and torch.export of the student; see `exported.write`, `quantised.write` and `dressed.dress`.

    Args:
        tuned: weights that were fine-tuned for int8.
    """
    on_cpu, student, images = to_try(config, weights, dataset)
    bands = dataset.bands
    how: dict[str, Any] = {"bands": bands, "size": asked.size, "opset": asked.opset}
    found = exported.write(student, on_cpu, images, out, **how)
    plain = found[exported.ONNX]
    if asked.quantize:
        with tempfile.TemporaryDirectory() as folder:
            other, reason = None, ""
            if tuned is not None:
                student.load_state_dict(tuned)
                made = exported.write(student, on_cpu, images, Path(folder), only=exported.ONNX, **how)
                again = made[exported.ONNX]
                if "size" in again and again["size"] == plain.get("size"):
                    other = Path(folder) / exported.ONNX
                else:
                    reason = again.get("reason", "its graph takes other sizes")
            found |= quantised.write(out, on_cpu, dataset, plain, max_loss=asked.max_loss, tuned=other)
            if reason:
                found[quantised.INT8]["tuned_reason"] = reason
    if asked.ids or asked.nhwc:
        for name, facts in found.items():
            if name.endswith(".onnx") and "size" in facts:
                dressed.dress(out / name, ids=asked.ids, nhwc=asked.nhwc, bands=bands)
    return found


def to_try(
    config: TrialConfig, weights: dict[str, Any], dataset: SegDataset
) -> tuple[TrialConfig, SegModel, list[Any]]:
    """The trial on the CPU, its student, and images of val on which what is written is held against it."""
    on_cpu = config.model_copy(update={"device": "cpu"})
    channels = dataset.bands.channels
    student = samples.network(on_cpu, config.student, weights, dataset.num_classes, channels=channels)
    images = [dataset.read(sample)[0][:, :_SIDE, :_SIDE] for sample in samples.choose(dataset, "val", num=_IMAGES)]
    return on_cpu, student, images


def num_parameters(config: TrialConfig, dataset: SegDataset) -> int:
    """Of the student."""
    student = build(config.student, num_classes=dataset.num_classes, channels=dataset.bands.channels)
    return sum(one.numel() for one in student.parameters())


def without_graphs(out: Path) -> None:
    """Graphs of an earlier bundle here are not of this one."""
    for name in (exported.ONNX, exported.PT2, quantised.INT8, quantised.FP16):
        (out / name).unlink(missing_ok=True)


def own_code(config: TrialConfig) -> list[str]:
    """Each `package.module:name` that the config reads."""
    models = [config.student, *([config.teacher] if config.reads("teacher") else [])]
    data = Own.parse(config.data)
    named = [name for name in (config.method,) if own.is_reference(name)]
    named += [name for name in models if is_own(name)]
    return list(dict.fromkeys([*named, *([data.reference] if data else [])]))


def copy_code(references: list[str], out: Path) -> None:
    """The Python files of the packages that references start with, to be found with HETEROAKD_PATH=code.

    Raises:
        HeteroakdError: a reference to nothing that is here.
    """
    shutil.rmtree(out / CODE, ignore_errors=True)  # of an earlier bundle here
    for place in dict.fromkeys(own.source(reference) for reference in references):
        root = place.parent
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            target = out / CODE / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def scripts(made_by: dict[str, Any], out: Path, *, onnx: bool) -> None:
    """`reproduce.sh`, `predict.py` and, beside graphs, `bench.py`.

    Args:
        made_by: what `provenance.json` holds.
        onnx: whether the bundle has a `student.onnx`, which needs nothing of ours.
    """
    atomic.write_text(out / "reproduce.sh", reproduce.script(made_by))
    (out / "reproduce.sh").chmod(0o755)
    atomic.write_text(out / "predict.py", predictor(onnx=onnx))
    if onnx:
        shutil.copyfile(Path(__file__).with_name("snippet_bench.py"), out / BENCH)
    else:
        (out / BENCH).unlink(missing_ok=True)  # of an earlier bundle here


def predictor(*, onnx: bool) -> str:
    """The text of `predict.py`. The one for ONNX holds the package's own readers of images, as they stand there."""
    snippet = Path(__file__).with_name("snippet_onnx.py" if onnx else "snippet_torch.py").read_text(encoding="utf-8")
    if not onnx:
        return snippet
    for module in (deep, headers):
        source = inspect.getsource(module).partition("from __future__ import annotations\n\n")[2]
        start, *rest = re.split(rf"(?m)^from {re.escape(module.__name__)} import .*\n", snippet)
        snippet = f"{start}{source}{''.join(rest)}"
    return snippet
