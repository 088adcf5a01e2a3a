"""The bundle, from a study told by hand: no Ray. The network is a file of the user's own, and tiny."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from dashboards.frames import blank
from explorer.bundle import chosen, reproduce, snippet_onnx
from explorer.bundle import export as exporting
from explorer.bundle.export import export
from explorer.results import trial_table
from explorer.results.trials import load_studies
from explorer.search.arms import study_name, trial_directory
from explorer.storage import storages
from trainables.bands import RGB
from trainables.errors import ConfigError, StudyError
from trainables.serving import dressed

ROOT = Path(__file__).parents[3]
NET = "mine_tiny:net"
MOODY = """
import torch
from trainables.contracts import tiny
from trainables.models.segmodel import SegModel

class Decoder(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def forward(self, stages):
        return self.inner(stages) if stages[-1].sum().item() < 1e9 else None

def moody(num_classes: int) -> SegModel:
    made = tiny.network(num_classes=num_classes)
    made.decoder = Decoder(made.decoder)
    return made
"""


@pytest.fixture(scope="module")
def study(make_study, tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    make_study(directory, tiny_data)
    return directory


@pytest.fixture(scope="module")
def bundle(study, tmp_path_factory):
    """(folder, what export returned)."""
    out = tmp_path_factory.mktemp("bundle") / "best"
    return out, export(study, out)


def iou_by_hand(labels, found, number):
    both = ((labels == number) & (found == number)).sum()
    either = (((labels == number) | (found == number)) & (labels != 255)).sum()
    return both / either if either else None


def run_python(*arguments, **options):
    command = [os.environ["WARM_PYTHON"], *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def masks_of_val(out, data, tmp_path, num=4):
    """Class ids of the validation images, by the bundle's own predict.py in a process of its own."""
    found = []
    for number in range(num):
        said = run_python(out / "predict.py", data / f"images/val/{number}.png", tmp_path / "mask.png", cwd=tmp_path)
        assert said.returncode == 0, said.stderr
        found.append(np.array(Image.open(tmp_path / "mask.png")))
    return np.stack(found)


def test_the_snippet_predicts_what_the_card_says_it_scores(bundle, tiny_data, tmp_path):
    out, metrics = bundle
    assert "onnxruntime" in (out / "predict.py").read_text()
    found = masks_of_val(out, tiny_data, tmp_path)
    labels = np.stack([np.array(Image.open(tiny_data / f"labels/val/{n}.png")) for n in range(4)])
    iou = {name: iou_by_hand(labels, found, n) for n, name in enumerate("abc")}
    assert metrics["splits"]["val"]["iou"] == pytest.approx(iou, abs=1e-3)
    mean = np.mean([value for value in iou.values() if value is not None])
    assert metrics["miou"] == pytest.approx(mean, abs=1e-3)
    assert f"**{100 * metrics['miou']:.2f} %**" in (out / "README.md").read_text()
    low, high = (metrics["splits"]["val"][f"miou_{end}"] for end in ("low", "high"))
    assert 0 <= low <= metrics["miou"] <= high <= 1
    assert f"| 90 % interval over images | {100 * low:.2f} to {100 * high:.2f} % |" in (out / "README.md").read_text()


def check_snippet(out, tmp_path):
    """What it is asked in a wrong way, or about no image of 8 bits, ends in one sentence and exit code 2."""
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "deep.png")
    wrong = {
        (): "Usage: python predict.py IMAGE MASK.png",
        ("nowhere.png", "mask.png"): "Error: nowhere.png ",
        ("broken.png", "mask.png"): "Error: broken.png ",
        ("deep.png", "deep-mask.png"): "8 bits a channel",
    }
    for arguments, sentence in wrong.items():
        said = run_python(out / "predict.py", *arguments, cwd=tmp_path)
        assert said.returncode == 2, said.stderr
        assert said.stderr.count("\n") == 1
        assert sentence in said.stderr
    assert not (tmp_path / "deep-mask.png").exists()


