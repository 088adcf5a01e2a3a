"""The figures on the pages are those of the JSON: read by hand here, or recomputed in NumPy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from writers import pages
from writers.figures import (
    camvid,
    factorial,
    front,
    intervals,
    kernel,
    losses,
    methods,
    pairs,
    record,
    search,
    soak,
    thousand,
    transfer,
    unlabelled,
)
from writers.table import BLOCKS

ROOT = Path(__file__).parents[2]


def load(name):
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


def rows(table):
    """The cells of a Markdown table, without head and rule."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_losses_are_told_to_two_digits_in_kds():
    found = load("losses")
    told = {row[0].strip("`"): row for row in rows(losses.costs(found))}
    step = {own["method"]: own["step_ms"] for own in found["losses"]}
    assert set(told) == set(step)
    assert told["afdcd"][1] == f"{step['afdcd'] / step['kd']:.0f}" == "34"
    assert told["heteroakd"][1] == f"{step['heteroakd'] / step['kd']:.1f}" == "1.7"
    assert told["afdcd"][3] == "6,448"


def test_gains_are_paired_by_seed_and_the_tuned_student_is_the_best_on_validation():
    found = load("methods")
    pair = "mit_b0:mbv3s"

    def scores(row, key, lr):
        mine = [t for t in found["trials"] if (t["pair"], t["row"], t["setting"]["lr"]) == (pair, row, lr)]
        return np.array([t[key] for t in sorted(mine, key=lambda t: t["seed"])])

    lrs = sorted({t["setting"]["lr"] for t in found["trials"] if (t["pair"], t["row"]) == (pair, "student alone")})
    best = max(lrs, key=lambda lr: scores("student alone", "val", lr).mean())
    alone, cirkd = scores("student alone", "test", best), scores("cirkd", "test", best)
    gain = 100 * (cirkd - alone)
    told = {row[0].strip("`"): row for row in rows(methods.scores(found))}
    assert told["cirkd"][3] == f"{100 * cirkd.mean():.2f} ± {100 * cirkd.std(ddof=1):.2f}"
    assert told["cirkd"][4] == f"{gain.mean():+.2f} ± {gain.std(ddof=1):.2f}"
    assert told["student alone, tuned"][3] == f"{100 * alone.mean():.2f} ± {100 * alone.std(ddof=1):.2f}"


def test_regrets_stand_as_measured_and_budgets_are_read_off_a_line():
    found = load("search")
    told = {(row[0], row[1].strip("*")): row[2:] for row in rows(search.table_of_regrets(found))}
    own = found["families"]["recorded"]["random, luckiest"]
    places = [found["marks"].index(mark) for mark in (12, 20, 40)]
    assert told["recorded", "random, luckiest"] == [f"{own['regret'][n]:.2f} ± {own['error'][n]:.2f}" for n in places]
    assert len(told) == sum(len(family) for family in found["families"].values())
    ratios = []
    for family in found["families"].values():
        falling = family["belief + evidence, likeliest"]["regret"]
        target = family["random, luckiest"]["regret"][-1]
        reached = next((n for n, regret in enumerate(falling) if regret <= target), None)
        if not reached:
            ratios.append(1.0 if reached is None else 40 / 4)
            continue
        ends, marks = falling[reached - 1 : reached + 1], found["marks"][reached - 1 : reached + 1]
        ratios.append(40 / np.interp(target, ends[::-1], marks[::-1]))
    assert search.fewer(found, "belief + evidence, likeliest") == pytest.approx(np.exp(np.log(ratios).mean()))


def test_a_search_that_is_worse_than_random_is_said_so():
    marks = {"marks": [4, 8]}
    bad = {"regret": [5.0, 3.0], "error": [0.1, 0.1], "less": [-1.0, 0.5], "less_error": [0.4, 0.2]}
    good = {"regret": [4.0, 3.5], "error": [0.1, 0.1], "less": [0.0, 0.0], "less_error": [0.0, 0.0]}
    both = {"random, luckiest": good, search.STOCK: good, search.DEFAULT: good, search.OURS: bad}
    told = search.reading({**marks, "families": {"a": both, "b": {**both, search.OURS: good}}})
    assert "a after 4 (1.00 ± 0.40)" in told
    assert "b after" not in told
    assert "ahead of the default in 1 of 2 families." in told
    assert search.budgets({**marks, "families": {"a": both}}, "a", search.OURS) == 4 + 4 * (5 - 3.5) / (5 - 3)


