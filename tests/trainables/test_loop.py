from __future__ import annotations

import json
import math
import time

import pytest
import torch

from trainables import loop
from trainables.errors import NonFiniteLoss
from trainables.kept import checkpoint
from trainables.loop import gradient_shares, set_lr, train
from trainables.losses.find import find_method


@pytest.fixture
def run(small, dataset, teacher, tmp_path):
    """Train a config; the directory is tmp_path / name."""

    def make(name="trial", report=lambda _: None, **fields):
        config = small(**{"projector_tap": "stage3", **fields})
        guide = teacher if find_method(config.method).needs_teacher else None
        return train(config, dataset=dataset, teacher=guide, directory=tmp_path / name, report=report)

    return make


def test_a_trial_is_evaluated_every_so_many_steps_and_at_its_end(run):
    seen = []
    state = run(steps=5, eval_every=2, report=seen.append)
    assert [report.step for report in seen] == [2, 4, 5]
    assert seen == state.history
    assert state.step == 5


def test_a_report_holds_every_term_its_share_and_the_lr(run):
    (report,) = run(method="heteroakd", steps=2, eval_every=2, lr=0.01, poly_power=1.0).history
    names = {"loss_task", "loss_kd", "loss_hakd", "loss_proj"}
    assert report.terms.keys() == report.grad_shares.keys() == names
    assert sum(report.grad_shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in report.grad_shares.values())
    assert report.lr == pytest.approx(0.01 / 2)  # of step 1 of 2
    assert report.seconds > 0
    present = [value for value in report.iou if value is not None]
    assert len(report.iou) == 5
    assert report.miou == pytest.approx(sum(present) / len(present))


def test_terms_are_means_over_the_steps_since_the_last_report(run):
    every = [report.terms["loss_task"] for report in run("one", steps=4, eval_every=1).history]
    pairs = [report.terms["loss_task"] for report in run("two", steps=4, eval_every=2).history]
    assert pairs == pytest.approx([sum(every[:2]) / 2, sum(every[2:]) / 2], rel=1e-6)


def test_seconds_are_of_training_alone(run, monkeypatch):
    """By a clock that an evaluation and a report each move by 1000 s, and nothing else."""
    now, plain = [0.0], loop.evaluate
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def pass_time(*_args):
        now[0] += 1000

    def slow(*args):
        pass_time()
        return plain(*args)

    monkeypatch.setattr(loop, "evaluate", slow)
    assert [report.seconds for report in run(report=pass_time).history] == [0, 0, 0]


def test_evaluating_more_often_does_not_change_what_is_trained(run):
    one, other = run("one", steps=4, eval_every=1), run("two", steps=4, eval_every=4)
    assert all(torch.equal(value, other.weights()[name]) for name, value in one.weights().items())
    assert one.history[-1].miou == other.history[-1].miou


def test_a_weight_of_zero_leaves_a_term_reported_and_without_effect(run):
    alone = run("task", method="task", steps=2)
    with_kd = run("kd", method="kd", lambda_kd=0.0, steps=2)
    assert with_kd.history[-1].terms["loss_kd"] > 0
    assert with_kd.history[-1].grad_shares == {"loss_task": 1.0, "loss_kd": 0.0}
    assert all(torch.equal(value, with_kd.weights()[name]) for name, value in alone.weights().items())


def test_the_checkpoint_is_on_disk_when_a_report_is_made(run, small, tmp_path):
    found = []
    config = small(projector_tap="stage3")

    def look(report):
        _, meta = checkpoint.latest(tmp_path / "trial", digest=config.digest())
        found.append((report.step, meta["step"], meta["history"][-1]["miou"] == report.miou))

    run(report=look)
    assert found == [(2, 2, True), (4, 4, True), (6, 6, True)]


