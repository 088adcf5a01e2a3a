"""Worlds that are drawn from recorded curves: what the surface keeps of them, on tables whose truth is known."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = ("surface", "worlds", "record")
KINDS = {
    "method": {"choices": ["task", "kd"]},
    "lr": {"low": 1e-3, "high": 1e-1, "log": True},
    "weight": {"low": 1.0, "high": 100.0, "log": True, "methods": ["kd"]},
}
LUCK = 0.01


@pytest.fixture(scope="module")
def modules():
    """The benchmark's modules; they stand beside each other on the path, as when one is run."""
    sys.path.insert(0, str(BENCHMARKS))
    before = set(sys.modules)
    yield {name: importlib.import_module(name) for name in MODULES}
    sys.path.remove(str(BENCHMARKS))
    for name in set(MODULES) - before:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def surface(modules):
    return modules["surface"]


def truth(params):
    """Best at lr 0.01; kd is better, most at a weight of 10."""
    lr = np.log10(params["lr"] / 1e-2)
    kd = 0.06 - 0.04 * np.log10(params["weight"] / 10) ** 2 if "weight" in params else 0.0
    return 0.4 - 0.1 * lr**2 + kd


def table(luck=LUCK, seeds=4, configs=24):
    """Three reports a trial: half of the final, the final less 0.02, the final; luck is the same at each."""
    rng, rows = np.random.default_rng(0), []
    for place in rng.uniform(size=(configs, 3)):
        params = {"method": "kd" if place[0] < 0.5 else "task", "lr": float(1e-3 * 100 ** place[1])}
        params |= {"weight": float(100 ** place[2])} if params["method"] == "kd" else {}
        final = truth(params)
        drawn = luck * rng.standard_normal(seeds)
        rows.append({"params": params, "miou": [[final / 2 + z, final - 0.02 + z, final + z] for z in drawn]})
    return {"space": KINDS, "seeds": [*range(seeds)], "reports": 3, "configs": rows}


@pytest.fixture(scope="module")
def known(surface):
    return surface.learnt(table())


def columns(params):
    return {name: np.array([one.get(name, np.nan) for one in params]) for name in KINDS}


def test_what_a_method_does_not_read_is_no_difference(surface):
    one, other, kd, far = surface.features(
        KINDS,
        {
            "method": np.array(["task", "task", "kd", "kd"]),
            "lr": np.array([1e-2] * 4),
            "weight": np.array([1.0, np.nan, 10.0, 100.0]),
        },
    )
    assert (one == other).all()
    assert ((one - kd) ** 2).sum() == pytest.approx(1)  # another method, a weight in the middle
    assert far - kd == pytest.approx([0, 0, 0, 0.5])


def test_surfaces_hold_the_truth_between_what_was_recorded(known):
    rng = np.random.default_rng(1)
    params = [
        {"method": "kd", "lr": 1e-3 * 100 ** rng.uniform(), "weight": 100 ** rng.uniform()} for _ in range(60)
    ] + [{"method": "task", "lr": 1e-3 * 100 ** rng.uniform()} for _ in range(60)]
    true = np.array([truth(one) for one in params])
    drawn = np.array([known.draw(number)(columns(params)) for number in range(40)])
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    assert np.mean((low <= true) & (true <= high)) > 0.7
    assert np.sqrt(np.mean((drawn.mean(axis=0) - true) ** 2)) < 0.4 * true.std()


def test_draws_differ_where_nothing_was_recorded_more_than_where_it_was(known):
    at = np.array([known.draw(number).at(known.points) for number in range(40)])
    assert at.std(axis=0).mean() < 1.5 * LUCK / np.sqrt(4)
    assert not np.allclose(at[0], at[1])
    far = np.array([known.draw(number).at(known.points + 30) for number in range(40)])
    assert far.std(axis=0).mean() > 5 * at.std(axis=0).mean()


def test_luck_and_its_correlation_between_reports_are_the_seeds(known):
    covariance = known.luck @ known.luck.T
    assert np.sqrt(covariance[-1, -1]) == pytest.approx(LUCK, rel=0.25)
    assert covariance / covariance[-1, -1] == pytest.approx(np.ones((3, 3)), abs=1e-6)
    assert known.noise == pytest.approx(LUCK**2 / 4, rel=0.5)


def test_early_reports_are_told_from_the_final(known):
    lr = 0.5  # of its range
    assert known.rise @ [1, 0.4, lr] == pytest.approx([0.2, 0.38, 0.4], abs=2e-3)
    assert known.about == pytest.approx(np.zeros((3, 3)), abs=5e-3)