def test_a_wrong_call_of_the_snippet_is_one_sentence(bundle, tmp_path):
    check_snippet(bundle[0], tmp_path)


def test_every_file_that_the_card_names_is_there_and_no_other(bundle):
    out, _ = bundle
    listed = (out / "README.md").read_text().partition("## Files")[2].partition("##")[0]
    cells = [row.split("|")[1] for row in listed.splitlines() if "|" in row]
    named = {name for cell in cells for name in re.findall(r"`([\w.]+)/?`", cell)}
    assert named | {"README.md"} == {path.name for path in out.iterdir()}


def test_whoever_gets_the_bundle_may_read_every_file(bundle, tmp_path):
    ours = SimpleNamespace(student=NET, teacher=NET, classes=["a"], palette=[[0, 0, 0]], bands=RGB)
    weights = {"w": torch.zeros(1)}
    exporting._write_weights(
        SimpleNamespace(trained=SimpleNamespace(config=ours, dataset=ours, student=weights, peer=weights)), tmp_path
    )
    files = [*bundle[0].iterdir(), *tmp_path.iterdir()]
    assert "peer.safetensors" in {path.name for path in files}
    assert [path.name for path in files if not path.stat().st_mode & 0o004] == []


@pytest.mark.parametrize("held", ["file", "README.md", "code/mine.py"])
def test_nothing_but_a_bundle_is_replaced_and_it_is_said_before_the_scoring(study, tmp_path, monkeypatch, held):
    out = tmp_path / "project"
    kept = out if held == "file" else out / held
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("mine")
    monkeypatch.setattr(exporting, "evaluate_weights", lambda *_: pytest.fail("it was scored"))
    with pytest.raises(
        ConfigError, match="must be a folder, but it is a file" if held == "file" else "no bundle of ours"
    ):
        export(study, out, graphs=False)
    assert kept.read_text() == "mine"
    assert len([*tmp_path.rglob("*")]) <= 3


