"""What a bundle holds beside weights and card: graphs, the makers' own code, the snippet, the script, all trials."""

from __future__ import annotations

import inspect
import re
import shutil
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
from trainables.serving import exported, samples

CODE, MARK = "code", "provenance.json"
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


def graphs(config: TrialConfig, weights: dict[str, Any], dataset: SegDataset, out: Path) -> dict[str, dict[str, Any]]:
    """ONNX and torch.export of the student; see `exported.write`."""
    on_cpu = config.model_copy(update={"device": "cpu"})
    channels = dataset.bands.channels
    student = samples.network(on_cpu, config.student, weights, dataset.num_classes, channels=channels)
    images = [dataset.read(sample)[0][:, :_SIDE, :_SIDE] for sample in samples.choose(dataset, "val", num=_IMAGES)]
    return exported.write(student, on_cpu, images, out, bands=dataset.bands)


def num_parameters(config: TrialConfig, dataset: SegDataset) -> int:
    """Of the student."""
    student = build(config.student, num_classes=dataset.num_classes, channels=dataset.bands.channels)
    return sum(one.numel() for one in student.parameters())


def without_graphs(out: Path) -> dict[str, dict[str, Any]]:
    """Nobody asked for graphs; those of an earlier bundle here are not of this one."""
    for name in (exported.ONNX, exported.PT2):
        (out / name).unlink(missing_ok=True)
    return {}


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
    """`reproduce.sh` and `predict.py`.

    Args:
        made_by: what `provenance.json` holds.
        onnx: whether the bundle has a `student.onnx`, which needs nothing of ours.
    """
    atomic.write_text(out / "reproduce.sh", reproduce.script(made_by))
    (out / "reproduce.sh").chmod(0o755)
    atomic.write_text(out / "predict.py", predictor(onnx=onnx))


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
