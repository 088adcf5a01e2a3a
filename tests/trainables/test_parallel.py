"""A trial of several processes: the same training as with one, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image

from trainables.data.catalogue import open_dataset
from trainables.data.order import own_part, places
from trainables.errors import ConfigError, DataError, RankLost
from trainables.kept import checkpoint
from trainables.ranks import ALONE, Ranks
from trainables.run import run_trial
from trainables.state import Report

MINE = """
import os
from pathlib import Path
import torch
from torch import distributed, nn
from trainables.contracts import tiny
from trainables.models.build import build
from trainables.models.segmodel import SegModel

def still(network: SegModel) -> SegModel:
    for module in network.modules():
        if "drop" in type(module).__name__.lower():
            for name in ("p", "drop_prob"):
                if hasattr(module, name):
                    setattr(module, name, 0.0)
    return network

def cnn(num_classes: int) -> SegModel:
    return still(tiny.learner(num_classes))

def transformer(num_classes: int) -> SegModel:
    return still(build("segformer:mit_b0", num_classes=num_classes))

def known(num_classes: int) -> SegModel:
    if distributed.is_initialized():
        place = Path(os.environ["HETEROAKD_PATH"], f"pid-{distributed.get_rank()}")
        place.with_suffix(".part").write_text(str(os.getpid()))
        place.with_suffix(".part").rename(place)
    return tiny.learner(num_classes)
"""
SGD = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "batch_size": 4}


@pytest.fixture(autouse=True)
def _warm_and_with_code_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", os.environ.get("WARM_PYTHON", sys.executable))
    (tmp_path / "mine_ranks.py").write_text(MINE, encoding="utf-8")
    monkeypatch.setenv("HETEROAKD_PATH", str(tmp_path))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Training images of which the first half has few labelled pixels, and validation images of three sizes."""
    root = tmp_path_factory.mktemp("uneven")
    rng = np.random.default_rng(0)
    for split, sizes in {"train": [(64, 64)] * 8, "val": [(64, 64), (48, 64), (33, 50)]}.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number, size in enumerate(sizes):
            ids = rng.integers(0, 4, size, dtype=np.uint8)
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(
                root / f"images/{split}/{number}.png"
            )
            if split == "train" and number % 2:
                ids[4:] = 255
            Image.fromarray(ids).save(root / f"labels/{split}/{number}.png")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "uneven", "classes": list("abcde")}), encoding="utf-8")
    return root


@pytest.fixture
def trained(small, tmp_path):
    """Trains and gives back the reports and the last checkpoint's tensors."""

    def train(name, stop_at=None, **fields):
        config = small(**fields)
        reports = []

        def report(found):
            reports.append(found)
            if found.step == stop_at:
                raise KeyboardInterrupt

        try:
            run_trial(
                config, dataset=open_dataset(config.data), directory=tmp_path / name, report=report,
                cache=tmp_path / "cache" / name,
            )  # fmt: skip
        except KeyboardInterrupt:
            assert stop_at is not None
        found = checkpoint.latest(tmp_path / name, digest=config.digest())
        assert found is not None
        return reports, found[0]

    return train


def alike(one: tuple[list[Report], dict[str, torch.Tensor]], other: tuple[list[Report], dict[str, torch.Tensor]]):
    """To 1e-5: weights, BatchNorm statistics, terms and each term's share of the gradient."""
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        if not name.startswith("rng."):
            torch.testing.assert_close(
                value, other[1][name], atol=1e-5, rtol=1e-5, msg=lambda text, name=name: name + text
            )
    for first, second in zip(one[0], other[0], strict=True):
        assert first.terms == pytest.approx(second.terms, abs=1e-5, rel=1e-5)
        assert first.grad_shares == pytest.approx(second.grad_shares, abs=1e-4)
        assert first.iou == pytest.approx(second.iou, abs=2e-3)  # a pixel of 8,600 may be a tie


TRIALS = {
    "BatchNorm, few labels, taught by what it trains first": {
        "method": "heteroakd", "student": "mine_ranks:cnn", "teacher": "mine_ranks:cnn",
        "clip_norm": 1.0, "ema_decay": 0.5, **SGD, "teacher_recipe": {**SGD, "steps": 2, "crop_height": 64,
        "crop_width": 64},
    },
    "Transformer": {"student": "mine_ranks:transformer", **SGD, "lr": 0.01, "steps": 3, "eval_every": 3},
    "pseudo-labels of the average": {
        "student": "mine_ranks:cnn", **SGD, "ema_decay": 0.9, "pseudo_weight": 0.5, "pseudo_threshold": 0.2,
    },
    "parts": {"student": "mine_ranks:cnn", **SGD, "batch_size": 8, "accumulate": 2, "views": 2},
}  # fmt: skip


@pytest.mark.parametrize("fields", TRIALS.values(), ids=TRIALS)
def test_two_processes_equal_one_with_twice_the_batch(fields, trained, uneven):
    fields = {"data": str(uneven), **fields}
    alike(trained("one", **fields), trained("two", **fields, processes=2))


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_equal_one(trained, uneven):
    """NCCL, and PyTorch's own BatchNorm across GPUs; to the tolerance of kernels that differ by the batch."""
    fields = {"data": str(uneven), **TRIALS["parts"], "device": "cuda", "amp": False, "steps": 4}
    (one, before), (two, after) = trained("one", **fields), trained("two", **fields, processes=2)
    assert one[0].terms == pytest.approx(two[0].terms, rel=1e-3)
    for name, value in before.items():
        if not name.startswith("rng."):
            torch.testing.assert_close(value, after[name], atol=1e-3, rtol=1e-3)