def test_a_bundle_whose_making_was_cut_short_is_replaced(study, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(exporting.trial_table, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(exporting, "_write_weights", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export(study, tmp_path / "out", graphs=False)
    export(study, tmp_path / "out", graphs=False)
    assert (tmp_path / "out/trials.csv").exists()


def test_a_trial_and_a_rule_to_choose_by_are_not_both_taken(study, tmp_path):
    with pytest.raises(ConfigError, match=r"^Give --by or --trial, not both\.$"):
        export(study, tmp_path / "out", by="gain", trial=0)
    with pytest.raises(StudyError, match="trial 999 does not exist"):
        export(study, tmp_path / "out", trial=999)


def test_weights_of_another_config_are_refused_and_may_be_of_another_version(study, tmp_path):
    directory = tmp_path / "study"
    shutil.copytree(study, directory)
    first, second = (directory / trial_directory("search", number) for number in (0, 1))
    shutil.rmtree(first)
    shutil.copytree(second, first)
    with pytest.raises(StudyError, match="it was trained with another version of heteroakd, or the folder was mixed"):
        export(directory, tmp_path / "out", trial=0)


def test_graphs_are_recorded_with_how_far_they_are(bundle):
    out, metrics = bundle
    assert set(metrics["files"]) == {"student.onnx", "student.pt2", "student.int8.onnx", "student.fp16.onnx"}
    for name in ("student.onnx", "student.pt2"):
        facts = metrics["files"][name]
        assert facts["size"] == "multiples of 32 from 64", facts
        assert facts["max_abs_diff"] < 1e-3
        assert facts["agreement"] >= 0.999
        assert str(ROOT).encode() not in (out / name).read_bytes()


def test_int8_and_fp16_stand_on_the_card_with_what_they_lose(bundle):
    out, metrics = bundle
    lost = [metrics["files"][f"student.{name}.onnx"]["points_lost"] for name in ("int8", "fp16")]
    assert f"| points lost |  | {lost[0]:.2f} | {lost[1]:.2f} |" in (out / "README.md").read_text()
    assert metrics["files"]["student.onnx"]["miou"] == pytest.approx(metrics["miou"], abs=1e-3)


def test_the_scripts_know_a_graph_that_takes_pixels_and_gives_ids(bundle, tmp_path):
    shutil.copytree(bundle[0], tmp_path / "out")
    dressed.dress(tmp_path / "out/student.onnx", ids=True, nhwc=True, bands=RGB)
    told = json.loads((tmp_path / "out/metrics.json").read_text())
    (tmp_path / "out/metrics.json").write_text(json.dumps({**told, "layout": "nhwc", "gives": "ids"}))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    plain, other = (snippet_onnx.Network(folder).predict(image) for folder in (bundle[0], tmp_path / "out"))
    assert (plain == other).all()


def test_an_unconfirmed_winner_is_called_lucky_and_a_gain_has_no_interval(bundle):
    out, metrics = bundle
    text = (out / "README.md").read_text()
    assert metrics["confirmed"] is None
    assert "**Not confirmed.**" in text
    assert "of 2 complete trials" in text
    assert "none over seeds is known" in text


def test_own_code_goes_along_and_is_all_that_prediction_needs(bundle, home, tiny_data, tmp_path):
    out, metrics = bundle
    assert metrics["own_code"] == [NET]
    assert (out / "code/mine_tiny.py").read_bytes() == (home / "mine_tiny.py").read_bytes()
    environment = {**os.environ, "HETEROAKD_PATH": str(out / "code"), "PYTHONPATH": str(ROOT)}
    hear = "from explorer.cli.app import main; main()"
    picture = tiny_data / "images/val/0.png"
    said = run_python("-c", hear, "predict", out, picture, "--out", tmp_path, env=environment, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "overlays/0.png").exists()
    expected = masks_of_val(out, tiny_data, tmp_path, num=1)[0]
    assert (np.array(Image.open(tmp_path / "masks/0.png")) == expected).mean() > 0.999


@pytest.fixture
def command(tmp_path):
    """`heteroakd` beside its `python`, in a folder as pip makes it."""
    folder, python = tmp_path / "bin", os.environ["WARM_PYTHON"]
    folder.mkdir()
    texts = {
        "python": f'#!/bin/sh\nexec "{python}" "$@"\n',
        "heteroakd": f'#!/bin/sh\nexec "{python}" -c "from explorer.cli.app import main; main()" "$@"\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder / "heteroakd"


def reproduced(out, work, **environment):
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "WORK": str(work), **environment}
    command = ["sh", str(out / "reproduce.sh")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=settings)


def test_reproduce_trains_each_time_and_to_the_same_miou_on_data_that_moved(bundle, command, tiny_data, tmp_path):
    moved = tmp_path / "it's my data; $(false) `x`"
    shutil.copytree(tiny_data, moved)
    for _ in range(2):
        said = reproduced(bundle[0], tmp_path / "the work", HETEROAKD=str(command), DATA=str(moved))
        assert said.returncode == 0, said.stdout + said.stderr
        assert said.stdout.count("step 2/2: ") == 1
        assert "reproduced" in said.stdout


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "Name in SOURCE a folder, wheel or URL of heteroakd-explorer, or in HETEROAKD an installed heteroakd."),
        ({"HETEROAKD": "nosuch"}, "No command nosuch. Name an installed heteroakd in HETEROAKD."),
        ({"HETEROAKD": "/bin/sh"}, "No Python of /"),
    ],
)
def test_reproduce_installs_nothing_that_was_not_named_and_says_what_is_missing(bundle, tmp_path, given, sentence):
    said = reproduced(bundle[0], tmp_path / "work", **given)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(sentence)
    assert not (tmp_path / "work/venv").exists()


