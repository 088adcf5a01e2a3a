from __future__ import annotations

import functools

import onnx
import pytest
import torch
from torch import nn

from trainables.config import TrialConfig
from trainables.contracts import tiny
from trainables.scoring.evaluate import predict
from trainables.serving import exported

CONFIG = TrialConfig(device="cpu")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in ((64, 96), (45, 70))]


def network():
    torch.manual_seed(0)
    return tiny.network(num_classes=5).eval()


@pytest.fixture(scope="module")
def trace():
    """The network's graph, traced once in any size and once in one."""
    plain = exported._trace
    return functools.cache(lambda free: plain(exported.Deployed(network()).eval(), torch.Size((64, 96)), free=free))


@pytest.fixture(scope="module")
def made(images, trace, tmp_path_factory):
    """(student, folder, what was found)."""
    out, student = tmp_path_factory.mktemp("graphs"), network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported, "_trace", lambda _deployed, _size, *, free: trace(free))
        return student, out, exported.write(student, CONFIG, images, out)


@pytest.mark.parametrize("form", exported.FORMS, ids=lambda form: form.file)
@pytest.mark.parametrize("size", [(1, 64, 64), (3, 64, 160), (2, 77, 45)])
def test_a_file_gives_the_networks_logits_at_sizes_it_was_not_traced_at(made, form, size):
    student, out, found = made
    assert found[form.file]["size"] == "multiples of 32 from 64", found
    batch, height, width = size
    pixels = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)
    with torch.no_grad():
        got = form.read(out / form.file)(exported.pad(pixels))[..., :height, :width]
        expected = predict(student, pixels, CONFIG)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def traced(trace, monkeypatch):
    monkeypatch.setattr(exported, "_trace", lambda _deployed, _size, *, free: trace(free))


def test_what_differs_from_the_network_is_not_shipped(images, tmp_path, traced, monkeypatch):
    pt2 = exported.FORMS[0]
    off = pt2._replace(read=lambda path: lambda pixels: pt2.read(path)(pixels).flip(1))
    monkeypatch.setattr(exported, "FORMS", (off,))
    found = exported.write(network(), CONFIG, images, tmp_path)
    assert "of the pixels agree" in found[pt2.file]["reason"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_gives_no_numbers_is_not_shipped(images, tmp_path, traced, monkeypatch, wrong):
    pt2 = exported.FORMS[0]

    def read(path):
        logits = pt2.read(path)

        def run(pixels):
            found = logits(pixels).clone()
            found[..., 0, 0] = wrong
            return found

        return run

    monkeypatch.setattr(exported, "FORMS", (pt2._replace(read=read),))
    found = exported.write(network(), CONFIG, images, tmp_path)
    assert "not all finite" in found[pt2.file]["reason"]
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_one_size_is_shipped_at_that_size(images, tmp_path, monkeypatch):
    class Fixed(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, stages):
            decoded = self.inner(stages)
            return decoded + torch.zeros(stages[0].shape[-1] // 96 * 96 - 96 + 1) if stages[0].shape[-1] == 96 else 0

    student = network()
    student.decoder = Fixed(student.decoder)
    monkeypatch.setattr(exported, "FORMS", exported.FORMS[:1])
    found = exported.write(student, CONFIG, images[:1], tmp_path)
    assert found["student.pt2"]["size"] == "64x96", found
    assert found["student.pt2"]["num_images"] == 1


def test_one_size_and_an_opset_are_written_as_they_were_asked_for(images, trace, tmp_path, monkeypatch):
    """The second image is cut and filled up to the size, so both are tried."""
    monkeypatch.setattr(exported, "_trace", lambda _deployed, _size, *, free: trace(free))
    monkeypatch.setattr(exported, "FORMS", exported.FORMS[1:])
    found = exported.write(network(), CONFIG, images, tmp_path, size=(64, 96), opset=18)["student.onnx"]
    assert (found["size"], found["num_images"]) == ("64x96", 2), found
    model = onnx.load(tmp_path / "student.onnx")
    assert [one.version for one in model.opset_import if not one.domain] == [18]
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]] == [3, 64, 96]


def test_a_network_that_takes_hours_to_trace_in_any_size_is_shipped_in_one(images, tmp_path, monkeypatch):
    trace, calls = exported._trace, []

    def slow(deployed, size, *, free):
        calls.append(free)
        while free:
            sum(range(1000))
        return trace(deployed, size, free=free)

    monkeypatch.setattr(exported, "_trace", slow)
    limit = exported.cpu_limit
    monkeypatch.setattr(exported, "cpu_limit", lambda _: limit(0.2 if not calls else 60))
    monkeypatch.setattr(exported, "FORMS", (exported.FORMS[0], exported.FORMS[0]._replace(file="again.pt2")))
    found = exported.write(network(), CONFIG, images[:1], tmp_path)
    assert calls == [True, False]  # tried once each, for both files
    assert [facts["size"] for facts in found.values()] == ["64x96", "64x96"]


def test_a_deployed_network_enlarges_as_it_was_scored():
    student = network()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    for aligned in (False, True):
        deployed = exported.Deployed(student, align_corners=aligned).eval()
        with torch.no_grad():
            expected = predict(student, images, CONFIG.model_copy(update={"align_corners": aligned}))
            torch.testing.assert_close(deployed(images.float()), expected, atol=1e-4, rtol=1e-4)
