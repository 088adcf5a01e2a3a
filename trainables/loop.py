"""The training loop: read `train` from top to bottom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from trainables import checkpoint
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.loader import train_batches
from trainables.data.transforms import normalize
from trainables.device import autocast, memory_format, pick_device
from trainables.evaluate import evaluate
from trainables.meter import Clock, Meter, check_finite
from trainables.metrics import miou
from trainables.models.segmodel import Features, SegModel
from trainables.state import Report, TrialState
from trainables.store import Store, at

LOG_EVERY = 10  # steps between host syncs: loss sums are read and checked here


def train(
    config: TrialConfig,
    *,
    dataset: SegDataset,
    teacher: SegModel | None = None,
    directory: Path | Store,
    report: Callable[[Report], None] = lambda _: None,
) -> TrialState:
    """Train one trial to its budget, or on from the newest checkpoint in `directory`.

    A resumed trial first reports its history again, then equals the uninterrupted one (on the CPU bit for bit).

    Args:
        teacher: frozen (see `teachers.py`); None for a method that needs none. A peer is the state's own.
        directory: holds the checkpoints and `log.jsonl`; a folder, or a store that may be elsewhere.
        report: called after each evaluation, when the checkpoint is on disk; may raise to end the trial.

    Raises:
        NonFiniteLoss: a loss became NaN or infinite; says which and when.
        Interrupted: the disk is full, or the storage cannot be reached; the checkpoint before is whole.
    """
    torch.set_num_threads(config.num_threads)
    device = pick_device(config)
    state = TrialState.start(
        config, teacher=teacher, num_classes=dataset.num_classes, ignore_index=dataset.ignore_index, device=device
    )
    if found := checkpoint.latest(directory, digest=config.digest()):
        state.restore(*found)
        for earlier in state.history:
            report(earlier)

    dataset.take_skipped()  # an earlier trial's, in a reused process
    meter = Meter(device)
    clock = Clock(state.seconds)
    for images, labels in train_batches(dataset, config, start_step=state.step, num_workers=config.num_workers):
        evaluate_now = (state.step + 1) % config.report_every == 0 or state.step + 1 == config.steps

        lr = set_lr(state.optimizer, config, state.step)
        terms, total, grad_shares = losses(config, state, teacher, images, labels, device, sample=evaluate_now)
        state.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if config.clip_norm is not None:
            for group in state.optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], config.clip_norm)
        state.optimizer.step()

        state.step += 1
        meter.add(terms)
        if state.step % LOG_EVERY == 0 or evaluate_now:
            meter.check(state.step)
        if evaluate_now:
            for network in state.networks:
                check_finite(network, state.step)
            state.seconds = clock.pause()
            state.history.append(assess(state, dataset, config, terms=meter.means(), grad_shares=grad_shares, lr=lr))
            save(state, config, directory)
            report(state.history[-1])
            clock.resume()
    return state


def losses(
    config: TrialConfig,
    state: TrialState,
    teacher: SegModel | None,
    images: UInt8[Tensor, "batch 3 H W"],
    labels: Int64[Tensor, "batch H W"],
    device: torch.device,
    *,
    sample: bool,
) -> tuple[dict[str, Tensor], Float[Tensor, ""], dict[str, float]]:
    """Forward both networks: the unweighted terms, their weighted sum and, if sampled, each term's gradient share."""
    for network in state.networks:
        network.train()
    pixels = normalize(images.to(device, non_blocking=True)).to(memory_format=memory_format(device))
    targets = labels.to(device, non_blocking=True)
    with autocast(config, device):
        learnt = state.student(pixels)
        guide: Features | None = None
        if state.peer is not None:
            guide = state.peer(pixels)
        elif teacher is not None:
            with torch.no_grad():
                guide = teacher(pixels)
        terms = state.criterion(learnt, guide, targets)
    weighted = {name: weight * terms[name] for name, weight in state.criterion.weights.items()}
    shares = gradient_shares(weighted, list(state.student.parameters())) if sample else {}
    return terms, torch.stack(list(weighted.values())).sum(), shares


def assess(
    state: TrialState,
    dataset: SegDataset,
    config: TrialConfig,
    *,
    terms: dict[str, float],
    grad_shares: dict[str, float],
    lr: float,
) -> Report:
    """Score every trained network on the validation split; the rest of a report is given."""
    iou = evaluate(state.student, dataset, "val", config)
    peer_iou = None if state.peer is None else evaluate(state.peer, dataset, "val", config)
    return Report(
        step=state.step,
        miou=miou(iou),
        iou=iou,
        terms=terms,
        grad_shares=grad_shares,
        lr=lr,
        seconds=round(state.seconds, 3),
        peer_miou=None if peer_iou is None else miou(peer_iou),
        peer_iou=peer_iou,
        skipped=dataset.take_skipped(),
    )


def gradient_shares(weighted: dict[str, Tensor], parameters: list[nn.Parameter]) -> dict[str, float]:
    """Norm of each weighted term's gradient on the student, as a share of the norms' sum; costs a backward a term."""
    norms = {}
    for name, term in weighted.items():
        gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        found = [g.norm() for g in gradients if g is not None]
        norms[name] = torch.stack(found).norm().item() if found else 0.0
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def set_lr(optimizer: torch.optim.Optimizer, config: TrialConfig, step: int) -> float:
    """The poly schedule, a function of the step alone: each group's initial_lr * (1 - step / steps) ** poly_power.

    Returns:
        The first group's rate, which is the student's.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * (1 - step / config.steps) ** config.poly_power
    return float(optimizer.param_groups[0]["lr"])


def save(state: TrialState, config: TrialConfig, directory: Path | Store) -> None:
    """The history as `log.jsonl` for people to read, and a checkpoint. The last one needs no optimiser, nor another.

    The log goes first: where a checkpoint is, its log is whole.
    """
    meta = {"digest": config.digest(), **state.meta()}
    done = state.step == config.steps
    log = "".join(json.dumps(report) + "\n" for report in meta["history"])
    at(directory).write("log.jsonl", lambda path: path.write_bytes(log.encode()))
    checkpoint.save(
        directory, step=state.step, tensors=state.tensors(optimizer=not done), meta=meta, keep=1 if done else 2
    )