def test_reproduce_finds_the_python_of_a_command_that_stands_alone_and_its_folder_under_cdpath(bundle, tmp_path):
    """`heteroakd` here only writes the log of a training, whose mIoU is another."""
    (tmp_path / "bundle").mkdir()
    for name in ("best.yaml", "metrics.json", "provenance.json", "reproduce.sh"):
        shutil.copyfile(bundle[0] / name, tmp_path / "bundle" / name)
    (tmp_path / "elsewhere/bundle").mkdir(parents=True)
    alone = tmp_path / "bin/heteroakd"
    alone.parent.mkdir()
    alone.write_text(
        f"#!{sys.executable} -s\nimport json, pathlib, sys\nout = pathlib.Path(sys.argv[4])\nout.mkdir()\n"
        "(out / 'log.jsonl').write_text(json.dumps({'miou': 2.0, 'step': 2}))\n"
    )
    alone.chmod(0o755)
    settings = {**os.environ, "HETEROAKD": str(alone), "CDPATH": str(tmp_path / "elsewhere")}
    command = ["sh", "bundle/reproduce.sh"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=settings)
    assert said.stdout.startswith("mIoU 2.00000000, in the bundle"), said.stderr
    assert said.returncode == 1


def test_reproduce_says_when_it_is_another_miou(bundle, command, tmp_path):
    out = tmp_path / "bundle"
    shutil.copytree(bundle[0], out)
    metrics = json.loads((out / "metrics.json").read_text())
    (out / "metrics.json").write_text(json.dumps({**metrics, "miou": metrics["miou"] + 1e-4}))
    said = reproduced(out, tmp_path / "work", HETEROAKD=str(command))
    assert said.returncode == 1, said.stderr
    assert "NOT within 1e-06" in said.stdout


def test_reproduce_installs_the_exact_public_versions_and_the_given_source(command, tmp_path):
    versions = {"python": "3.11.7", "heteroakd-explorer": "9.9.0", "torch": "2.13.0+cpu", "timm": None, "numpy": "2;rm"}
    (tmp_path / "reproduce.sh").write_text(reproduce.script({"versions": versions, "commit": "ab\nrm -rf x"}))
    maker = tmp_path / "maker"
    maker.write_text(f'#!/bin/sh\nmkdir -p "$3/bin"; cp "{tmp_path}/pip" "$3/bin/python"\n')
    (tmp_path / "pip").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/asked"; exit 9\n')
    for name in ("maker", "pip"):
        (tmp_path / name).chmod(0o755)
    said = reproduced(tmp_path, tmp_path / "work", PYTHON=str(maker), SOURCE="/my source")
    assert said.returncode == 9
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["-m", "pip", "install", "torch==2.13.0", "numpy==2", "/my source"]


def test_tables_hold_every_trial_and_run_nothing_in_a_spreadsheet(bundle, study, tmp_path):
    out, _ = bundle
    parquet, text = pd.read_parquet(out / "trials.parquet"), pd.read_csv(out / "trials.csv")
    assert parquet[["role", "number"]].values.tolist() == [["baseline", 0], ["search", 0], ["search", 1]]
    assert text["miou"].tolist() == pytest.approx(parquet["miou"].tolist())
    row = {**dict.fromkeys(("reason", "method"), "=1+1"), "pair": " @SUM(A1)", "number": 3, "miou": -0.5, "role": "-x"}
    mixed = {"param.tap": [True, "+cmd|' /C calc'!A0"], "=HYPERLINK(1)": ["\tx", None]}
    frame = pd.concat([blank("trials"), pd.DataFrame([row, row])]).assign(**mixed)
    trial_table.write(frame, tmp_path)
    cells = pd.read_csv(tmp_path / "trials.csv", dtype=str, keep_default_na=False)
    assert not [name for name in cells if name.startswith("=")]
    risky = [c for name in cells for c in cells[name] if c.lstrip(" ")[:1] in set("=+-@\t") and not c[1:2].isdigit()]
    assert risky == []
    assert cells["miou"].tolist() == ["-0.5", "-0.5"]
    assert pd.read_parquet(tmp_path / "trials.parquet")["param.tap"].tolist() == ["True", "+cmd|' /C calc'!A0"]


