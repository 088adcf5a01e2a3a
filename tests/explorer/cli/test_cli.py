"""The command line: instant help, and one sentence with exit code 2 for every wrong input, before any worker starts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from explorer.cli import app

BASE = {"steps": 2, "eval_every": 1, "crop_height": 32, "crop_width": 32}


@pytest.fixture
def no_ray(monkeypatch):
    """Starting Ray is a failure: bad input must be refused before."""
    import ray

    def refuse(*args, **kwargs):
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", refuse)


@pytest.fixture
def heteroakd(monkeypatch, capsys, no_ray, tmp_path):
    """Run the command in an empty folder: (exit code, what it said on stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["heteroakd", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def folder(tmp_path):
    """A data set of two images a split, as a function of what is wrong with it."""

    def make(*, splits=("train", "val"), size=(32, 32), mode="L", wrong_id=0):
        root = tmp_path / "set"
        for split in splits:
            for kind in ("images", "labels"):
                (root / kind / split).mkdir(parents=True)
            for name in ("a", "b"):
                Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / "images" / split / f"{name}.png")
                mask = Image.fromarray(np.full(size, wrong_id, np.uint8))
                mask.convert(mode).save(root / "labels" / split / f"{name}.png")
        (root / "dataset.yaml").write_text(yaml.safe_dump({"name": "set", "classes": ["x", "y"]}))
        return root

    return make


def spec(tmp_path, **values):
    path = tmp_path / "spec.yaml"
    path.write_text(
        yaml.safe_dump(
            {"space": {"lambda_kd": {"low": 0.1, "high": 1}}, **values, "base": {**BASE, **values.get("base", {})}}
        )
    )
    return path


def refused(result, *parts):
    code, said = result
    assert code == 2
    assert said.startswith("Error: ")
    assert "Traceback" not in said
    for part in parts:
        assert part in said


def test_help_imports_neither_torch_nor_ray():
    script = (
        "import sys; sys.argv = ['heteroakd', '--help']\n"
        "from explorer.cli import app\n"
        "try: app.main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'ray', 'optuna', 'pandas', 'plotly', 'numpy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
    for verb in ("sweep", "resume", "dashboard", "export", "train", "pairs"):
        assert verb in said


def test_nothing_to_search_is_refused(heteroakd):
    refused(heteroakd("sweep"), "give a spec file, or --preset")


def test_an_unknown_preset_is_refused(heteroakd):
    refused(heteroakd("sweep", "--preset", "lamdas"), "'lamdas'", "Nearest: lambdas")


def test_an_unknown_pair_is_refused(heteroakd):
    refused(heteroakd("sweep", "--preset", "lambdas", "--pair", "r18:foo"), "'r18:foo'", "`heteroakd pairs` lists all")


def test_a_negative_lambda_is_refused(heteroakd, tmp_path):
    refused(heteroakd("sweep", spec(tmp_path, base={"lambda_hakd": -1.0})), "lambda_hakd must be >= 0", "-1.0")
    bad = spec(tmp_path, space={"lambda_kd": {"low": -1, "high": 1}})
    refused(heteroakd("sweep", bad), "lambda_kd must be >= 0", "-1")


def test_a_dimension_that_nothing_reads_is_refused(heteroakd, tmp_path):
    bad = spec(tmp_path, space={"lambda_hakd": {"low": 0.1, "high": 1}}, base={"method": "kd"})
    refused(heteroakd("sweep", bad), "lambda_hakd is read only when method is heteroakd", "'kd'")


@pytest.mark.parametrize("name", ["seed", "steps", "data"])
def test_a_field_that_cannot_be_compared_across_is_no_dimension(heteroakd, tmp_path, name):
    refused(heteroakd("sweep", spec(tmp_path, space={name: [1, 2]})), f"{name!r} is no dimension")


def test_a_missing_data_set_is_refused(heteroakd, tmp_path):
    refused(heteroakd("sweep", spec(tmp_path, base={"data": "erth"})), "'erth'", "Nearest: earth")


def test_a_missing_split_is_refused(heteroakd, tmp_path, folder):
    refused(heteroakd("sweep", spec(tmp_path, base={"data": str(folder(splits=("train",)))})), "'val' is missing")


def test_an_rgb_mask_is_refused(heteroakd, tmp_path, folder):
    refused(heteroakd("sweep", spec(tmp_path, base={"data": str(folder(mode="RGB"))})), "labels/train/a.png", "RGB")


def test_an_id_out_of_range_is_refused(heteroakd, tmp_path, folder):
    result = heteroakd("sweep", spec(tmp_path, base={"data": str(folder(wrong_id=9))}))
    refused(result, "labels/train/a.png holds id 9, but dataset.yaml names 2 classes (0-1) and ignore_index 255.")


def test_what_cannot_be_scored_is_refused_before_anything_is_written(heteroakd, tmp_path, folder):
    bad = spec(tmp_path, base={"data": str(folder(wrong_id=255))})
    refused(heteroakd("sweep", bad, "--out", tmp_path / "study"), "split 'train' of ", "has no labelled pixel")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"folds": 5}, ("folds is 5", "hold 4 images. Set at most 4.")),
        ({"folds": 1}, ("folds must be >= 2, got 1.",)),
        ({"folds": 2, "fold_by": "{scene}_*"}, ("fold_by '{scene}_*' does not fit ", "a.png")),
        ({"fold_by": "{scene}_*"}, ("fold_by '{scene}_*' does not fit ", "a.png")),
    ],
)
def test_folds_that_cannot_be_cut_are_refused(heteroakd, tmp_path, folder, fields, parts):
    data = folder()
    for number, mask in enumerate(sorted(data.glob("labels/*/*.png"))):
        ids = np.zeros((32, 32), np.uint8)
        ids[number:] = 1
        Image.fromarray(np.roll(ids, 9, axis=0)).save(mask)
    refused(heteroakd("sweep", spec(tmp_path, base={"data": str(data), **fields}), "--out", tmp_path / "out"), *parts)
    assert not (tmp_path / "out").exists()


