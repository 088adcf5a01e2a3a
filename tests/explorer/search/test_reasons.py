"""Why a trial was stopped: each pruner's sentence, with numbers that are worked out by hand."""

from __future__ import annotations

import optuna
import pytest

from explorer.search import engines
from explorer.search.evidence import EvidencePruner
from explorer.search.views import PRUNED_AT, because
from explorer.study import StudySpec

BUDGET = 9
OTHERS = [0.50, 0.40, 0.30, 0.20]  # complete trials, mIoU at each step: these, a tenth more, two tenths more


def spec(pruner, options):
    base = {"steps": BUDGET, "eval_every": 3}
    values = {"grace_period": 3, "reduction_factor": 2, "pruner": pruner, "pruner_options": options, "num_trials": 5}
    return StudySpec.parse({"space": {"lambda_kd": [0.1, 1.0]}, "base": base, **values})


def judged(pruner, options, values):
    """The trial after its last value, and the pruner's verdict; one trial of another student is far better."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", study_name="s")
    study.pruner = engines.pruner(spec(pruner, options), budget=BUDGET)
    for student, first in [("large", 0.9), *(("small", first) for first in OTHERS)]:
        trial = begun(study, student)
        for step in (3, 6, 9):
            report(study, trial, step, first + (step - 3) / 30)
        study.tell(trial, first + 0.2)
    trial = begun(study, "small")
    for step, value in values.items():
        verdict = report(study, trial, step, value)
    return study, trial, verdict


def begun(study, student):
    trial = study.ask()
    trial.set_user_attr("student", student)
    return trial


def report(study, trial, step, value):
    study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
    return study.pruner.prune(study, study._storage.get_trial(trial._trial_id))


SENTENCES = {
    "successivehalving": (
        {},
        {3: 0.25},  # 5 values at the rung, 5 // 2 = 2 go on
        "Stopped by successivehalving at step 3: its 25.00 % at rung 0 is below the 40.00 % of the best 2 of 5 trials "
        "of this student there; 3 had more.",
    ),
    "successivehalving, later rung": (
        {},
        {3: 0.50, 6: 0.25},  # at 6 steps the others have 0.6, 0.5, 0.4, 0.3
        "Stopped by successivehalving at step 6: its 25.00 % at rung 1 is below the 50.00 % of the best 2 of 5 trials "
        "of this student there; 4 had more.",
    ),
    "hyperband": (
        {"max_resource": 5},  # one bracket
        {3: 0.25},
        "Stopped by hyperband at step 3: its 25.00 % at rung 0 of bracket 0 is below the 40.00 % of the best 2 of 5 "
        "trials of this student there; 3 had more.",
    ),
    "asha": (
        {},
        {3: 0.25},  # the half of 0.5, 0.4, 0.3, 0.2
        "Stopped by asha at step 3: its 25.00 % at the rung of 3 steps is below 35.00 %, which parts the best 1/2 from "
        "the rest of 4 trials of this student that got there before; 3 had more.",
    ),
    "median": (
        {"n_startup_trials": 1},
        {3: 0.25},
        "Stopped by median at step 3: its best until then, 25.00 %, is below 35.00 %, the median of 4 complete trials "
        "of this student at that step; 3 had more.",
    ),
    "percentile": (
        {"n_startup_trials": 1, "percentile": 25.0},
        {3: 0.41},  # 75 % of the way from 0.2 to 0.5 by rank: 0.4 + 0.25 * 0.1
        "Stopped by percentile at step 3: its best until then, 41.00 %, is below 42.50 %, what the best 25 % had at "
        "least, of 4 complete trials of this student at that step; 1 had more.",
    ),
    "threshold": (
        {"lower": 0.3},
        {3: 0.25},
        "Stopped by threshold at step 3: its 25.00 % is below the lower threshold of 30.00 %.",
    ),
    "threshold, upper": (
        {"upper": 0.2},
        {3: 0.25},
        "Stopped by threshold at step 3: its 25.00 % is above the upper threshold of 20.00 %.",
    ),
    "patient": (
        {"patience": 0, "min_delta": 0.01, "wrapped_pruner": "asha"},
        {3: 0.30, 6: 0.25},  # asha is asked when it has fallen; the half of 0.6, 0.5, 0.4, 0.3
        "Stopped by patient at step 6: the best of its last report, 25.00 %, is below the 30.00 % it had before by "
        "more than 1 points; and by asha, its 25.00 % at the rung of 6 steps is below 45.00 %, which parts the best "
        "1/2 from the rest of 4 trials of this student that got there before; 4 had more.",
    ),
    "wilcoxon": (
        {"p_threshold": 0.3},
        {3: 0.25, 6: 0.30},  # two differences, both negative: p = 1/4
        "Stopped by wilcoxon at step 6: its 30.00 %, and its values at 2 steps, are below those of trial 1, the best "
        "of this student, with p = 0.25, under the threshold of 0.3.",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_stopped_trial_says_what_it_had_and_what_that_was_compared_with(case):
    options, values, sentence = SENTENCES[case]
    study, trial, verdict = judged(case.split(",")[0], options, values)
    assert verdict
    assert because(study, trial) == sentence


def test_a_trial_that_goes_on_has_no_sentence():
    study, trial, verdict = judged("successivehalving", {}, {3: 0.45})
    assert not verdict
    assert because(study, trial) is None


def test_a_sentence_stands_whatever_others_have_reported_since():
    """A driver died between the verdict and the trial's end; the next one asks again, when more is known."""
    study, trial, _ = judged("successivehalving", {}, {3: 0.25})
    said = because(study, trial)
    report(study, begun(study, "small"), 3, 0.6)
    assert report(study, trial, 3, 0.25)
    assert because(study, trial) == said


def test_a_verdict_of_an_earlier_version_stands_without_a_sentence():
    study, trial, verdict = judged("successivehalving", {}, {3: 0.45})
    assert not verdict
    trial.set_user_attr(PRUNED_AT, 6)
    assert report(study, trial, 6, 0.9)
    assert because(study, trial) is None


def test_evidence_says_what_the_trial_has_its_chance_and_what_it_would_have_to_pass(monkeypatch):
    monkeypatch.setattr(EvidencePruner, "judged", lambda *_: (0.04, 0.62))
    study, trial, verdict = judged("evidence", {}, {3: 0.25})
    assert verdict
    assert because(study, trial) == (
        "Stopped by evidence at step 3: with its 25.00 % it has a chance of 4.00 % to end above 62.00 %, the highest "
        "mean that a config is believed to have."
    )


def test_evidence_says_before_enough_trials_are_whole_which_rung_it_was():
    study, trial, verdict = judged("evidence", {}, {3: 0.25})
    assert verdict
    assert because(study, trial).startswith("Stopped by evidence at step 3: its 25.00 % at the rung of 3 steps is")
