"""The training loop: read `train` from top to bottom, then `Learner.step`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.compiled import begin_step, compile_network
from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.data.feed import Batch, feed
from trainables.device import autocast, pick_device
from trainables.guidance.cache import Hits
from trainables.guidance.guide import Guide
from trainables.kept import checkpoint
from trainables.kept.store import Store, at
from trainables.models.segmodel import Features, SegModel
from trainables.ranks import ALONE, Ranks
from trainables.scoring.evaluate import evaluate
from trainables.scoring.meter import Clock, Meter, check_finite
from trainables.state import Report, TrialState

LOG_EVERY = 10  # steps between host syncs: loss sums are read and checked here


def train(
    config: TrialConfig,
    *,
    dataset: SegDataset,
    teacher: SegModel | None = None,
    directory: Path | Store,
    report: Callable[[Report], None] = lambda _: None,
    cache: Path | None = None,
    ranks: Ranks = ALONE,
    begin: Callable[[TrialState], None] = lambda _: None,
) -> TrialState:
    """Train one trial to its budget, or on from the newest checkpoint in `directory`.

    A resumed trial first reports its history again, then equals the uninterrupted one (on the CPU bit for bit). Several
    students of one teacher are trained by `group.train_group`, each with the same steps and the same result.

    Args:
        teacher: frozen (see `teachers.py`); None for a method that needs none. A peer is the state's own.
        directory: holds the checkpoints and `log.jsonl`; a folder, or a store that may be elsewhere.
        report: called after each evaluation, when the checkpoint is on disk; may raise to end the trial.
        cache: folder that the teacher cache is in, if the config asks for one; none: the user's.
        ranks: the processes that train it together, each in a call like this one; the first one saves.
        begin: called before the first step; may change weights in place.

    Raises:
        NonFiniteLoss: a loss became NaN or infinite; says which and when.
        Interrupted: the disk is full, or the storage cannot be reached; the checkpoint before is whole.
    """
    learner = Learner(config, dataset=dataset, teacher=teacher, directory=directory, ranks=ranks)
    for earlier in learner.state.history:
        report(earlier)
    begin(learner.state)

    dataset.take_skipped()  # an earlier trial's, in a reused process
    guide = None if teacher is None else Guide(teacher, config, dataset=dataset, cache=cache)
    clock = Clock(learner.state.seconds)
    for batch in feed(dataset, config, device=learner.device, start_step=learner.state.step, ranks=ranks):
        begin_step(config)
        learner.step(batch, guide(batch) if guide else None)
        if learner.is_due:
            learner.state.seconds = clock.pause()
            report(learner.assess(hits=guide.hits if guide else Hits()))
            clock.resume()
    return learner.state


class Learner:
    """A trial in training: a student, what it has learnt and where that is kept.

    Attributes:
        is_due: the last step was one after which the trial is evaluated.
        skipped: damaged files that its batches passed over since the last report.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        dataset: SegDataset,
        teacher: SegModel | None,
        directory: Path | Store,
        ranks: Ranks = ALONE,
    ) -> None:
        """Begin, or go on from the newest checkpoint in `directory`."""
        torch.set_num_threads(config.num_threads)
        self.config = config
        self.device = pick_device(config)
        self.state = TrialState.start(
            config,
            teacher=teacher,
            num_classes=dataset.num_classes,
            ignore_index=dataset.ignore_index,
            device=self.device,
            channels=dataset.bands.channels,
        )
        if found := checkpoint.latest(directory, digest=config.digest()):
            self.state.restore(*found)
        ranks.agree(self.state.step, device=self.device)
        ranks.spread(self.state.held())
        for network in self.state.networks:
            compile_network(network, config)
        self.is_due = False
        self.skipped: list[str] = []
        self._dataset = dataset
        self._directory = directory
        self._ranks = ranks
        self._meter = Meter(self.device, ranks)
        self._grad_shares: dict[str, float] = {}

    @property
    def due_step(self) -> int:
        """The next step after which it is evaluated."""
        every = self.config.report_every
        return min((self.state.step // every + 1) * every, self.config.steps)

    def step(self, batch: Batch, guide: Features | None) -> None:
        """One optimiser step. Only where losses are looked at does the host wait for the device.

        Raises:
            NonFiniteLoss: found at this step, or up to LOG_EVERY - 1 steps ago.
        """
        config, state = self.config, self.state
        self.is_due = state.step + 1 == self.due_step

        with state.random():
            self._ranks.seed(config.seed, state.step)
            set_lr(state.optimizer, config, state.step)
            terms = self._gradients(batch, guide)
            if config.clip_norm is not None:
                for group in state.optimizer.param_groups:
                    nn.utils.clip_grad_norm_(group["params"], config.clip_norm)
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)

        state.step += 1
        state.average(config.ema_decay)
        self._meter.add(terms)
        if state.step % LOG_EVERY == 0 or self.is_due:
            self._meter.check(state.step)

    def _gradients(self, batch: Batch, guide: Features | None) -> dict[str, Tensor]:
        """Of a step's batch, in as many parts as the config says; the unweighted terms, averaged over them."""
        num = self.config.accumulate
        found: dict[str, Tensor] = {}
        for part, said in parts(batch, guide, num):
            terms, total, self._grad_shares = losses(
                self.config, self.state, part, said, sample=self.is_due, ranks=self._ranks
            )
            (total / num).backward()
            for name, value in terms.items():
                found[name] = found.get(name, 0) + value.detach() / num
        self._ranks.average(self._gradients_there())
        return found

    def _gradients_there(self) -> Iterator[Tensor]:
        for group in self.state.optimizer.param_groups:
            yield from (weight.grad for weight in group["params"] if weight.grad is not None)

    def assess(self, *, hits: Hits) -> Report:
        """Score every trained network on the validation split, and save; of several ranks, the first one does.

        Args:
            hits: of its own crops in the teacher cache, since it was begun or resumed.

        Raises:
            NonFiniteLoss: a weight is not finite.
            DataError: a validation sample that cannot be read.
            Interrupted: it cannot be saved.
        """
        state, ranks = self.state, self._ranks
        given = self._dataset, "val", self.config, ranks
        for network in state.networks:
            check_finite(network, state.step)
        with state.random():
            score = evaluate(state.scored, *given)
            peer = None if state.peer is None else evaluate(state.peer, *given)
        asked = ranks.total(torch.tensor([*hits], device=self.device)).tolist() if ranks.size > 1 else hits
        found = Report(
            step=state.step,
            miou=score.miou,
            iou=score.iou,
            terms=self._meter.means(),
            grad_shares=self._grad_shares,
            lr=float(state.optimizer.param_groups[0]["lr"]),
            seconds=round(state.seconds, 3),
            peer_miou=None if peer is None else peer.miou,
            peer_iou=None if peer is None else peer.iou,
            skipped=ranks.texts([*self.skipped, *self._dataset.take_skipped()], device=self.device),
            teacher_hits=Hits(*asked).rate,
            miou_low=score.low,
            miou_high=score.high,
        )
        self.skipped = []
        state.history.append(found)
        if ranks.number == 0:
            save(state, self.config, self._directory)
        ranks.spread(state.memories())
        return found


def parts(batch: Batch, guide: Features | None, num: int) -> Iterator[tuple[Batch, Features | None]]:
    """A batch and what the teacher says of it, in equal parts."""
    if num == 1:
        yield batch, guide
        return
    size = len(batch.labels) // num
    for first in range(0, num * size, size):
        place = slice(first, first + size)
        entries = None if batch.entries is None else batch.entries[place]
        real = None if batch.real is None else batch.real[place]
        part = Batch(batch.pixels[place], batch.labels[place], entries, real)
        if guide is None:
            yield part, None
        else:
            yield part, Features(guide.logits[place], {name: tap[place] for name, tap in guide.taps.items()})


def losses(
    config: TrialConfig,
    state: TrialState,
    batch: Batch,
    guide: Features | None,
    *,
    sample: bool,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, Tensor], Float[Tensor, ""], dict[str, float]]:
    """The unweighted terms, their weighted sum and, if sampled, each term's gradient share.

    Args:
        guide: the teacher's features; None where there is none. A peer is run here.
        ranks: whose mean of terms and gradients is the whole batch's.
    """
    for network in state.networks:
        network.train()
    with autocast(config, batch.pixels.device), ranks.together():
        learnt = state.student(batch.pixels)
        if state.peer is not None:
            guide = state.peer(batch.pixels)
        elif guide is None and "loss_pseudo" in state.criterion.weights:
            guide = averaged(state, batch)
        seen = () if batch.real is None else (batch.real,)
        terms = state.criterion(learnt, guide, batch.labels, *seen)
    weighted = {name: weight * terms[name] for name, weight in state.criterion.weights_at(state.step).items()}
    shares = {}
    if sample:
        untrained = dict.fromkeys(state.criterion.weights, 0.0)
        shares = untrained | gradient_shares(weighted, list(state.student.parameters()), ranks)
    return terms, torch.stack(list(weighted.values())).sum(), shares


@torch.no_grad()
def averaged(state: TrialState, batch: Batch) -> Features | None:
    """What the student's average says, whose pseudo-labels it takes in place of its own; None without an average.

    Source: Tarvainen, Valpola 2017 (Mean Teacher).
    """
    return None if state.ema is None else state.ema.eval()(batch.pixels)


def gradient_shares(
    weighted: dict[str, Tensor], parameters: list[nn.Parameter], ranks: Ranks = ALONE
) -> dict[str, float]:
    """Norm of each weighted term's gradient on the student, as a share of the norms' sum; costs a backward a term."""
    norms = {}
    for name, term in weighted.items():
        gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        there = [gradient if ranks.size == 1 else gradient.clone() for gradient in gradients if gradient is not None]
        ranks.average(there)
        found = [gradient.norm() for gradient in there]
        norms[name] = torch.stack(found).norm().item() if found else 0.0
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def set_lr(optimizer: torch.optim.Optimizer, config: TrialConfig, step: int) -> None:
    """The schedule, a function of the step alone: each group's initial_lr * warm * (1 - step / steps) ** poly_power,
    where warm = min(1, (step + 1) / warmup_steps).

    The first group is the student's.
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * warm * (1 - step / config.steps) ** config.poly_power


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