def test_images_and_labels_of_two_sizes_are_refused(heteroakd, tmp_path, folder):
    refused(heteroakd("sweep", spec(tmp_path, base={"data": str(folder(size=(16, 32)))})), "32x32", "32x16")


def test_a_tap_that_leaves_one_cell_is_refused_with_the_shapes(heteroakd, tmp_path):
    refused(heteroakd("sweep", spec(tmp_path)), "1 cell(s) on a 32x32 crop", "256 x 1 x 1")


def test_an_unknown_model_is_refused(heteroakd, tmp_path):
    refused(heteroakd("sweep", spec(tmp_path, base={"student": "segfromer:mit_b0"})), "Nearest: segformer")


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"sampler": "tpa"}, ("Unknown sampler 'tpa'", "Nearest: tpe")),
        ({"pruner": "hyper"}, ("Unknown pruner 'hyper'", "Nearest: hyperband")),
        ({"sampler_options": {"warmth": 3}}, ("has no option 'warmth'",)),
        ({"sampler": "grid"}, ("grid sampler needs a list of choices",)),
        ({"storage": "nosuch://user:secret@host/db"}, ("No storage 'nosuch://user:***@host/db'",)),
        ({"num_trials": 0}, ("num_trials must be >= 1",)),
        ({"trails": 3}, ("Unknown field 'trails'", "Nearest: num_trials")),
        ({"enqueue": [{"lambda_kd": 50}]}, ("lambda_kd = 50", "outside")),
        ({"enqueue": [{"lr": 0.1}]}, ("'lr', which is no dimension",)),
        ({"space": {}}, ("nothing to search",)),
    ],
)
def test_a_wrong_spec_is_refused(heteroakd, tmp_path, values, parts):
    result = heteroakd("sweep", spec(tmp_path, **values, base={"projector_tap": "stage1"}))
    refused(result, *parts)
    assert "secret" not in result[1]


