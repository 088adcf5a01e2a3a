"""The soak's own claims: it plans deaths of every kind, repeats a round exactly, and sees what a death has spoilt."""

from __future__ import annotations

import copy
import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

sys.path.insert(0, BENCHMARKS := str(Path(__file__).parents[2] / "benchmarks"))
import soak

sys.path.remove(BENCHMARKS)  # a user's module may have a benchmark's name

matrix = soak.matrix


@pytest.fixture(scope="module")
def rounds():
    return [soak.plan(7, number) for number in range(len(soak.KINDS))]


def test_every_kind_of_death_comes_up(rounds):
    hows = {life.how for round_ in rounds for life in round_.lives}
    assert hows == {"before", "within", "after", "full", matrix.EVERYTHING}
    orders = [order for round_ in rounds for order in round_.orders]
    assert {order["when"] for order in orders} == {"before the checkpoint", "after the checkpoint"}
    assert any(order.get("full") for order in orders)
    assert any(order.get("torn") for order in orders)
    assert sum(bool(round_.nodes) for round_ in rounds) == 2


def test_every_round_is_a_new_sweep_and_a_round_repeats_itself(rounds):
    assert len({round_.study.sampler_seed for round_ in rounds}) == len(rounds)
    assert soak.plan(7, 4) == rounds[4]
    assert soak.plan(8, 4) != rounds[4]


def test_a_worker_dies_at_a_step_that_its_trial_gets_to_and_each_trial_once(rounds):
    for round_ in rounds[:3]:
        expected, _ = matrix.undisturbed(round_.study)
        assert len({order["trial"] for order in round_.orders}) == len(round_.orders) >= 3
        for order in round_.orders:
            role, _, number = order["trial"].removeprefix("trials/").partition("-")
            assert order["step"] in expected[role][int(number)]["curve"]


def trial(state="COMPLETE", value=0.5):
    return {"state": state, "params": {"lambda_kd": 0.1}, "values": [value], "curve": {1: value}}


SWEEP = {"baseline": [trial()], "search": [trial(), trial("PRUNED"), trial("FAIL")]}


@pytest.mark.parametrize(
    ("spoil", "kind", "which"),
    [
        (lambda found: found["search"].pop(), "lost", "search 2"),
        (lambda found: found["search"][1].update(state="RUNNING"), "lost", "search 1"),
        (lambda found: found["baseline"][0].update(state="FAIL"), "lost", "baseline 0"),
        (lambda found: found["search"].append(trial()), "duplicated", "search 3"),
        (lambda found: found["search"][0].update(state="PRUNED"), "falsified", "search 0"),
        (lambda found: found["search"][2].update(state="COMPLETE"), "falsified", "search 2"),
        (lambda found: found["search"][0]["curve"].update({1: 0.50000001}), "falsified", "search 0"),
        (lambda found: found["search"][0].update(params={"lambda_kd": 0.2}), "falsified", "search 0"),
    ],
)
def test_a_trial_lost_duplicated_or_falsified_is_named(spoil, kind, which):
    found = copy.deepcopy(SWEEP)
    assert not any(soak.compare(found, SWEEP).values())
    spoil(found)
    told = soak.compare(found, SWEEP)
    assert [difference["trial"] for difference in told.pop(kind)] == [which]
    assert not any(told.values())


def test_the_figures_are_written_after_every_round_and_a_loss_repeats(monkeypatch, tmp_path, capsys):
    """With rounds that are made up, the second of which has lost a trial."""
    monkeypatch.setattr(soak, "OUT", tmp_path / "soak.json")
    monkeypatch.setattr(soak, "shared_ray", lambda: nullcontext("nowhere"))
    seen = []

    def survive(seed, number, address):
        seen.append(json.loads(soak.OUT.read_text())["rounds"] if number else 0)
        wrong = {"wrong": {"lost": ["search 1"]}} if number == 1 else {}
        counts = {"trials": 12, "drivers killed": number, "lost": int(number == 1)}
        return {"seed": seed, "round": number, "case": "tpe", "storage": "journal", "counts": counts, **wrong}

    monkeypatch.setattr(soak, "survive", survive)
    soak.soak(7, range(3), time.monotonic() + 60, write=True)
    written = json.loads(soak.OUT.read_text())
    assert seen == [0, 1, 2]
    assert written["rounds"] == 3
    assert written["totals"] == {
        "lost": 1,
        "duplicated": 0,
        "falsified": 0,
        "broken": 0,
        "trials": 36,
        "drivers killed": 3,
    }
    assert written["cases"]["tpe, journal"]["trials"] == 36
    assert [(told["seed"], told["round"]) for told in written["wrong"]] == [(7, 1)]
    assert "round    1 tpe     journal  WRONG: 1 drivers killed, 1 lost" in capsys.readouterr().out


@pytest.mark.parametrize(("wrong", "code"), [([], 0), ([{"round": 3}], 1)])
def test_a_loss_is_the_exit_code(monkeypatch, wrong, code):
    monkeypatch.setattr(soak, "soak", lambda *_: {"wrong": wrong, "rounds": 4, "totals": {}})
    monkeypatch.setattr(sys, "argv", ["soak.py", "--minutes", "1"])
    for name in ("OMP_NUM_THREADS", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "1")
    assert soak.main() == code
