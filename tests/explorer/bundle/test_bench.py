"""bench.py of a folder with a graph that is written by hand: a mean over the channels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import explorer
from explorer.bundle import contents, snippet_bench
from trainables.config import TrialConfig
from trainables.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle")
    shapes = {"images": ["batch", 3, "height", "width"], "logits": ["batch", 1, "height", "width"]}
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    mean = helper.make_node("ReduceMean", ["images"], ["logits"], axes=[1])
    graph = helper.make_graph([mean], "student", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for name in ("student.onnx", "student.int8.onnx"):
        onnx.save(model, str(out / name))
    files = {
        "student.onnx": {"size": "multiples of 32 from 64", "miou": 0.5},
        "student.int8.onnx": {"size": "64x96", "miou": 0.49, "points_lost": 1.0},
        "student.fp16.onnx": {"reason": "student.fp16.onnx is left out: it is bad."},
        "student.pt2": {"size": "64x96"},
    }
    told = {"student": "mine:net", "layout": "nchw", "files": files}
    (out / "metrics.json").write_text(json.dumps(told))
    shutil.copyfile(snippet_bench.__file__, out / "bench.py")
    return out


def test_the_script_times_every_graph_of_the_folder_by_itself(folder, tmp_path):
    command = [sys.executable, str(folder / "bench.py"), "--runs", "3", "--device", "box"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    found = json.loads((folder / "bench.json").read_text())
    assert (found["device"], found["provider"], found["threads"]) == ("box", "CPUExecutionProvider", 1)
    rows = {row["file"]: row for row in found["results"]}
    assert [(row["precision"], row["height"], row["width"]) for row in rows.values()] == [
        ("fp32", 512, 512), ("int8", 64, 96),
    ]  # fmt: skip
    for row in rows.values():
        assert row["network"] == "mine:net"
        assert 0 < row["p50_ms"] <= row["p90_ms"]
        assert 10 < row["peak_mib"] < 2000
    assert (rows["student.int8.onnx"]["miou"], rows["student.int8.onnx"]["points_lost"]) == (0.49, 1.0)
    assert "loses 1.00 points of mIoU" in said.stdout


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"files": ["student.fp16.onnx"]},
            "holds no graph 'student.fp16.onnx'. It has: student.onnx, student.int8.onnx",
        ),
        ({"provider": "MoonProvider"}, "MoonProvider is no provider of this onnxruntime"),
        ({"size": (64, 100)}, "takes sides that are multiples of 32 from 64, got 64x100"),
        ({"files": ["student.int8.onnx"], "size": (64, 128)}, "takes 64x96 alone"),
        ({"threads": 0}, "threads and runs must be >= 1"),
    ],
)
def test_what_cannot_be_timed_is_one_sentence(folder, tmp_path, asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        explorer.bench(folder, tmp_path / "bench.json", say=lambda _: None, **asked)
    with pytest.raises(CheckpointError, match=r"no readable metrics\.json"):
        explorer.bench(tmp_path)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"size": (64, 100)}, "size must be height and width, multiples of 32 from 64, got 64x100."),
        ({"opset": 9}, "opset must be >= 13, got 9."),
        ({"max_loss": -1.0}, "max_loss is in points of mIoU and must be >= 0, got -1"),
        ({"ids": True}, "cannot be averaged over windows"),
    ],
)
def test_graphs_that_cannot_be_are_refused(asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        contents.Graphs(**asked).check(TrialConfig(eval_mode="slide"))
    contents.Graphs(size=(64, 96), opset=18, ids=True).check(TrialConfig())


def test_the_script_needs_onnxruntime_and_numpy_alone():
    lines = Path(snippet_bench.__file__).read_text().splitlines()
    taken = {line.split()[1].partition(".")[0] for line in lines if line.strip().startswith(("import ", "from "))}
    standard = {"__future__", "argparse", "collections", "json", "pathlib", "platform", "resource", "subprocess", "sys"}
    assert taken - standard == {"numpy", "onnxruntime", "time", "typing"}
