"""int8 and fp16 graphs, of a graph that is written by hand: a normalisation and one convolution."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

from trainables.bands import RGB, Bands
from trainables.config import TrialConfig
from trainables.data.catalogue import open_dataset
from trainables.serving import dressed, quantised

SIZE = "multiples of 32 from 64"
FACTS = {"size": SIZE, "max_abs_diff": 0.0, "agreement": 1.0, "num_images": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three classes, of which red, green and blue are signs under noise; one image has another size."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 3)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            rows = 3 if number == 2 else 4
            label = np.kron(rng.integers(0, 3, (rows, 4)), np.ones((16, 16), int)).astype(np.uint8)
            image = (70 * np.eye(3)[label] + rng.integers(0, 150, (*label.shape, 3))).astype(np.uint8)
            Image.fromarray(image).save(root / "images" / split / f"{number}.png")
            Image.fromarray(label).save(root / "labels" / split / f"{number}.png")
    (root / "dataset.yaml").write_text("name: signs\nclasses: [a, b, c]\n")
    return open_dataset(str(root))


@pytest.fixture(scope="module")
def config(data):
    return TrialConfig(data=str(data.root), batch_size=4, crop_height=64, crop_width=64, device="cpu", scale_min=1.0)


def write_graph(path, *, bands=RGB, noise=0.1):
    def constant(name, values):
        return numpy_helper.from_array(np.asarray(values, np.float32), name)

    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (bands.mean, bands.std))
    weights = 2 * np.eye(3).reshape(3, 3, 1, 1) - 1 + np.random.default_rng(1).normal(0, noise, (3, 3, 1, 1))
    given, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, "height", "width"])
        for name in ("images", "logits")
    )
    nodes = [
        helper.make_node("Mul", ["images", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "shift"], ["normal"]),
        helper.make_node("Conv", ["normal", "weights", "bias"], ["logits"], name="conv"),
    ]
    held = [constant("scale", 1 / (bands.scale * std)), constant("shift", mean / std)]
    held += [constant("weights", weights), constant("bias", [0.1, 0.0, -0.1])]
    graph = helper.make_graph(nodes, "student", [given], [made], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))


@pytest.fixture(scope="module")
def made(data, config, tmp_path_factory):
    """(folder, what was found)."""
    out = tmp_path_factory.mktemp("graphs")
    write_graph(out / "student.onnx")
    return out, quantised.write(out, config, data, FACTS, max_loss=5.0)


def iou_by_hand(graph, data):
    """Of the graph in NumPy (ONNX's reference evaluator), on images filled up to 64 rows with ImageNet's mean."""
    both, either = np.zeros(3), np.zeros(3)
    for number in range(3):
        image = np.array(Image.open(data.root / f"images/val/{number}.png"), np.float32)
        label = np.array(Image.open(data.root / f"labels/val/{number}.png"))
        filled = np.tile(np.float32([123.675, 116.28, 103.53]), (64, 64, 1))
        filled[: len(image)] = image
        [logits] = graph.run(None, {"images": filled.transpose(2, 0, 1)[None]})
        found = np.asarray(logits, np.float32)[0].argmax(axis=0)[: len(image)]
        for one in range(3):
            both[one] += ((found == one) & (label == one)).sum()
            either[one] += ((found == one) | (label == one)).sum()
    return both / either


@pytest.mark.parametrize("name", ["student.onnx", "student.int8.onnx", "student.fp16.onnx"])
def test_each_graph_scores_what_numpy_says_of_it_on_all_of_val(made, data, name):
    out, found = made
    expected = iou_by_hand(ReferenceEvaluator(str(out / name)), data)
    assert found[name]["miou"] == pytest.approx(expected.mean(), abs=2e-3)
    assert [found[name]["iou"][one] for one in "abc"] == pytest.approx(list(expected), abs=4e-3)
    assert 0.5 < found[name]["miou"] < 0.99


def test_points_lost_are_those_below_the_fp32_graph(made):
    _, found = made
    for name in ("student.int8.onnx", "student.fp16.onnx"):
        lost = 100 * (found["student.onnx"]["miou"] - found[name]["miou"])
        assert found[name]["points_lost"] == pytest.approx(lost)
        assert found[name]["size"] == SIZE
    assert found["student.onnx"]["agreement"] == 1.0
    assert {name for name, facts in found.items() if "points_lost_here" in facts} == {"student.int8.onnx"}


def test_int8_is_static_by_channel_and_signed(made):
    tensors = held(made[0] / "student.int8.onnx")
    assert tensors["weights_quantized"].dtype == np.int8
    assert tensors["weights_scale"].shape == (3,)
    kinds = {node.op_type for node in onnx.load(made[0] / "student.int8.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} < kinds


def held(path):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("taken", [True, False])
def test_int8_is_made_of_the_graph_that_loses_less(data, config, tmp_path, taken):
    """One of both has so much noise in its weights that it tells the classes badly."""
    other = tmp_path / "other"
    other.mkdir()
    write_graph(tmp_path / "student.onnx", noise=3.0 if taken else 0.1)
    write_graph(other / "student.onnx", noise=0.1 if taken else 3.0)
    told = quantised.write(tmp_path, config, data, FACTS, max_loss=100, tuned=other / "student.onnx")[quantised.INT8]
    assert (told["tuned_lost"] < told["plain_lost"]) == taken
    assert told["points_lost"] == min(told["tuned_lost"], told["plain_lost"])
    made, source = held(tmp_path / "student.int8.onnx"), held((other if taken else tmp_path) / "student.onnx")
    weights = made["weights_quantized"] * made["weights_scale"].reshape(3, 1, 1, 1)
    np.testing.assert_allclose(weights, source["weights"], atol=0.01)
    assert {path.name for path in tmp_path.glob("*.onnx")} == {f"student.{one}onnx" for one in ("", "int8.", "fp16.")}


def test_what_loses_more_than_is_allowed_is_left_out_with_its_scores(data, config, tmp_path):
    write_graph(tmp_path / "student.onnx")
    found = quantised.write(tmp_path, config, data, FACTS, max_loss=-100.0)
    assert [path.name for path in tmp_path.iterdir()] == ["student.onnx"]
    for name in ("student.int8.onnx", "student.fp16.onnx"):
        assert found[name]["reason"].startswith(f"{name} is left out: it loses ")
        assert "size" not in found[name]
        assert 0 < found[name]["miou"] < 1


def test_what_cannot_be_made_or_scored_says_why(data, config, tmp_path):
    write_graph(tmp_path / "student.onnx")
    found = quantised.write(tmp_path, config, data, {**FACTS, "size": "32x64"})
    assert "The graph takes 32x64 pixels, got 64x64" in found["student.int8.onnx"]["reason"]
    missing = quantised.write(tmp_path, config, data, {"reason": "student.onnx was not made: it is moody"})
    assert missing["student.fp16.onnx"]["reason"] == "student.fp16.onnx was not made: there is no student.onnx."


def test_a_file_that_ends_onnx_runtimes_process_is_left_out(data, config, tmp_path, monkeypatch):
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="utf-8")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    write_graph(tmp_path / "student.onnx")
    found = quantised.write(tmp_path, config, data, FACTS, max_loss=100)
    for name in ("student.int8.onnx", "student.fp16.onnx"):
        assert "ONNX Runtime ends with signal 11 when it opens the file" in found[name]["reason"]
        assert not (tmp_path / name).exists()


def test_fp16_takes_numbers_that_fp16_does_not_hold(tmp_path):
    deep = Bands(scale=65535.0)
    write_graph(tmp_path / "student.onnx", bands=deep)
    quantised.half(tmp_path / "student.onnx", tmp_path / "half.onnx")
    images = np.full((1, 3, 64, 64), 65535, np.float32)
    images[:, 1] = 40000
    plain, half = (
        onnxruntime.InferenceSession(tmp_path / name).run(None, {"images": images})[0]
        for name in ("student.onnx", "half.onnx")
    )
    np.testing.assert_allclose(half, plain, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("name", ["student.onnx", "student.int8.onnx", "student.fp16.onnx"])
def test_a_dressed_graph_takes_bytes_of_pixels_and_gives_the_same_classes(made, tmp_path, name):
    out, _ = made
    (tmp_path / name).write_bytes((out / name).read_bytes())
    dressed.dress(tmp_path / name, ids=True, nhwc=True, bands=RGB)
    images = np.random.default_rng(2).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    [ids] = onnxruntime.InferenceSession(tmp_path / name).run(["ids"], {"images": images})
    plain = onnxruntime.InferenceSession(out / name)
    [logits] = plain.run(["logits"], {"images": images.transpose(0, 3, 1, 2).astype(np.float32)})
    assert ids.dtype == np.uint8
    assert (ids == logits.argmax(axis=1)).all()


def test_windows_are_averaged_as_the_trial_was_scored(config):
    """Two windows of 64 columns over 96: the middle third is covered twice."""
    slide = config.model_copy(update={"eval_mode": "slide", "eval_stride": 0.5})
    ones = iter([1.0, 3.0])
    found = quantised.logits(
        lambda window: torch.full((1, 3, *window.shape[-2:]), next(ones)), torch.zeros(1, 3, 64, 96), slide, RGB
    )
    assert found[0, 0, 0, ::32].tolist() == [1.0, 2.0, 3.0]
