from __future__ import annotations

import time

import pytest
import torch

from trainables.errors import NonFiniteLoss
from trainables.scoring.meter import Clock, Meter


@pytest.fixture
def meter():
    return Meter(torch.device("cpu"))


def terms(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_means_are_over_the_steps_since_the_last_call(meter):
    for value in (1.0, 2.0, 6.0):
        meter.add(terms(loss_task=value, loss_kd=0.5))
    assert meter.means() == {"loss_task": 3.0, "loss_kd": 0.5}
    meter.add(terms(loss_task=4.0, loss_kd=2.0))
    assert meter.means() == {"loss_task": 4.0, "loss_kd": 2.0}


def test_a_meter_keeps_no_graph(meter):
    leaf = torch.tensor(2.0, requires_grad=True)
    meter.add({"loss_task": leaf * 3})
    assert meter.means() == {"loss_task": 6.0}
    assert not any(total.requires_grad for total in meter._sums.values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_loss_is_told_with_its_term_and_step(meter, bad):
    meter.add(terms(loss_task=1.0, loss_kd=bad))
    meter.add(terms(loss_task=1.0, loss_kd=1.0))
    with pytest.raises(NonFiniteLoss, match=rf"^loss_kd is {bad} at step 17\. Lower lr"):
        meter.check(17)


def test_several_non_finite_terms_are_all_named(meter):
    meter.add(terms(loss_task=float("nan"), loss_kd=1.0, loss_hakd=float("inf")))
    with pytest.raises(NonFiniteLoss, match=r"^loss_task is nan, loss_hakd is inf at step 3\."):
        meter.check(3)


def test_checking_finite_losses_changes_no_mean(meter):
    meter.add(terms(loss_task=1.0))
    meter.check(1)
    meter.add(terms(loss_task=2.0))
    meter.check(2)
    assert meter.means() == {"loss_task": 1.5}


def test_the_clock_stands_still_between_pause_and_resume(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock(7.0)
    now[0] += 3
    assert clock.pause() == 10.0
    now[0] += 50
    clock.resume()
    now[0] += 2
    assert clock.pause() == 12.0
