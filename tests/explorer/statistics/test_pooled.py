"""Partial pooling of gains over teachers and students: by the equations written out, and in studies of known truth."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from dashboards.frames import COLUMNS
from explorer.statistics import pooled as module
from explorer.statistics.pooled import pool, pooled


def crossed(teachers, students):
    return map(np.array, zip(*itertools.product(range(teachers), range(students)), strict=True))


def test_given_the_variances_it_is_hendersons_equations_and_the_likelihood_without_mu():
    rng = np.random.default_rng(0)
    teacher, student = crossed(3, 2)
    gain, noise = rng.normal(0.02, 0.02, 6), rng.uniform(0.005, 0.02, 6) ** 2
    a, b, r = 0.02**2, 0.01**2, 0.015**2
    effects = np.column_stack([np.eye(3)[teacher], np.eye(2)[student], np.eye(6)])
    design = np.column_stack([np.ones(6), effects])
    precision = np.diag([0.0, *[1 / a] * 3, *[1 / b] * 2, *[1 / r] * 6])
    inverse = np.linalg.inv(design.T @ np.diag(1 / noise) @ design + precision)
    solution = design @ inverse @ design.T @ np.diag(1 / noise)
    signal = effects @ np.diag([a] * 3 + [b] * 2 + [r] * 6) @ effects.T
    likelihood, mean, variance, own = module._given(gain, np.stack([signal, 2 * signal]), noise)
    assert mean[0] == pytest.approx(solution @ gain, abs=1e-9)
    assert variance[0] == pytest.approx(np.diag(design @ inverse @ design.T), abs=1e-9)
    assert own[0] == pytest.approx(np.diag(solution), abs=1e-9)

    def without_mu(covariance):
        density = stats.multivariate_normal(np.zeros(6), covariance).pdf
        return integrate.quad(lambda mu: density(gain - mu), -0.3, 0.3, points=[float(gain.mean())], epsabs=0)[0]

    wanted = without_mu(signal + np.diag(noise)) / without_mu(2 * signal + np.diag(noise))
    assert np.exp(likelihood[0] - likelihood[1]) == pytest.approx(wanted, rel=1e-4)


def test_intervals_hold_the_truth_and_pooled_gains_are_nearer_to_it_than_raw_ones():
    rng = np.random.default_rng(1)
    teacher, student = crossed(4, 3)
    held, raw, drawn = [], [], []
    for number in range(80):
        a, b, r = ((0.02, 0.01, 0.005), (0.0, 0.02, 0.0), (0.01, 0.0, 0.02), (0.0, 0.0, 0.0))[number % 4]
        truth = 0.01 + rng.normal(0, a, 4)[teacher] + rng.normal(0, b, 3)[student] + rng.normal(0, r, 12)
        error = rng.uniform(0.005, 0.03, 12)
        gain = truth + rng.normal(0, error)
        found = pool(gain, error, teacher, student)
        held += (np.abs(found.mean - truth) <= 1.645 * found.sd).tolist()
        raw += ((gain - truth) ** 2).tolist()
        drawn += ((found.mean - truth) ** 2).tolist()
    assert 0.88 <= np.mean(held) <= 0.98
    assert np.mean(drawn) < 0.6 * np.mean(raw)


def test_a_pair_that_is_known_well_stays_and_one_that_is_not_goes_to_its_teacher_and_student():
    teacher, student = crossed(3, 3)
    gain = 0.02 * teacher + 0.01 * student
    gain[4] = 0.3  # of teacher 1 and student 1: would be 0.03
    error = np.full(9, 0.001)
    error[4] = 0.5
    found = pool(gain, error, teacher, student)
    assert np.delete(found.mean, 4) == pytest.approx(np.delete(gain, 4), abs=0.002)
    assert found.mean[4] == pytest.approx(0.03, abs=0.01)
    assert found.own[4] < 0.1
    assert found.own[0] > 0.5


def frame(num, **changes):
    rows = [
        (f"t{n}:s", f"t{n}", "s", "", "best", 9, 2, 0.01 * n, 0.01 * n - 0.02, 0.01 * n + 0.02, n > 2, "", "steps", "")
        for n in range(num)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS["gains"])).assign(**changes)


def test_only_gains_of_whole_runs_of_enough_pairs_are_pooled_each_beside_its_own():
    found = pooled(frame(5))
    assert found["pair"].tolist() == [f"t{n}:s" for n in range(5)]
    assert found["gain"].tolist() == [0.0, 0.01, 0.02, 0.03, 0.04]
    assert np.all(np.diff(found["pooled"]) > 0)
    assert found["pooled"].between(0.0, 0.04).all()
    assert (found["pooled_high"] - found["pooled_low"] < 0.04).all()
    for left_out in (frame(3), frame(5, bound="at least"), frame(5, low=np.nan), frame(5, method="kd"), frame(0)):
        assert pooled(left_out).empty
        assert list(pooled(left_out)) == list(COLUMNS["pooled"])
