"""A trial is a function of its config: what ran before it in the process does not matter."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.loop import train
from trainables.teachers import load_teacher

FRESH = """
import hashlib, json
from trainables.data.catalogue import open_dataset
from trainables.loop import train
from trainables.teachers import load_teacher

dataset = open_dataset(config.data)
teacher = load_teacher(config, dataset=dataset, cache=cache)
state = train(config, dataset=dataset, teacher=teacher, directory=directory)
sums = {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in state.tensors().items()}
found = [sums, [report.miou for report in state.history], [report.terms for report in state.history]]
(directory / "found.json").write_text(json.dumps(found))
"""


def run(config: TrialConfig, cache: Path, directory: Path):
    dataset = open_dataset(config.data)
    teacher = None if config.method == "task" else load_teacher(config, dataset=dataset, cache=cache)
    state = train(config, dataset=dataset, teacher=teacher, directory=directory)
    sums = {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in state.tensors().items()}
    return [sums, [report.miou for report in state.history], [report.terms for report in state.history]]


@pytest.fixture
def trial(small):
    return small(method="heteroakd", projector_tap="stage3", steps=4, seed=2)


@pytest.mark.xdist_group("fresh")
def test_a_reused_worker_gives_what_a_fresh_process_gives(trial, small, cache, fresh, tmp_path):
    run(small(method="kd", optimizer="sgd", seed=9, steps=3, lr=0.1), cache, tmp_path / "before")
    torch.set_num_threads(2)
    torch.rand(5)
    here = run(trial, cache, tmp_path / "here")
    other = fresh(FRESH, config=trial, cache=cache, directory=tmp_path / "there")
    other.join(240)
    assert other.exitcode == 0
    assert json.loads((tmp_path / "there/found.json").read_text()) == here


def test_another_seed_is_another_trial(trial, small, cache, tmp_path):
    other = trial.model_copy(update={"seed": 3})
    assert run(trial, cache, tmp_path / "one")[0] != run(other, cache, tmp_path / "other")[0]