def test_a_mean_is_not_taken_for_luck_that_all_configs_of_a_seed_share(surface):
    found = table(luck=0.0)
    for config in found["configs"]:
        config["miou"] = [[value + 0.01 * seed for value in own] for seed, own in enumerate(config["miou"])]
    known = surface.learnt(found)
    assert known.noise == pytest.approx(1e-8)
    assert (known.luck @ known.luck.T)[-1, -1] == pytest.approx(np.var([0, 0.01, 0.02, 0.03], ddof=1))


def test_shares_are_those_of_a_sum_and_a_trial_ranks_as_its_final_does(surface):
    found = table(luck=1e-3)
    groups = {"lr": ["lr"], "method": ["method"]}
    rng = np.random.default_rng(0)

    def total(values):  # variances 1/12 and 1/4
        return (np.log10(values["lr"]) + 3) / 2 + (values["method"] == "kd")

    shares = surface.shares(KINDS, total, groups, luck=1.0, rng=rng)
    whole = 1 / 12 + 1 / 4 + 1
    assert shares["lr"] == pytest.approx(1 / 12 / whole, abs=0.04)
    assert shares["method"] == pytest.approx(1 / 4 / whole, abs=0.04)
    assert shares["luck"] == pytest.approx(1 / whole, abs=0.02)
    assert sum(shares.values()) == pytest.approx(1)
    assert surface.ranks(surface.curves(found), 0) > 0.9


def test_a_trial_that_diverged_keeps_its_last_report(surface):
    found = {"reports": 3, "configs": [{"miou": [[0.1, 0.2], [], [0.3, 0.2, 0.1]]}]}
    assert surface.curves(found).tolist() == [[[0.1, 0.2, 0.2], [0.0, 0.0, 0.0], [0.3, 0.2, 0.1]]]


@pytest.fixture(scope="module")
def world(modules):
    return modules["worlds"].recorded(3)


def test_a_recorded_world_is_the_surface_of_its_number_with_the_luck_of_the_seeds(modules, world):
    known = modules["surface"].recorded()
    params = {"method": "kd", "pair": known.kinds["pair"]["choices"][0], "lr": 4e-3}
    params |= {"lambda_kd": 5.0, "temperature": 2.0, "unlabelled_ratio": 0.5}
    whole = {name: np.array([value]) for name, value in {**params, "lambda_hakd": 1.0}.items()}
    assert world.of(params) == pytest.approx(known.draw(3)(whole)[0])
    assert world.of(params) != pytest.approx(known.draw(5)(whole)[0])
    assert world.best >= known.draw(3).at(known.points).max() - 0.005  # it is looked for at random
    assert world.run(params, 1) == world.run(params, 1) != world.run(params, 2)
    finals = [world.run(params, seed)[-1][1] for seed in range(300)]
    luck = np.sqrt((known.luck @ known.luck.T)[-1, -1])
    assert np.mean(finals) == pytest.approx(world.of(params), abs=4 * luck / np.sqrt(300))
    assert np.std(finals) == pytest.approx(luck, rel=0.15)


def test_a_recorded_world_asks_for_weights_only_where_they_are_read(world):
    class Trial:
        def __init__(self, method):
            self.method = method

        def suggest_categorical(self, name, choices):
            return self.method if name == "method" else choices[0]

        def suggest_float(self, name, low, high, *, log):
            return low

    asked = {method: set(world.suggest(Trial(method))) for method in ("task", "kd", "heteroakd")}
    assert asked["task"] == {"method", "pair", "lr"}
    assert asked["kd"] - asked["task"] == {"lambda_kd", "temperature", "unlabelled_ratio"}
    assert asked["heteroakd"] - asked["kd"] == {"lambda_hakd"}


def test_a_longer_recording_begins_with_the_configs_of_a_shorter_one(modules):
    from trainables.config import TrialConfig

    record = modules["record"]
    some = record.configs(20)
    assert record.configs(32)[:20] == some
    assert {config["method"] for config in some} == {"task", "kd", "heteroakd"}
    for params in some:
        config = TrialConfig.parse(record.trial_values(params, 2))
        assert config.is_taught == (params["method"] != "task")
        assert {name for name in params if name not in ("pair", "method")} == {
            name for name, kind in record.SPACE.items() if "methods" in kind and params["method"] in kind["methods"]
        } | {"lr"}
        assert all(config.reads(name) for name in params if name != "pair")