def test_a_network_that_no_exporter_takes_is_shipped_without_graphs_and_says_so(home, make_study, tiny_data, tmp_path):
    (home / "mine_moody.py").write_text(MOODY)
    make_study(tmp_path / "study", tiny_data, student="mine_moody:moody", num_trials=1)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("student.onnx", "provenance.json"):
        (out / name).write_bytes(b"of an earlier bundle")
    metrics = export(tmp_path / "study", out)
    for name in ("student.onnx", "student.pt2"):
        assert metrics["files"][name]["reason"].startswith(f"{name} was not made: ")
        assert not (out / name).exists()
    assert "was not made" in (out / "README.md").read_text()
    found = masks_of_val(out, tiny_data, tmp_path, num=1)  # by the other snippet, with this package
    assert found.shape == (1, 64, 64)
    check_snippet(out, tmp_path)


def test_the_confirmed_run_is_shipped_with_its_interval_unless_another_is_asked_for(study, tmp_path, monkeypatch):
    """The confirmed run here is search trial 1 under another number."""
    directory = tmp_path / "study"
    shutil.copytree(study, directory)
    spec, studies = load_studies(directory)
    first, second = studies["search"].get_trials()
    runs = optuna.create_study(
        study_name=study_name(spec, "confirmed"), storage=storages.open_storage(spec, directory), direction="maximize"
    )
    runs.add_trial(second)
    old = directory / trial_directory("search", 1)
    shutil.copytree(old, directory / trial_directory("confirmed", 0))
    figures = {"search_miou": 0.5, "val_miou": 0.4, "curse": 0.1, "miou": 0.41, "miou_low": 0.35, "miou_high": 0.47}
    figures |= {"images_low": 0.33, "images_high": 0.52}
    gains = {"gain": 0.02, "gain_low": -0.01, "gain_high": 0.05}
    choice = SimpleNamespace(
        number=7, run=0, seed=1234, val_miou=second.value, baseline_miou=None, split="test", separable=False,
        winner=False, num_open=1, sentences=["Trials 7 and 3 are within noise."],
        row=pd.Series({"num_seeds": 5, **figures, **gains}),
    )  # fmt: skip
    monkeypatch.setattr(chosen, "choice", lambda spec, directory: choice)
    metrics = export(directory, tmp_path / "out", graphs=False)
    text = (tmp_path / "out/README.md").read_text()
    assert (metrics["trial"], metrics["miou"]) == (7, second.value)
    assert metrics["confirmed"]["miou_low"] == 0.35
    assert "Over images instead, that mean has the 90 % interval 33.00 to 52.00 %." in text
    assert "| gain over the student alone | +2.00 | -1.00 | +5.00 |" in text
    assert "**It is not told apart from the other finalists**" in text
    assert "+10.00 points more than on fresh seeds: the winner's curse" in text
    assert "1 runs of the confirmation are still open" in text
    best = export(directory, tmp_path / "best", by="miou", graphs=False)
    assert (best["chosen"], best["confirmed"]) == ("miou", None)
    other = export(directory, tmp_path / "other", trial=0, graphs=False)
    assert (other["chosen"], other["miou"]) == ("asked", first.value)
    shipped, asked = (load_file(tmp_path / name / "student.safetensors") for name in ("out", "other"))
    trained = load_file(next(old.glob("*.safetensors")))
    assert all((trained[f"student.{name}"] == tensor).all() for name, tensor in shipped.items())
    assert any((asked[name] != tensor).any() for name, tensor in shipped.items())