def test_an_earlier_study_that_harms_is_said_so_and_what_it_saves_is_counted():
    own = {
        "cold": {"regret": [5.0, 4.0, 3.0]},
        "warm_start": {"regret": [4.0, 2.9, 3.5], "less": [1.0, 1.1, -0.5], "less_error": [0.4, 0.3, 0.2]},
        "heed": 0.4,
    }
    found = {"marks": [4, 8, 20], "relations": {"same": own}}
    told = transfer.reading(found)
    assert "after 20 trials, after same 8." in told
    assert transfer.trials({**found, "relations": {"same": {**own, "cold": {"regret": [1.0] * 3}}}}, "same", 4) == (
        "more than 20"
    )
    assert "same after 20 (-0.50 ± 0.20)" in told
    assert "same after 4 (" not in told


def test_recorded_luck_is_that_of_the_table_and_is_said_to_be_too_large_where_it_is():
    found = load("record")
    finals = np.array([[miou[-1] for miou in config["miou"]] for config in found["configs"]])
    own = found["figures"]
    assert own["luck"] == pytest.approx(100 * np.sqrt(finals.var(axis=1, ddof=1).mean()), abs=1e-3)
    assert own["level"][2] == pytest.approx(100 * finals.mean(axis=1).max(), abs=0.01)
    assert sum(share for share, _ in own["shares"].values()) == pytest.approx(1, abs=0.01)
    assert f"between seeds, is {own['luck']:.1f} points" in record.reading(found)
    for configs_sd, said in ((2.5, "at most half of what configs differ by there"), (1.9, "more than half of what")):
        good = {**own["good_lr"], "luck": 1.0, "configs_sd": configs_sd}
        assert f"luck is {said}" in record.reading({**found, "figures": {**own, "good_lr": good}})
    assert len(rows(record.shares(found))) == len(own["shares"])


def test_the_kernels_ratios_are_over_the_plain_form_of_the_same_shape():
    times = {(own["shape"][1], own["form"]): own["step_ms"] for own in load("kernel")["kernels"]}
    told = [row[3] for row in rows(kernel.forms(load("kernel")))]
    ratios = [times[classes, "lean"] / times[classes, "plain"] for classes in (19, 150)]
    assert told == ["1.00", f"{ratios[0]:.2f}", "1.00", f"{ratios[1]:.2f}"]


def test_a_thousand_trials_in_a_sentence():
    told = thousand.facts({
        "trials": 1000, "wall_s": 66.54, "seconds_a_trial": 0.0665, "states": {"PRUNED": 700, "FAIL": 2},
        "driver_mib": {"100": 600.0, "200": 610.0, "1000": 690.0}, "dashboard_s": 9.6, "page_mib": 5.82,
    })  # fmt: skip
    assert told == (
        "1,000 trials that train nothing take 66.5 s under Ray Tune, 66 ms a trial. 700 of them were pruned, 2 failed. "
        "The driver holds 600 MiB at 100 trials and 690 MiB at 1,000: 102 KiB a trial. "
        "The dashboard of all of them takes 10 s to write and has 5.8 MiB."
    )


def test_winners_of_equal_finalists_are_shares_in_percent():
    found = {"confirm": {"2 equal": {"wrong_winner": 0.0946}, "5 equal": {"wrong_winner": 0.0044}, "gain": {}}}
    assert intervals.equal(found) == "9.5 % of 2 and 0.4 % of 5"


def test_a_soak_tells_kills_and_what_came_of_them():
    counts = {"lost": 0, "duplicated": 0, "falsified": 0, "broken": 0, "trials": 1800, "drivers killed": 412}
    counts |= {"disks full under a checkpoint": 31, "steps trained": 99}
    told = soak.facts({"rounds": 60, "minutes": 60.2, "totals": counts})
    assert told == (
        "60 sweeps in 60 minutes lived through this: 412 drivers killed and 31 disks full under a checkpoint. "
        "Of their 1,800 trials, 0 lost, 0 duplicated and 0 falsified."
    )


