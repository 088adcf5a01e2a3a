"""Steps in parts, and the running average of the weights."""

from __future__ import annotations

import pytest
import torch

from trainables import loop
from trainables.compiled import begin_step
from trainables.config import TrialConfig
from trainables.data.feed import Batch
from trainables.errors import ConfigError
from trainables.kept import checkpoint
from trainables.loop import Learner
from trainables.models.segmodel import Features
from trainables.state import student_weights

PLAIN = """
import torch
from torch import nn
from trainables.models.segmodel import SegModel

class Encode(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip((3, 4, 5, 6, 7), (4, 5, 6, 7, 8)))
    def forward(self, images):
        stages = [images]
        for step in self.steps:
            stages.append(torch.tanh(step(stages[-1])))
        return stages

class Decode(nn.Module):
    def forward(self, stages):
        return stages[2]

def net(num_classes: int) -> SegModel:
    return SegModel(Encode(), Decode(), nn.Conv2d(5, num_classes, 1))
"""


@pytest.fixture
def learner(tmp_path, monkeypatch, dataset):
    """Makes a learner of a network without BatchNorm, whose parts see what the whole batch sees."""
    (tmp_path / "mine_plain.py").write_text(PLAIN)
    monkeypatch.setenv("HETEROAKD_PATH", str(tmp_path))

    def make(name="trial", **fields):
        config = TrialConfig(
            method="task", student="mine_plain:net", steps=4, eval_every=2, batch_size=4, crop_height=64, crop_width=64,
            optimizer="sgd", lr=0.1, device="cpu", **fields,
        )  # fmt: skip
        return Learner(config, dataset=dataset, teacher=None, directory=tmp_path / name)

    return make


def batches(num, num_classes, size=4):
    rng = torch.Generator().manual_seed(0)
    for _ in range(num):
        pixels = torch.randn(size, 3, 64, 64, generator=rng)
        yield Batch(pixels, torch.randint(num_classes, (size, 64, 64), generator=rng))


def test_two_parts_make_the_step_of_the_whole_batch(learner, dataset):
    whole, halved = learner("whole"), learner("halved", accumulate=2)
    for batch in batches(3, dataset.num_classes):
        whole.step(batch, None)
        halved.step(batch, None)
    for one, other in zip(whole.state.student.parameters(), halved.state.student.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.cuda
def test_parts_under_cuda_graphs_make_the_steps_of_eager_ones(tmp_path, dataset):
    """A graph's outputs, the first part's gradients among them, must outlive the second part's forward."""

    def trained(mode):
        config = TrialConfig(
            method="task", student="fpn:resnet18", steps=6, eval_every=6, batch_size=4, accumulate=2, crop_height=64,
            crop_width=64, optimizer="sgd", lr=0.05, device="cuda", amp=False, compile=mode,
        )  # fmt: skip
        learner = Learner(config, dataset=dataset, teacher=None, directory=tmp_path / mode)
        for batch in batches(5, dataset.num_classes):
            begin_step(config)
            learner.step(Batch(batch.pixels.cuda(), batch.labels.cuda()), None)
        return learner.state.student

    eager, graphs = trained("off"), trained("reduce-overhead")
    for one, other in zip(eager.parameters(), graphs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_parts_hold_every_image_once_with_what_the_teacher_says_of_it():
    batch = Batch(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 2, 2), torch.arange(6).view(6, 1, 1), [*range(6)])
    guide = Features(batch.pixels[:, :1], {"stage4": 2 * batch.pixels})
    found = list(loop.parts(batch, guide, 3))
    assert [part.entries for part, _ in found] == [[0, 1], [2, 3], [4, 5]]
    for part, said in found:
        assert said is not None
        assert part.pixels[:, 0, 0, 0].tolist() == part.labels[:, 0, 0].tolist() == said.logits[:, 0, 0, 0].tolist()
        assert torch.equal(said.taps["stage4"], 2 * part.pixels)


def test_the_average_is_what_is_scored_and_kept_and_goes_on(learner, dataset, tmp_path, monkeypatch):
    made = learner("mean", ema_decay=0.2)
    mean = {name: value.clone() for name, value in made.state.student.named_parameters()}
    scored = []
    plain = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", lambda network, *rest: scored.append(network) or plain(network, *rest))
    for number, batch in enumerate(batches(4, dataset.num_classes), start=1):
        made.step(batch, None)
        stays = min(0.2, (1 + number) / (10 + number))
        for name, value in made.state.student.named_parameters():
            mean[name] = stays * mean[name] + (1 - stays) * value.detach()
        if made.is_due:
            made.assess(hits=loop.Hits())
    assert scored == [made.state.ema] * 2
    for name, value in made.state.ema.named_parameters():
        torch.testing.assert_close(value, mean[name], atol=1e-6, rtol=1e-5)
    tensors, meta = checkpoint.latest(tmp_path / "mean", digest=made.config.digest())
    assert meta["step"] == 4
    kept = student_weights(tensors)
    assert all(torch.equal(kept[name], value) for name, value in made.state.ema.state_dict().items())
    assert any(not torch.equal(kept[name], value) for name, value in made.state.student.state_dict().items())
    again = learner("mean", ema_decay=0.2)
    assert all(torch.equal(value, again.state.weights()[name]) for name, value in made.state.weights().items())


@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 3), (4, 4), (6, 4)])
def test_parts_are_equal_and_of_two_images_at_least(batch_size, accumulate):
    sentence = rf"accumulate must divide batch_size \({batch_size}\) into parts of at least 2"
    with pytest.raises(ConfigError, match=sentence):
        TrialConfig.parse({"batch_size": batch_size, "accumulate": accumulate})