def test_a_finished_trial_leaves_one_checkpoint_without_optimiser_and_a_readable_log(run, tmp_path):
    state = run()
    folder = tmp_path / "trial"
    assert sorted(path.name for path in folder.iterdir()) == ["log.jsonl", "step-00000006.safetensors"]
    tensors, _ = checkpoint.load(folder / "step-00000006.safetensors")
    assert not any(name.startswith("optimizer.") for name in tensors)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["miou"]) for line in lines] == [(r.step, r.miou) for r in state.history]


def test_training_lowers_the_loss(run):
    history = run(steps=60, eval_every=20, lr=0.03).history
    assert history[-1].terms["loss_task"] < 0.8 * history[0].terms["loss_task"]


@pytest.mark.parametrize(
    ("fields", "term"),
    [
        ({"method": "task"}, "loss_task"),
        ({"method": "kd", "lambda_kd": 1e6}, "loss_kd"),
        ({"method": "heteroakd", "lambda_hakd": 1e6, "lambda_proj": 1e6}, "loss_hakd"),
    ],
)
def test_a_trial_that_diverges_ends_and_says_which_term_and_when(run, fields, term):
    seen = []
    with pytest.raises(NonFiniteLoss, match=rf"\b{term} is (nan|inf)\b.* at step \d+\. Lower lr") as caught:
        run(optimizer="sgd", lr=10, weight_decay=1, steps=40, eval_every=40, report=seen.append, **fields)
    step = int(str(caught.value).partition("at step ")[2].partition(".")[0])
    assert step % 10 == 0  # looked at every ten steps
    assert seen == []


def test_before_a_report_losses_are_looked_at_whatever_the_step(run):
    seen = []
    with pytest.raises(NonFiniteLoss, match="at step 3"):
        run(method="kd", lambda_kd=1e6, optimizer="sgd", lr=10, steps=9, eval_every=1, report=seen.append)
    assert [report.step for report in seen] == [1, 2]


def test_the_learning_rate_falls_by_the_poly_schedule(small):
    config = small(steps=4, lr=0.1, poly_power=0.9)
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "initial_lr": start} for start in (0.1, 0.4)]
    optimizer = torch.optim.SGD(groups, lr=5.0)
    by_hand = [0.1, 0.0771890, 0.0535887, 0.0287175]  # 0.1 * (1, 3/4, 1/2, 1/4) ** 0.9
    for step, lr in enumerate(by_hand):
        set_lr(optimizer, config, step)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([lr, 4 * lr], rel=1e-5)
    assert config.lr == 0.1
    set_lr(optimizer, small(steps=4, lr=0.1, poly_power=0.0), 3)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_lr_rises_linearly_over_the_warm_up_beside_the_poly_schedule(small):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    optimizer.param_groups[0]["initial_lr"] = 0.1
    config, found = small(steps=10, lr=0.1, poly_power=1.0, warmup_steps=4), []
    for step in range(6):
        set_lr(optimizer, config, step)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.1 * 0.25, 0.1 * 0.5 * 0.9, 0.1 * 0.75 * 0.8, 0.07, 0.06, 0.05])


def test_reported_rates_follow_the_schedule(run):
    history = run(steps=4, eval_every=1, lr=1e-3, poly_power=2.0).history
    assert [report.lr for report in history] == pytest.approx([1e-3, 5.625e-4, 2.5e-4, 6.25e-5])


def test_gradient_shares_are_norms_over_all_weights_by_hand():
    a, b = torch.nn.Parameter(torch.tensor([1.0, 1.0])), torch.nn.Parameter(torch.tensor(2.0))
    terms = {
        "loss_task": 3 * a[0] + 4 * b,  # gradient (3, 0), 4: norm 5
        "loss_kd": 2 * a.sum() + b,  # (2, 2), 1: norm 3
        "loss_hakd": (a[1] - 1) ** 2,  # zero here
        "loss_proj": 0.5 * b**2,  # 0.5 * 2 * 2 = 2, and a unused
    }
    assert gradient_shares(terms, [a, b]) == pytest.approx(
        {"loss_task": 0.5, "loss_kd": 0.3, "loss_hakd": 0.0, "loss_proj": 0.2}
    )
    assert a.grad is None
    sum(terms.values()).backward()  # the graph is still there


