"""An interrupted trial that is resumed equals the uninterrupted one bit for bit."""

from __future__ import annotations

import pytest
import torch

from trainables import loop
from trainables.errors import CheckpointError
from trainables.loop import train
from trainables.losses.find import find_method

METHODS = {
    "task": {"method": "task"},
    "heteroakd": {"method": "heteroakd", "projector_tap": "stage3", "projector_depth": 2, "projector_width": 8},
    "cirkd": {"method": "cirkd", "projector_tap": "stage3"},
    "afdcd": {"method": "afdcd", "projector_tap": "stage3"},
    "collaborative": {"method": "collaborative", "region_size": 8, "peer_lr": 3e-3},
}
OPTIMIZERS = {
    "sgd": {"optimizer": "sgd", "lr": 0.01, "clip_norm": 1.0},
    "adamw": {"optimizer": "adamw", "lr": 1e-3},
    "sgd as on a GPU": {"optimizer": "sgd", "lr": 0.01, "fused_optimizer": True, "channels_last": True},
    "adamw as on a GPU": {"optimizer": "adamw", "lr": 1e-3, "fused_optimizer": True, "channels_last": True},
}


class Interrupted(Exception):
    pass


def stop_at(step):
    def report(found):
        if found.step == step:
            raise Interrupted

    return report


CASES = [(method, optimizer) for method in ("task", "heteroakd") for optimizer in OPTIMIZERS]


@pytest.fixture(
    scope="module", params=[*CASES, *((name, "sgd") for name in ("cirkd", "afdcd", "collaborative"))], ids="-".join
)
def fields(request):
    method, optimizer = request.param
    return METHODS[method] | OPTIMIZERS[optimizer]


@pytest.fixture(scope="module")
def run(small, dataset, teacher):
    def make(fields, directory, report=lambda _: None):
        config = small(**fields)
        guide = teacher if find_method(config.method).needs_teacher else None
        return train(config, dataset=dataset, teacher=guide, directory=directory, report=report)

    return make


@pytest.fixture(scope="module")
def whole(run, fields, outcome, tmp_path_factory):
    return outcome(run(fields, tmp_path_factory.mktemp("whole")))


def test_a_trial_interrupted_twice_equals_the_uninterrupted_one(run, fields, whole, outcome, tmp_path):
    for step in (2, 4):
        with pytest.raises(Interrupted):
            run(fields, tmp_path, stop_at(step))
        torch.manual_seed(1234 + step)  # another trial took its turn in this process
    assert outcome(run(fields, tmp_path)) == whole


def test_steps_after_the_last_checkpoint_are_done_again(run, fields, whole, outcome, tmp_path, monkeypatch):
    batches = loop.feed

    def killed(*args, **options):
        for number, batch in enumerate(batches(*args, **options)):
            if number == 3:
                raise Interrupted
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(loop, "feed", killed)
        with pytest.raises(Interrupted):
            run(fields, tmp_path)
    assert outcome(run(fields, tmp_path)) == whole


def test_a_torn_newest_checkpoint_costs_steps_and_nothing_else(run, fields, whole, outcome, tmp_path):
    with pytest.raises(Interrupted):
        run(fields, tmp_path, stop_at(4))
    newest = tmp_path / "step-00000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    seen = []
    assert outcome(run(fields, tmp_path, seen.append)) == whole
    assert [report.step for report in seen] == [2, 4, 6]


def test_a_network_of_the_library_goes_on_as_ours_do(run, outcome, tmp_path):
    """With its BatchNorm and its dropout; the others are networks of a few hundred weights."""
    fields = METHODS["heteroakd"] | {"student": "fpn:tu-test_efficientnet", "steps": 3, "eval_every": 2}
    whole = outcome(run(fields, tmp_path / "whole"))
    with pytest.raises(Interrupted):
        run(fields, tmp_path / "trial", stop_at(2))
    assert outcome(run(fields, tmp_path / "trial")) == whole


def test_history_is_reported_again_on_resume(run, tmp_path):
    first, again = [], []

    def stop(found):
        first.append(found)
        stop_at(4)(found)

    with pytest.raises(Interrupted):
        run(METHODS["task"], tmp_path, stop)
    run(METHODS["task"], tmp_path, again.append)
    assert [report.step for report in again] == [2, 4, 6]
    assert again[:2] == first  # with their seconds
    assert again[0].seconds < again[1].seconds < again[2].seconds


def test_a_finished_trial_is_reported_again_and_not_trained(run, tmp_path, monkeypatch):
    first, again = [], []
    done = run(METHODS["heteroakd"], tmp_path, first.append)

    def refuse(*_args, **_options):
        raise AssertionError("a finished trial was trained")

    monkeypatch.setattr(loop, "losses", refuse)
    monkeypatch.setattr(loop, "evaluate", refuse)
    state = run(METHODS["heteroakd"], tmp_path, again.append)
    assert again == first
    assert state.step == 6
    assert all(torch.equal(value, state.weights()[name]) for name, value in done.weights().items())


def test_a_folder_of_another_trial_is_refused(run, tmp_path):
    run(METHODS["task"] | {"steps": 2}, tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another config"):
        run(METHODS["task"] | {"steps": 2, "lr": 0.5}, tmp_path)


def test_a_trial_that_changes_only_what_it_does_not_read_is_resumed(run, tmp_path):
    seen = []
    run(METHODS["task"] | {"steps": 2}, tmp_path)
    run(METHODS["task"] | {"steps": 2, "lambda_hakd": 9.0, "temperature": 4.0}, tmp_path, seen.append)
    assert [report.step for report in seen] == [2]