def test_resumed_ranks_equal_uninterrupted_ones_bit_for_bit(trained, tmp_path):
    """With dropout, which each rank draws by itself, and memories, of which the first rank's count."""
    fields = {"method": "cirkd", "processes": 2, **SGD, "teacher": "mine_ranks:cnn"}
    _, whole = trained("whole", **fields)
    first, _ = trained("halved", stop_at=2, **fields)
    again, resumed = trained("halved", **fields)
    assert [report.step for report in first] == [2]
    assert [report.step for report in again] == [2, 4, 6]
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_rank_that_is_killed_ends_the_trial_in_a_sentence(small, tmp_path, trained):
    began = []

    def kill(report):
        os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGKILL)
        began.append(time.monotonic())

    config = small(student="mine_ranks:known", steps=100_000, processes=2)
    with pytest.raises(RankLost, match=r"^Process 2 of the 2 that train this trial ended without a word, by SIGKILL"):
        run_trial(config, dataset=open_dataset(config.data), directory=tmp_path / "trial", report=kill)
    assert time.monotonic() - began[0] < 10
    wait_until_gone(tmp_path)


def test_what_one_rank_cannot_read_is_the_trials_sentence(small, tmp_path, uneven):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in uneven.rglob("*.*"):
        place = damaged / path.relative_to(uneven)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes()[:60] if path.match("images/train/3.png") else path.read_bytes())
    config = small(data=str(damaged), processes=2, steps=100)
    with pytest.raises(DataError, match=r"3\.png"):
        run_trial(config, dataset=open_dataset(config.data), directory=tmp_path / "trial", report=lambda _: None)


DRIVER = """
import os, sys
from pathlib import Path
from trainables.config import TrialConfig
from trainables.parallel import train_together
sys.executable = {python!r}
Path({folder!r}, "driver").write_text(str(os.getpid()))
train_together(TrialConfig.parse({config!r}), directory=Path({folder!r}, "trial"))
"""


def test_no_rank_outlives_the_trials_own_process(small, tmp_path):
    """None has a report to make, whose pipe would be broken."""
    fields = {"student": "mine_ranks:known", "steps": 100_000, "eval_every": 100_000, "processes": 2}
    code = DRIVER.format(python=sys.executable, folder=str(tmp_path), config=small(**fields).model_dump(mode="json"))
    driver = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: all((tmp_path / f"pid-{number}").exists() for number in range(2)))
        assert all(alive(tmp_path))
        os.kill(int((tmp_path / "driver").read_text()), signal.SIGKILL)
        wait_until_gone(tmp_path)
    finally:
        driver.kill()
        driver.wait()


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(folder: Path) -> list[bool]:
    def lives(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [lives(int((folder / f"pid-{number}").read_text())) for number in range(2)]


def wait_until_gone(folder: Path):
    wait_for(lambda: not any(alive(folder)), seconds=10)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"processes": 3, "batch_size": 8}, r"processes must divide batch_size / accumulate.*\(8 / 1\), got 3"),
        ({"processes": 4, "batch_size": 8, "accumulate": 4}, r"\(8 / 4\), got 4"),
        ({"processes": 4, "batch_size": 8, "method": "kd"}, r"the teacher's too \(2 / 1\), got 4"),
        ({"processes": 2, "compile": "default"}, r"compile is 'default', but with 2 processes must be off"),
    ],
)
def test_processes_that_cannot_share_a_batch_are_refused(fields, sentence, small):
    with pytest.raises(ConfigError, match=sentence):
        small(**fields)


def test_more_processes_than_gpus_are_refused_before_one_starts(small, tmp_path, monkeypatch):
    from trainables import parallel

    monkeypatch.setattr(parallel, "pick_device", lambda config: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with pytest.raises(ConfigError, match=r"processes is 2, a GPU each, but of GPUs there are 1 here"):
        parallel.train_together(small(processes=2), directory=tmp_path)


def test_digests_do_not_know_of_processes(small):
    assert small(processes=2).digest() == small().digest()
    assert small(processes=2).teacher_config().processes == 2


def test_ranks_draw_apart_and_the_others_draws_follow_from_seed_and_step():
    def drawn(number, seed, step):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(99)
            Ranks(number, 3).seed(seed, step)
            return torch.rand(4).tolist()

    found = [drawn(*of) for of in [(0, 0, 5), (1, 0, 5), (2, 0, 5), (1, 1, 5), (1, 0, 6)]]
    assert len({*map(tuple, found)}) == 5
    assert drawn(1, 0, 5) == found[1]
    assert drawn(0, 0, 6) == found[0]  # the first goes on from where it stands


def test_the_ranks_parts_of_a_step_are_the_parts_of_one_process():
    """By hand: step 3 of 8 images, in 2 parts, of 2 ranks; of two images without a label each rank has one."""
    whole = places(3, batch_size=8, num_unlabelled=0)
    found = [[place.position for place in own_part(whole, parts=2, ranks=Ranks(number, 2))] for number in range(2)]
    assert found == [[24, 25, 28, 29], [26, 27, 30, 31]]
    assert own_part(whole, parts=2, ranks=ALONE) == whole
    mixed = places(3, batch_size=8, num_unlabelled=2)
    for number in range(2):
        mine = own_part(mixed, parts=1, ranks=Ranks(number, 2))
        assert [place.labelled for place in mine].count(False) == 1