def test_a_term_that_no_weight_is_in_has_no_share():
    a, other = torch.nn.Parameter(torch.tensor(1.0)), torch.nn.Parameter(torch.tensor(1.0))
    assert gradient_shares({"loss_task": 2 * a, "peer_task": other**2}, [a]) == {"loss_task": 1.0, "peer_task": 0.0}


def test_where_no_term_has_a_gradient_all_shares_are_zero():
    a = torch.nn.Parameter(torch.tensor(0.0))
    shares = gradient_shares({"one": a**2, "two": 3 * a**2}, [a])
    assert shares == {"one": 0.0, "two": 0.0}


def test_clipping_bounds_the_length_of_a_step(run):
    """One step of plain SGD at lr 1 moves the weights by the clipped gradient itself."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0, "steps": 1}
    start = run("start", **plain | {"lr": 1e-30}).student
    moved = {}
    for clip in (None, 1e-2):
        student = run(f"clip {clip}", clip_norm=clip, **plain).student
        pairs = zip(student.parameters(), start.parameters(), strict=True)
        moved[clip] = math.sqrt(sum((a - b).double().square().sum().item() for a, b in pairs))
    assert moved[1e-2] == pytest.approx(1e-2, rel=1e-3)
    assert moved[None] > 0.1


COLLABORATIVE = {"method": "collaborative", "region_size": 8}


def test_a_collaborative_report_scores_both_students_and_measures_who_taught_whom(run):
    networks = dict.fromkeys(("student", "teacher"), "fpn:tu-mobilenetv3_small_050")
    (report,) = run(**COLLABORATIVE | networks, lambda_hfd=0.0, steps=2, eval_every=2, lr=0.01, peer_lr=0.001).history
    weighted = {f"{who}_{kind}" for who in ("loss", "peer") for kind in ("task", "region", "pixel")}
    assert report.terms.keys() == weighted | {"regions_to_student", "pixels_to_student"}
    assert report.grad_shares.keys() == weighted
    assert sum(report.grad_shares.values()) == pytest.approx(1)
    assert [name for name, share in report.grad_shares.items() if share == 0 and name.startswith("peer")] == [
        "peer_task",
        "peer_region",
        "peer_pixel",
    ]
    assert report.lr == pytest.approx(0.01 * 0.5**0.9)
    present = [value for value in report.peer_iou if value is not None]
    assert report.peer_miou == pytest.approx(sum(present) / len(present))
    assert report.peer_iou != report.iou


def test_without_mutual_terms_a_step_is_that_of_the_student_alone(run):
    off = dict.fromkeys(("lambda_hfd", "lambda_region", "lambda_pixel"), 0.0)
    alone = run("alone", steps=1)
    both = run("both", **COLLABORATIVE | off, steps=1)
    assert all(torch.equal(value, both.weights()[name]) for name, value in alone.weights().items())
    assert alone.history[0].miou == both.history[0].miou
    assert alone.history[0].peer_miou is None


def test_each_network_is_clipped_by_its_own_norm(run):
    """One step of plain SGD at lr 1 moves each network, with its modules, by its own clipped gradient."""
    plain = COLLABORATIVE | {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0, "steps": 1}
    groups = [run(str(lr), clip_norm=1e-2, **plain | {"lr": lr}).optimizer.param_groups for lr in (1e-30, 1.0)]
    for start, end in zip(*groups, strict=True):
        pairs = zip(start["params"], end["params"], strict=True)
        moved = math.sqrt(sum((a - b).detach().double().square().sum().item() for a, b in pairs))
        assert moved == pytest.approx(1e-2, rel=1e-3)
