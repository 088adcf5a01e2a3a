"""A teacher's weights and statistics stand still while a student learns from it."""

from __future__ import annotations

import pytest
import torch

from trainables.loop import train
from trainables.teachers import freeze, load_teacher


@pytest.fixture(params=["kd", "heteroakd"])
def config(request, small):
    return small(method=request.param, projector_tap="stage3", steps=3, eval_every=1, lr=1e-2)


def test_after_training_the_teacher_is_the_same_bit_for_bit(config, dataset, cache, tmp_path):
    teacher = load_teacher(config, dataset=dataset, cache=cache)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    assert any(name.endswith("running_mean") for name in before)
    train(config, dataset=dataset, teacher=teacher, directory=tmp_path)
    after = teacher.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())


def test_training_on_a_teacher_trains_the_student(config, dataset, cache, tmp_path):
    """Else a teacher that stands still would prove nothing."""
    teacher = load_teacher(config, dataset=dataset, cache=cache)
    state = train(config, dataset=dataset, teacher=teacher, directory=tmp_path)
    moved = [name for name, value in state.weights().items() if not torch.equal(value, teacher.state_dict()[name])]
    assert "head.weight" in moved
    assert any(name.endswith("running_mean") for name in moved)


def test_a_frozen_network_has_no_dropout_no_moving_statistics_and_no_gradients(network):
    model = freeze(network().train())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one, other = model(images), model(images)
    assert torch.equal(one.logits, other.logits)
    assert not one.logits.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
