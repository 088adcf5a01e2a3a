"""Shapes written in signatures are checked under test, and free of cost outside."""

import functools
import importlib
import itertools
import re
import runpy
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jaxtyping import install_import_hook
from PIL import Image

HOOKED = (
    "trainables.losses",
    "trainables.models",
    "trainables.data",
    "trainables.scoring.interval",
    "trainables.scoring.metrics",
    "trainables.loop",
    "trainables.scoring.evaluate",
    "trainables.state",
    "trainables.kept.checkpoint",
    "trainables.guidance.cache",
    "trainables.guidance.entries",
    "trainables.guidance.guide",
)


class Beneath:
    """Before the first hooked module, import the libraries that such modules need.

    jaxtyping's loader looks for the compiled form of all that is imported beneath a hooked module in files of its own
    naming, so PyTorch, SciPy and timm would be compiled anew in each process of the tests: 7 s.
    """

    done = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if not self.done and name in HOOKED:
            self.done = True
            for library in ("trainables.torchvision_cure", "segmentation_models_pytorch", "timm"):
                importlib.import_module(library)


OURS = ("trainables", "explorer", "search_spaces", "dashboards")
FORGOTTEN = [sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in OURS]
"""Ours that a warm process has, unchecked; kept, since one holds torchvision's operators (tests/warm)."""

install_import_hook(HOOKED, "beartype.beartype")
sys.meta_path.insert(0, Beneath())


LONGEST_FIRST = ("faults", "tests/explorer/launch/test_cluster.py", "ray", "tests/test_tutorial.py")
LONGEST_FIRST += ("tests/docs/test_start.py", "tests/docs/test_from_coco.py", "notebook", "fresh")
"""Groups with which a run begins, so that none is left for its end; all others are files, in order."""


@functools.cache
def group_of(path: str) -> str:
    """What is run by one process: files of one mark `xdist_group`, those that use a Ray of the session, else a file.

    (pytest-xdist 3.8 reads the mark, but under pytest 9.2 it cannot pass on what it read.)
    """
    text = Path(__file__).parents[1].joinpath(path).read_text(encoding="utf-8")
    named = re.search(r'xdist_group\("(\w+)"\)', text)
    return named[1] if named else "ray" if "ray_local" in text else path


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what runs behind it; tests press Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # else pytest-xdist's first process has done it
        runpy.run_path(str(Path(__file__).with_name("warm") / "start.py"))["start"](config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {group: place for place, group in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(group_of(item.nodeid.split("::")[0]), len(rank)))
    _skip_without_cuda(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.split("::")[0])

    return Groups(config, log)


def _skip_without_cuda(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if not marked:
        return
    import torch  # not above: seconds, which other tests need not wait for

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Why tests were skipped, in one line."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        said = ", ".join(f"{count} ({reason})" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped: {said}")


@pytest.fixture
def no_waiting() -> Callable[[], AbstractContextManager[None]]:
    """In this context PyTorch refuses what makes the host wait for a CUDA device."""
    import torch

    @contextmanager
    def watched() -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
            torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return watched


class _Stopped(BaseException):
    """What ends a trial that Tune has stopped; no trainable may catch it."""


@pytest.fixture(scope="session")
def without_ray():
    """Sweeps and confirmations in this process, one trial at a time: Ray's part is played, all else is the product's.

    A worker costs seconds of imports, a trial of these tests a tenth of one. What is claimed of Ray itself is tested
    on a real one.
    """

    def fit(bridge, trainable, directory, resources, slots, time_budget_s=None, callbacks=()):
        for number in itertools.count():
            host = f"host{number}"
            params = bridge.suggest(host)
            if not isinstance(params, dict):
                return
            trial = SimpleNamespace(trial_id=host, config=params)

            def report(result, host=host, trial=trial):
                for callback in callbacks:
                    callback.on_trial_result(0, [trial], trial, result)
                if bridge.report(host, result) == "STOP" and "member" not in result:  # a group hears it by its mailbox
                    raise _Stopped

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("ray.tune.report", report)
                patch.setattr("ray.tune.get_context", lambda host=host: SimpleNamespace(get_trial_id=lambda: host))
                with suppress(_Stopped):
                    trainable(params)
            bridge.on_trial_complete(host)
            for callback in callbacks:
                callback.on_step_end(0, [trial])

    class Letters:
        def __init__(self):
            self.sent = {}

        def put(self, host, number, answer):
            self.sent[host, number] = answer

        def take(self, host, number):
            return self.sent.pop((host, number))

    def results(function, calls):
        for name, arguments in calls:
            yield name, function(**arguments)

    @contextmanager
    def played():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("explorer.launch.sweep.fit", fit)
            patch.setattr("explorer.launch.sweep.Mailbox", Letters)
            patch.setattr("ray.is_initialized", lambda: True)
            patch.setattr("ray.cluster_resources", lambda: {"CPU": 1.0})
            patch.setattr("ray.tune.with_parameters", functools.partial)
            patch.setattr("explorer.launch.tasks.results", lambda function, calls, **_: results(function, calls))
            yield

    return played


STORED_IDS = {  # that may stand in the masks of each layout
    "cityscapes": [*range(34), 255],
    "voc": [*range(21), 255],
    "ade20k": [*range(151)],
    "camvid": [*range(12)],
}


@pytest.fixture(scope="session")
def layout() -> Callable[[str, Path], Path]:
    """Write a small tree in a layout of the field: 4 training and 2 validation images of 96x64, blocks of random ids.

    Masks are stored as the field stores them: VOC's as palette PNGs, the others grey; photos of VOC and ADE20K as JPEG.
    """

    def paths(name: str, split: str, number: int) -> tuple[str, str]:
        if name == "cityscapes":
            place = f"{split}/city{number % 2}/city{number % 2}_{number:06}_000019"
            return f"leftImg8bit/{place}_leftImg8bit.png", f"gtFine/{place}_gtFine_labelIds.png"
        if name == "voc":
            stem = f"2007_{split}{number}"
            return f"JPEGImages/{stem}.jpg", f"SegmentationClass/{stem}.png"
        if name == "ade20k":
            place = {"train": "training/ADE_train_", "val": "validation/ADE_val_"}[split] + f"{number:08}"
            return f"images/{place}.jpg", f"annotations/{place}.png"
        return f"{split}/{number:04}.png", f"{split}annot/{number:04}.png"

    def build(name: str, root: Path) -> Path:
        rng = np.random.default_rng(0)
        for split, count in (("train", 4), ("val", 2)):
            for number in range(count):
                image, mask = (root / path for path in paths(name, split, number))
                ids = rng.choice(STORED_IDS[name], (4, 6)).astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
                drawn = Image.fromarray(ids)
                if name == "voc":
                    drawn.putpalette([byte for i in range(256) for byte in (i, 255 - i, 38)])
                for path, picture in (
                    (image, Image.fromarray(rng.integers(0, 256, (*ids.shape, 3), dtype=np.uint8))),
                    (mask, drawn),
                ):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    picture.save(path)
            if name == "voc":
                listed = root / "ImageSets" / "Segmentation" / f"{split}.txt"
                listed.parent.mkdir(parents=True, exist_ok=True)
                listed.write_text("".join(f"2007_{split}{number}\n" for number in range(count)))
        return root

    return build