def test_a_folder_with_a_study_is_not_overwritten(heteroakd, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "study.yaml").write_text("name: x")
    refused(heteroakd("sweep", "--preset", "lambdas", "--out", "there"), "already holds a study", "heteroakd resume")


@pytest.mark.parametrize("verb", ["resume", "dashboard", "export"])
def test_a_folder_without_a_study_is_refused(heteroakd, verb):
    refused(heteroakd(verb, "nowhere"), "nowhere holds no study")


@pytest.mark.parametrize(
    "arguments",
    [
        ("figures", "study", "--out", "file"),
        ("export", "study", "--out", "file"),
        ("export", "study", "--out", "file/below"),
        ("dashboard", "study", "--out", "file/page.html"),
        ("dashboard", "study", "--out", "folder"),
        ("pictures", "study", "--trial", 0, "--out", "folder"),
    ],
)
def test_a_place_to_write_to_is_refused_before_the_study_is_read(heteroakd, tmp_path, arguments):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    result = heteroakd(*arguments)
    refused(result, f"Error: {arguments[-1].partition('/')[0]}", "Give a")
    assert "Errno" not in result[1]


def test_a_config_with_a_wrong_field_is_refused(heteroakd, tmp_path):
    (tmp_path / "trial.yaml").write_text("temperature: -1.0\n")
    refused(heteroakd("train", "trial.yaml"), "trial.yaml: temperature must be > 0", "-1.0")
    refused(heteroakd("train", "other.yaml"), "other.yaml cannot be read")


@pytest.mark.parametrize("arguments", [("--set", "lr"), ("--seeds", "a,b")])
def test_malformed_options_are_refused(heteroakd, arguments):
    refused(heteroakd("sweep", "--preset", "lambdas", *arguments), arguments[0])


def test_seeds_that_are_negative_or_twice_are_refused(heteroakd):
    refused(heteroakd("sweep", "--preset", "lambdas", "--seeds", "0,-1"), "seeds must be different and >= 0")
    refused(heteroakd("sweep", "--preset", "lambdas", "--seeds", "1,1"), "[1, 1]")
    refused(heteroakd("sweep", "--preset", "lambdas", "--set", "seed=3"), "List the seeds under `seeds`")


def test_a_grid_with_too_many_trials_is_refused(heteroakd, tmp_path):
    bad = spec(tmp_path, space={"lambda_kd": [0.1, 1.0]}, sampler="grid", num_trials=3)
    refused(heteroakd("sweep", bad), "num_trials is 3, but the grid has 2 points")


def test_a_refused_spec_leaves_no_study_behind(heteroakd, tmp_path):
    bad = spec(tmp_path, sampler="tpa", base={"projector_tap": "stage1"})
    refused(heteroakd("sweep", bad, "--out", "study"), "tpa")
    assert not (tmp_path / "study").exists()


def test_cuda_without_a_gpu_is_refused(heteroakd, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "trial.yaml").write_text("method: task\nsteps: 1\ndevice: cuda\n")
    refused(heteroakd("train", "trial.yaml"), "finds no CUDA device")


def test_an_image_size_that_no_encoder_takes_is_refused(heteroakd):
    refused(heteroakd("pairs", "--height", 100), "multiples of 32")


def test_a_folder_that_cannot_be_made_is_refused(heteroakd, tmp_path):
    (tmp_path / "file").write_text("")
    refused(heteroakd("train", tmp_path / "file" / "x.yaml"), "cannot be read")
    (tmp_path / "empty.yaml").write_text("space: {lambda_kd: {low: 0.1, high: 1}}\nbase:\nsampler: tpa\n")
    refused(heteroakd("sweep", "empty.yaml"), "tpa")
    refused(heteroakd("sweep", "empty.yaml", "--set", "lr={"), "--set lr needs a YAML value")