@pytest.mark.parametrize(("name", "start"), [("front_page", "docs/"), ("front_page_in_docs", "")])
def test_the_front_page_has_ten_rows_that_lead_to_where_all_of_it_stands(name, start):
    told = rows(BLOCKS[name].render(*(load(source.removesuffix(".json")) for source in front.SOURCES)))
    assert len(told) == 10
    for claim, figure, link in told:
        assert claim
        assert re.search(r"\d", figure)
        page, _, anchor = re.fullmatch(r"\[[^]]+\]\(([^)]+)\)", link)[1].partition("#")
        assert page.startswith(start)
        text = (ROOT / "docs" / page.removeprefix(start)).read_text(encoding="utf-8")
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert anchor in {"", *(heading.lower().replace(" ", "-") for heading in headings)}


def test_every_measurement_is_on_a_page():
    unshown = [said for said in pages.unused(ROOT) if said.startswith("benchmarks/")]
    assert [said for said in unshown if not said.startswith(("benchmarks/soak", "benchmarks/gpu"))] == []


def test_gains_from_unlabelled_images_are_paired_and_the_better_self_training_is_taken():
    found = load("unlabelled")

    def test_scores(row):
        mine = [t for t in found["trials"] if (t["row"], t["role"]) == (row, "confirmed")]
        return np.array([t["test"] for t in sorted(mine, key=lambda t: t["seed"])])

    told = {row[0]: row for row in rows(unlabelled.rows(found))}
    gain = 100 * (test_scores("heteroakd") - test_scores("student alone"))
    reach = 2.132 * gain.std(ddof=1) / np.sqrt(5)  # t of 4 degrees of freedom, 95 %
    assert len(gain) == 5
    assert told["heteroakd"][2] == f"{gain.mean():+.2f}"
    low, high = (float(end) for end in told["heteroakd"][3].split(" to "))
    assert (low, high) == pytest.approx((gain.mean() - reach, gain.mean() + reach), abs=0.02)
    self_trained = max((test_scores(row) for row in told if row.startswith("self-training")), key=np.mean)
    assert told["heteroakd"][4] == f"{100 * (test_scores('heteroakd') - self_trained).mean():+.2f}"


def test_of_a_surface_the_least_and_the_most_gain_are_told_with_their_weights():
    cells = [
        {"lambda_kd": kd, "lambda_hakd": hakd, "test": test}
        for kd, hakd, test in [(0.1, 0.01, [0.30, 0.32]), (0.1, 10, [0.25, 0.26]), (40, 0.01, [0.34, 0.40])]
    ]
    study = {"direction": "CNN->Transformer", "lr": 0.005, "cells": cells, "alone": [0.29, 0.31]}
    said = camvid.factorial({"factorial": [study]})
    assert "the student alone scores 30.0 %" in said
    assert "Least is gained -4.5 at (0.1, 10), most +7.0 at (40, 0.01); 2 of them gain on average." in said


def test_each_share_of_a_factorial_stands_beside_its_intervals():
    own = {
        "direction": "CNN->Transformer",
        "names": ["lambda_kd", "lambda_hakd", "both together"],
        "truth": [0.7, 0.2, 0.1],
        "truth_over_seeds": [[0.6, 0.8], [0.1, 0.3], [0.0, 0.2]],
        "held": [0.9, 0.85, 1.0],
        "median_width": [0.4, 0.3, 0.25],
    }
    told = rows(factorial.rows({"directions": [own]}))
    assert told[0][1:] == ["lambda_1", "70 (60 to 80)", "90", "40"]
    assert [row[1] for row in told] == ["lambda_1", "lambda_2", "both together"]


def test_what_the_first_ranked_teacher_brings_is_told_in_points():
    found = {"setting": {"teachers": ["a", "b"]}}
    found["first"] = {"small": {"teacher": "a", "gain": 0.012, "mean": -0.003, "best": 0.02}}
    said = pairs.first(found)
    assert (
        said
        == "- `small`: the teacher ranked first (a) brings +1.2 points; all 2 on average -0.3, the best of them +2.0."
    )
