"""Fine-tuning for int8: rounding against NumPy, and a student that goes on learning under it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.kept import checkpoint
from trainables.loop import train
from trainables.models.build import build
from trainables.scoring.evaluate import predict
from trainables.serving import aware
from trainables.serving.aware import Inputs, Rounded, rounded

LOSS = nn.CrossEntropyLoss()


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_lie_on_255_levels_a_channel(axis):
    weight = torch.from_numpy(np.random.default_rng(0).normal(0, [[1.0], [20.0], [0.0]], (3, 4)).astype(np.float32))
    if axis == 1:
        weight = weight.T.contiguous()
    found = Rounded(axis)(weight).numpy()
    values = weight.numpy()
    scale = np.abs(values).max(axis=1 - axis, keepdims=True) / 127
    levels = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    np.testing.assert_allclose(found, np.round(levels) * scale, rtol=1e-5, atol=1e-7)
    assert (found != values).any()


def test_inputs_lie_on_256_levels_between_running_ends_with_0_among_them():
    hook, module = Inputs(), nn.Identity().train()
    first, second = torch.tensor([0.5, 3.0]), torch.tensor([-1.0, 2.0])
    hook(module, (first,))
    [found] = hook(module, (second,))
    low, high = 0.9 * 0.0 + 0.1 * -1.0, 0.9 * 3.0 + 0.1 * 2.0  # the first step's least is 0, which is always among them
    scale = (high - low) / 255
    zero = round(-128 - low / scale)
    levels = np.clip(np.round(second.numpy() / scale) + zero, -128, 127)
    np.testing.assert_allclose(found, (levels - zero) * scale, rtol=1e-5)
    [outside] = hook(module.eval(), (torch.tensor([100.0]),))
    assert outside.item() == pytest.approx((127 - zero) * scale, rel=1e-5)  # what is scored moves no end


def test_gradients_pass_as_if_nothing_were_rounded():
    layer, given = nn.Linear(3, 2, bias=False), torch.tensor([[1.0, -0.5, 0.25]])
    with rounded(layer):
        layer(given).sum().backward()
        weight = layer.parametrizations.weight.original
        np.testing.assert_allclose(weight.grad, given.expand(2, 3), atol=0.01)


def test_afterwards_the_network_is_what_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(2, 1, 2), nn.Flatten(), nn.Linear(9, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    image = torch.rand(1, 1, 4, 4)
    plain = network(image)
    with rounded(network):
        assert not torch.equal(network(image), plain)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(network(image), plain)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            label = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16), int)).astype(np.uint8)
            image = (70 * np.eye(3)[label] + rng.integers(0, 90, (*label.shape, 3))).astype(np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            Image.fromarray(label).save(root / "labels" / split / f"{number}.png")
    (root / "dataset.yaml").write_text("name: signs\nclasses: [a, b, c]\n")
    return root


def test_a_student_goes_on_from_its_checkpoint_with_its_projectors_and_is_better_rounded(folder, tmp_path, monkeypatch):
    """Of a trial with a teacher: what is trained is rounded, what is returned is not."""
    values = {"data": str(folder), "student": "benchmarks.small_students:cnn", "device": "cpu", "steps": 6, "lr": 0.01}
    values |= {"batch_size": 4, "crop_height": 64, "crop_width": 64, "projector_tap": "stage3", "eval_every": 6}
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    config = TrialConfig.parse({**values, "method": "heteroakd", "teacher": "benchmarks.small_students:wide_cnn"})
    dataset = open_dataset(config.data)
    torch.manual_seed(1)
    teacher = build(config.teacher, num_classes=3).eval().requires_grad_(False)
    train(config, dataset=dataset, teacher=teacher, directory=tmp_path)
    learnt, _ = checkpoint.latest(tmp_path, digest=config.digest())
    seen = {}

    def watched(again, *, begin, **given):
        def look(state):
            begin(state)
            seen["projector"] = {name: tensor.clone() for name, tensor in state.criterion.state_dict().items()}
            seen["rounded"] = [name for name in state.student.state_dict() if "parametrizations" in name]

        seen["config"] = again
        return train(again, begin=look, **given)

    monkeypatch.setattr(aware, "train", watched)
    tuned = aware.fine_tune(config, learnt, dataset=dataset, teacher=teacher, steps=20)

    student = {name.removeprefix("student."): one for name, one in learnt.items() if name.startswith("student.")}
    kept = {name.removeprefix("criterion."): one for name, one in learnt.items() if name.startswith("criterion.")}
    assert tuned.keys() == student.keys()
    assert seen["rounded"]
    assert kept
    assert all(torch.equal(seen["projector"][name], one) for name, one in kept.items())
    assert (seen["config"].steps, seen["config"].lr, seen["config"].method) == (20, pytest.approx(0.001), "heteroakd")

    images, labels = zip(*(dataset.read(sample) for sample in dataset.samples("train")), strict=True)
    losses = {}
    for name, weights in (("before", student), ("after", tuned)):
        network = build(config.student, num_classes=3)
        network.load_state_dict(weights)
        with torch.no_grad(), rounded(network.eval()):
            logits = predict(network, torch.stack(images), config, dataset.bands)
        losses[name] = LOSS(logits, torch.stack(labels).long()).item()
    assert losses["after"] < losses["before"]


@pytest.fixture
def asked(monkeypatch):
    """What `train` is called with; nothing is trained."""
    calls = []

    def noted(again, **given):
        calls.append((again, given))
        return SimpleNamespace(student=nn.Linear(1, 1))

    monkeypatch.setattr(aware, "train", noted)
    return calls


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"method": "collaborative"}, {"method": "task"}),
        ({"method": "task", "encoder_weights": "/gone.safetensors"}, {"pretrained": False, "encoder_weights": None}),
    ],
    ids=["two students go on with the labels alone", "an encoder's published weights are not asked for again"],
)
def test_what_is_not_there_is_not_asked_for(folder, asked, fields, wanted):
    config = TrialConfig.parse({"data": str(folder), "device": "cpu", "lr": 0.01, **fields})
    aware.fine_tune(config, {}, dataset=open_dataset(config.data), teacher=None, steps=5)
    [(again, given)] = asked
    assert wanted.items() <= again.model_dump().items()
    assert given["teacher"] is None
