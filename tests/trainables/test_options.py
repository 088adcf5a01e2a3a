"""How a trial is computed changes what comes out of it by rounding alone."""

from __future__ import annotations

import inspect
import os
import shutil

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor
from torch.nn import functional as F

from trainables.compiled import begin_step, compile_network
from trainables.contracts import tiny
from trainables.data.feed import Batch
from trainables.errors import ConfigError
from trainables.guidance.guide import Guide
from trainables.loop import train
from trainables.models.segmodel import SegModel

STEPS = {
    "student": "trainables.contracts.tiny:network",
    "method": "heteroakd",
    "projector_tap": "stage3",
    "steps": 4,
    "eval_every": 4,
}
SGD = {"optimizer": "sgd", "lr": 1e-2}  # AdamW makes a whole step of a gradient that is rounding errors alone
NO_COMPILER = shutil.which(os.environ.get("CXX", "g++")) is None


@pytest.fixture
def run(small, dataset, teacher, tmp_path):
    def make(name, **fields):
        return train(small(**STEPS | fields), dataset=dataset, teacher=teacher, directory=tmp_path / name)

    return make


def apart(one, other):
    """Largest difference of two trials' weights, relative to the largest weight of a tensor."""
    pairs = [(value, other.weights()[name]) for name, value in one.weights().items() if value.is_floating_point()]
    return max(((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item() for a, b in pairs)


@pytest.mark.parametrize("recipe", [{"steps": 1}, SGD], ids=["adamw", "sgd"])
def test_a_fused_optimiser_takes_the_same_steps(run, recipe):
    plain = run("plain", fused_optimizer=False, **recipe)
    fused = run("fused", fused_optimizer=True, **recipe)
    assert [bool(state.optimizer.param_groups[0]["fused"]) for state in (plain, fused)] == [False, True]
    assert apart(fused, plain) < 1e-6
    assert apart(fused, run("other", weight_decay=0.1, **recipe)) > 1e-5


def test_channels_last_trains_the_same_student_but_for_dropout(run, monkeypatch):
    """Dropout draws in the order of the memory, so the same numbers fall on other units: here it is off."""
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, features: features)
    plain, last = run("plain", channels_last=False, **SGD), run("last", channels_last=True, **SGD)
    wide = [weight for weight in last.student.parameters() if weight.dim() == 4 and min(weight.shape[1:]) > 1]
    assert wide
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in wide)
    assert apart(last, plain) < 1e-4


def test_a_folded_teacher_says_the_same_and_teaches_the_same(run, small, teacher, monkeypatch):
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    batch = Batch(pixels, torch.zeros(2, 64, 64, dtype=torch.int64))
    norms, plain = [], F.batch_norm
    monkeypatch.setattr(F, "batch_norm", lambda *args, **kwargs: norms.append(args) or plain(*args, **kwargs))
    said = {}
    for fold, left in ((False, 5), (True, 0)):
        guide = Guide(teacher, small(fold_teacher=fold))
        said[fold] = guide(batch)  # folds
        norms.clear()
        guide(batch)
        assert len(norms) == left
    for name, tap in said[False].taps.items():
        torch.testing.assert_close(said[True].taps[name], tap, rtol=0, atol=1e-5 * tap.abs().max().item())
    assert apart(run("folded", fold_teacher=True, **SGD), run("not", fold_teacher=False, **SGD)) < 1e-5


def test_without_a_compiler_one_sentence_says_so(small, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compile is 'default', but no-such-compiler is not found here\. Install"):
        compile_network(tiny.network(), small(compile="default"))
    network = tiny.network()
    compile_network(network, small(compile="off"))
    assert network._compiled_call_impl is None


def test_on_cuda_triton_needs_a_c_compiler_too(small, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compile is 'default', but no-such-compiler is not found here\. Install"):
        compile_network(tiny.network(), small(compile="default", device="cuda"))


@pytest.mark.parametrize(("mode", "steps"), [("off", 0), ("default", 0), ("reduce-overhead", 1), ("max-autotune", 1)])
def test_where_graphs_are_recorded_a_step_begins_with_the_batch(small, monkeypatch, mode, steps):
    begun = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(mode))
    begin_step(small(compile=mode))
    assert len(begun) == steps


@pytest.mark.skipif(NO_COMPILER, reason="No C++ compiler: what torch.compile makes for a CPU cannot be built.")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own
def test_compiled_students_draw_the_same_dropout_learn_the_same_and_share_code(small, monkeypatch):
    """Two students of one architecture, of other weights; both gradients of a step, as where shares are sampled.

    Of one stage: each kernel costs a second of g++.
    """
    monkeypatch.setattr(inductor.cpp, "vec_isa_ok", False)  # else g++ is asked for each kind of vectors
    monkeypatch.setattr(inductor, "compile_threads", 1)  # no pool of processes that import PyTorch
    monkeypatch.setattr(SegModel, "forward", inspect.unwrap(SegModel.forward))  # shapes are not checked in a graph
    config = small(compile="default")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    graphs = []
    for seed in (0, 1):
        found = []
        for compiles in (False, True):
            torch.manual_seed(seed)
            student = SegModel(tiny.Stages((4,)), tiny.Decode(1, 4), nn.Conv2d(6, 5, 1))
            if compiles:
                compile_network(student, config)
            features = student(images)
            terms = (features.logits.square().mean(), features.taps["stage1"].mean())
            weights = list(student.parameters())
            kept = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}  # a graph gives 0, not none
            grads = [torch.autograd.grad(term, weights, **kept) for term in terms]
            found.append((student.state_dict(), features, grads, torch.get_rng_state()))
            graphs.append(torch._dynamo.utils.counters["stats"].get("unique_graphs", 0))
        eager, compiled = found
        torch.testing.assert_close(compiled[:3], eager[:3], rtol=1e-4, atol=1e-5)
        assert torch.equal(compiled[3], eager[3])
    assert graphs == [0, 1, 1, 1]
    eval_of = student.eval().forward(torch.zeros(1, 3, 96, 64))  # another size and mode, and nothing is compiled
    assert eval_of.logits.shape == (1, 5, 48, 32)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
