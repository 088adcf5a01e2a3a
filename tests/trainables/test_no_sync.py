"""Between log points the host never waits for the device.

On a CPU this is shown by the operators that would wait on CUDA, seen as they are dispatched, with the optimisers fused
as they are there. Copies between devices cannot be seen so; where there is a GPU, PyTorch itself watches.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainables import state
from trainables.contracts import tiny
from trainables.data.feed import Batch
from trainables.loop import LOG_EVERY, Learner
from trainables.losses import LOSSES
from trainables.losses.task import Task

WAITING = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "masked_select", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "unique_dim_consecutive", "masked_scatter"),
}
"""Operators whose result, or its size, the host must read."""
OPTIONS = {
    "adamw": {},
    "sgd, clipped": {"optimizer": "sgd", "clip_norm": 1.0},
}


class NoWaiting(TorchDispatchMode):
    """Fails on an operator for which the host would wait."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not waits(func, args, kwargs or {}), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def waits(func, args, kwargs):
    name = func.overloadpacket.__name__
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    if name == "repeat_interleave":
        return func._overloadname == "Tensor" and kwargs.get("output_size") is None
    return name in WAITING


@pytest.fixture
def learner(small, dataset, teacher, tmp_path, monkeypatch):
    """Of config fields, with networks of a few hundred weights: (learner, a batch, the teacher's features)."""
    monkeypatch.setattr(state, "build", lambda name, **_: tiny.network(width=4 if "fpn" in name else 5))

    def make(method, device="cpu", **fields):
        tap = {} if method in ("task", "kd", "dist", "lskd", "ofa", "collaborative") else {"projector_tap": "stage3"}
        config = small(method=method, steps=40, eval_every=40, device=device, fused_optimizer=True, **tap, **fields)
        torch.manual_seed(0)
        batch = Batch(torch.randn(2, 3, 64, 64).to(device), tiny.random_labels(2, 64, 64).to(device))
        guided = LOSSES[method].needs_teacher
        built = Learner(config, dataset=dataset, teacher=teacher if guided else None, directory=tmp_path)
        with torch.no_grad():
            return built, batch, teacher.to(device)(batch.pixels) if guided else None

    yield make
    teacher.to("cpu")


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("method", LOSSES)
def test_a_step_has_no_operator_that_waits(method, options, learner):
    trained, batch, guide = learner(method, **options)
    with NoWaiting():
        for _ in range(2):  # the first makes the optimiser's state, and fills memories
            trained.step(batch, guide)


@pytest.mark.parametrize("fields", [{"hakd_kernel": "plain"}, {"kem_axis": "space"}, {"lambda_aux": 0.4}])
def test_nor_has_one_of_heteroakds_other_forms(fields, learner):
    trained, batch, guide = learner("heteroakd", **fields)
    with NoWaiting():
        trained.step(batch, guide)


def test_at_a_log_point_it_waits(learner):
    trained, batch, guide = learner("task")
    for _ in range(LOG_EVERY - 1):
        trained.step(batch, guide)
    with NoWaiting(), pytest.raises(AssertionError, match="_local_scalar_dense"):
        trained.step(batch, guide)


@pytest.mark.parametrize(
    "wait",
    [
        lambda labels: labels.sum().item(),
        lambda labels: labels[labels != 255],
        lambda labels: bool((labels == 255).any()),
        lambda labels: labels.unique(),
        lambda labels: labels.flatten().repeat_interleave(labels.flatten()),
    ],
    ids=["item", "mask", "if", "unique", "repeats"],
)
def test_a_loss_that_waits_is_found(wait, learner, monkeypatch):
    plain = Task.forward

    def waiting(self, student, teacher, labels):
        wait(labels)
        return plain(self, student, teacher, labels)

    trained, batch, guide = learner("task")
    monkeypatch.setattr(Task, "forward", waiting)
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        trained.step(batch, guide)


@pytest.mark.cuda
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("method", LOSSES)
def test_pytorch_sees_no_wait_on_cuda(method, options, learner, no_waiting):
    trained, batch, guide = learner(method, device="cuda", **options)
    trained.step(batch, guide)  # what is picked or compiled once may wait
    with no_waiting():
        trained.step(batch, guide)
