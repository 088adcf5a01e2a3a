from __future__ import annotations

import pytest
import torch

from trainables.kept import checkpoint
from trainables.losses.find import find_method
from trainables.state import Report, TrialState, peer_weights, student_weights


@pytest.fixture
def start(small, teacher):
    def make(**fields):
        config = small(**{"projector_tap": "stage3", **fields})
        guide = teacher if find_method(config.method).needs_teacher else None
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
    for method in ("task", "kd", "heteroakd", "collaborative"):
        states.append(start(method=method, seed=3))
        draws.append(torch.rand(4))
    first = states[0].weights()
    assert all(torch.equal(value, other.weights()[name]) for other in states[1:] for name, value in first.items())
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], draws[3])


def test_the_world_before_a_trial_does_not_change_its_start(start):
    torch.manual_seed(99)
    one = start(method="heteroakd").tensors()
    torch.rand(17)
    other = start(method="heteroakd").tensors()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_seeds_start_from_two_students(start):
    one, other = start(seed=0).weights(), start(seed=1).weights()
    assert not torch.equal(one["head.weight"], other["head.weight"])


OTHER = "fpn:resnet18"


def test_the_other_student_starts_as_when_it_is_trained_alone(start):
    both = start(method="collaborative", teacher=OTHER, seed=3)
    alone = start(method="task", student=OTHER, seed=3)
    assert all(torch.equal(value, both.peer.state_dict()[name]) for name, value in alone.weights().items())
    assert both.networks == [both.student, both.peer]
    assert alone.networks == [alone.student]


def test_two_students_of_one_kind_start_apart(start):
    state = start(method="collaborative")
    assert not torch.equal(state.student.head.weight, state.peer.head.weight)


def test_each_of_two_students_is_a_group_with_its_own_rate_and_modules(start):
    state = start(method="collaborative", teacher=OTHER, lr=0.1, peer_lr=0.02)
    one, two = state.optimizer.param_groups
    assert (one["initial_lr"], two["initial_lr"]) == (0.1, 0.02)
    sides = state.criterion.student_side, state.criterion.peer_side
    for group, network, side in zip((one, two), state.networks, sides, strict=True):
        expected = [*network.parameters(), *side.parameters()]
        assert [id(p) for p in group["params"]] == [id(p) for p in expected]
    (_, same) = start(method="collaborative", teacher=OTHER, lr=0.1).optimizer.param_groups
    assert same["initial_lr"] == 0.1


def test_the_other_students_weights_are_found_among_a_checkpoints_tensors(start):
    state = start(method="collaborative", teacher=OTHER)
    found = peer_weights(state.tensors())
    assert found.keys() == state.peer.state_dict().keys()
    assert all(torch.equal(value, found[name]) for name, value in state.peer.state_dict().items())
    assert peer_weights(start(method="heteroakd").tensors()) == {}


def test_reports_of_an_earlier_version_are_read(start):
    state = start()
    tensors, meta = state.tensors(), state.meta()
    old = {"step": 1, "miou": 0.5, "iou": [0.5], "terms": {}, "grad_shares": {}, "lr": 0.1, "seconds": 2.0}
    state.restore(tensors, meta | {"history": [old]})
    assert (state.history[0].peer_miou, state.history[0].peer_iou, state.history[0].skipped) == (None, None, [])
    assert (state.history[0].miou_low, state.history[0].miou_high) == (None, None)


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


@pytest.mark.parametrize("method", ["heteroakd", "collaborative"])
@pytest.mark.parametrize(
    "optimizer", [{"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0}, {"optimizer": "adamw"}]
)
def test_a_state_comes_back_from_disk_bit_for_bit(start, outcome, tmp_path, optimizer, method):
    state = start(method=method, **optimizer)
    step(state)
    state.history.append(Report(1, 0.5, [0.5, None], {"loss_task": 1.0}, {"loss_task": 1.0}, 0.1, 2.0))
    name = checkpoint.save(tmp_path, step=1, tensors=state.tensors(), meta=state.meta())
    before = outcome(state)
    other = start(method=method, seed=8, **optimizer)
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
