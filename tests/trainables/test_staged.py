"""Features first: in the first share of the steps the terms on features are trained alone, then all terms."""

from __future__ import annotations

import pytest
import torch

from trainables.config import TrialConfig
from trainables.errors import ConfigError
from trainables.kept import checkpoint
from trainables.loop import train
from trainables.losses import LOSSES
from trainables.losses.find import make_criterion
from trainables.state import TrialState

FIRST = {"method": "fitnet", "projector_tap": "stage3", "feature_share": 0.5}  # 3 steps of 6, reports after 2 and 4


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def run(small, dataset, teacher):
    def make(directory, report=lambda _: None, **fields):
        return train(small(**fields), dataset=dataset, teacher=teacher, directory=directory, report=report)

    return make


def test_a_share_is_of_the_steps_at_least_one_and_never_all():
    def steps(**fields):
        return TrialConfig(method="skd", **fields).feature_steps

    assert steps(steps=400, feature_share=0.25) == 100
    assert steps(steps=400, feature_share=1e-6) == 1
    assert steps(steps=3, feature_share=0.99) == 2
    assert steps(steps=1, feature_share=0.5) == 0
    assert steps(steps=400) == 0
    assert TrialConfig(method="task", feature_share=0.5).feature_steps == 0  # the student alone, matched to it


def test_terms_on_features_are_those_that_read_neither_logits_nor_labels():
    found = {name: kind.feature_terms() for name, kind in LOSSES.items() if kind.feature_terms()}
    assert found["cwd"] == {"loss_cwd_feature"}
    assert found["cirkdv2"] == LOSSES["cirkdv2"].lambdas.keys()
    by_taps = {"cwd", "skd", "ifvd", "at", "fitnet", "cirkd", "afdcd", "nfd", "qsd", "cirkdv2", "diffkd"}
    assert found.keys() == by_taps
    assert {name for name in LOSSES if TrialConfig(method=name).reads("feature_share")} == by_taps


def test_until_then_the_head_stays_as_it_was_and_the_backbone_moves(run, small, teacher, tmp_path):
    """No gradient of a term on the backbone's third stage reaches the head, and no weight decay either."""

    def stop(_):
        raise Interrupted

    fields = FIRST | {"eval_every": 3}
    with pytest.raises(Interrupted):
        run(tmp_path, stop, **fields)
    config = small(**fields)
    kept, _ = checkpoint.latest(tmp_path, digest=config.digest())
    state = TrialState.start(config, teacher=teacher, num_classes=5, ignore_index=255, device=torch.device("cpu"))
    moved = {name for name, value in state.tensors().items() if not torch.equal(kept[name], value)}
    assert "student.head.weight" not in moved
    assert "student.encoder.steps.0.0.weight" in moved


def test_afterwards_every_term_is_trained(run, tmp_path):
    reports = []
    run(tmp_path, reports.append, **FIRST)
    assert [report.step for report in reports] == [2, 4, 6]
    assert reports[0].grad_shares == {"loss_task": 0.0, "loss_fitnet": 1.0}
    assert all(0 < share < 1 for report in reports[1:] for share in report.grad_shares.values())
    assert all(report.terms.keys() == {"loss_task", "loss_fitnet"} for report in reports)
    assert all(report.terms["loss_task"] > 0 for report in reports)


@pytest.mark.parametrize(("optimizer", "fused"), [("adamw", False), ("sgd", True)])
def test_a_trial_interrupted_in_either_part_equals_the_uninterrupted_one(optimizer, fused, run, outcome, tmp_path):
    fields = FIRST | {"optimizer": optimizer, "fused_optimizer": fused}
    whole = outcome(run(tmp_path / "whole", **fields))

    def stop_at(step):
        def report(found):
            if found.step == step:
                raise Interrupted

        return report

    for step in (2, 4):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", stop_at(step), **fields)
        torch.manual_seed(1234 + step)
    assert outcome(run(tmp_path / "parts", **fields)) == whole


def test_it_makes_another_trial_and_without_it_the_digest_is_that_of_before():
    base = {"method": "fitnet", "steps": 10}
    plain, halved = TrialConfig(**base), TrialConfig(**base, feature_share=0.5)
    assert plain.digest() != halved.digest() != TrialConfig(**base, feature_share=0.6).digest()
    assert plain.digest() == TrialConfig(**base, feature_share=None).digest()
    assert "feature_share" not in TrialConfig(method="task", feature_share=0.5).read_values()
    assert plain.shared_digest() == halved.shared_digest()  # they may train side by side


@pytest.mark.parametrize("method", ["kd", "dist", "lskd", "ofa", "heteroakd", "collaborative"])
def test_a_method_without_terms_on_features_is_refused(method):
    with pytest.raises(ConfigError, match=rf"feature_share trains terms on features first, but {method} has none"):
        TrialConfig.parse({"method": method, "feature_share": 0.5})


def test_so_is_one_whose_terms_on_features_weigh_nothing(small, network, teacher):
    def made(**fields):
        config = small(projector_tap="stage3", feature_share=0.5, **fields)
        return make_criterion(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)

    with pytest.raises(ConfigError, match=r"feature_share is 0\.5, but no term of cwd on features has a weight"):
        made(method="cwd")
    built = made(method="cwd", lambda_cwd_feature=50.0)
    assert (built.weights_at(0), built.weights_at(3)) == ({"loss_cwd_feature": 50.0}, built.weights)
