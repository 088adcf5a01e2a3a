from __future__ import annotations

import pytest
import torch

from trainables import checkpoint
from trainables.state import Report, TrialState, student_weights


@pytest.fixture
def start(small, teacher):
    def make(**fields):
        config = small(**{"projector_tap": "stage3", **fields})
        guide = None if config.method == "task" else teacher
        device = torch.device("cpu")
        return TrialState.start(config, teacher=guide, num_classes=5, ignore_index=255, device=device)

    return make


def step(state):
    """One optimiser step on a loss of every weight."""
    state.optimizer.zero_grad()
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    sum((parameter**2).sum() for parameter in parameters).backward()
    state.optimizer.step()
    state.step += 1


def test_every_method_of_a_seed_starts_from_the_same_student_and_draws_the_same(start):
    states, draws = [], []
    for method in ("task", "kd", "heteroakd"):
        states.append(start(method=method, seed=3))
        draws.append(torch.rand(4))
    first = states[0].weights()
    assert all(torch.equal(value, other.weights()[name]) for other in states[1:] for name, value in first.items())
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])


def test_the_world_before_a_trial_does_not_change_its_start(start):
    torch.manual_seed(99)
    one = start(method="heteroakd").tensors()
    torch.rand(17)
    other = start(method="heteroakd").tensors()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_seeds_start_from_two_students(start):
    one, other = start(seed=0).weights(), start(seed=1).weights()
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_the_optimiser_trains_student_and_projectors_and_not_the_teacher(start, teacher):
    state = start(method="heteroakd")
    trained = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    expected = [*state.student.parameters(), *state.criterion.parameters()]
    assert trained == {id(p) for p in expected}
    assert not trained & {id(p) for p in teacher.parameters()}


@pytest.mark.parametrize(
    ("fields", "kind", "options"),
    [
        ({"optimizer": "sgd", "momentum": 0.7, "weight_decay": 0.1}, torch.optim.SGD, {"momentum": 0.7}),
        ({"optimizer": "adamw", "weight_decay": 0.1}, torch.optim.AdamW, {}),
    ],
)
def test_the_optimiser_is_the_configs(start, fields, kind, options):
    optimizer = start(lr=0.3, **fields).optimizer
    assert type(optimizer) is kind
    for name, value in (options | {"lr": 0.3, "weight_decay": 0.1}).items():
        assert optimizer.param_groups[0][name] == value


@pytest.mark.parametrize(
    "optimizer", [{"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0}, {"optimizer": "adamw"}]
)
def test_a_state_comes_back_from_disk_bit_for_bit(start, outcome, tmp_path, optimizer):
    state = start(method="heteroakd", **optimizer)
    step(state)
    state.history.append(Report(1, 0.5, [0.5, None], {"loss_task": 1.0}, {"loss_task": 1.0}, 0.1, 2.0))
    name = checkpoint.save(tmp_path, step=1, tensors=state.tensors(), meta=state.meta())
    before = outcome(state)
    other = start(method="heteroakd", seed=8, **optimizer)
    other.restore(*checkpoint.load(tmp_path / name))
    assert outcome(other) == before
    step(state)
    step(other)
    assert outcome(other)["tensors"] == outcome(state)["tensors"]


def test_restoring_sets_the_random_state(start):
    state = start()
    tensors, meta = state.tensors(), state.meta()
    expected = torch.rand(5)
    torch.rand(3)
    state.restore(tensors, meta)
    assert torch.equal(torch.rand(5), expected)


def test_the_students_weights_are_found_among_a_checkpoints_tensors(start):
    state = start(method="heteroakd")
    found = student_weights(state.tensors())
    assert found.keys() == state.weights().keys()
    assert all(torch.equal(value, found[name]) for name, value in state.weights().items())


def test_the_best_report_is_the_one_of_highest_miou(start):
    state = start()
    state.history = [Report(i, miou, [], {}, {}, 0.1, 0.0) for i, miou in enumerate([0.2, 0.6, 0.4])]
    assert state.best.step == 1
