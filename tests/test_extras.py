"""A verb that needs an optional package says so in one sentence; a sweep, its trials and its workers need none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from explorer.cli import app
from trainables.errors import MissingExtra
from trainables.extras import EXTRAS, has, need

BLOCKED = ("tifffile", "imagecodecs", "aiohttp", "dash", "flask", "grpc", "kaleido", "mlflow", "onnx", "onnx_ir")
BLOCKED += ("onnxruntime", "onnxscript", "optuna_dashboard", "plotly", "psycopg", "psycopg2", "nbclient", "ipykernel")
BLOCKED += ("pycocotools", "wandb", "av")
BASE = (
    "trainables.tune",
    "trainables.run",
    "explorer.launch.sweep",
    "explorer.launch.remote",
    "explorer.confirm.run",
    "explorer.launch.dry_run",
)
BASE += (
    "explorer.results.trials",
    "explorer.statistics.sensitivity",
    "explorer.bundle.export",
    "explorer.bundle.predict",
    "explorer.show.pictures",
)


def test_a_trial_is_trained_and_what_a_sweep_and_a_worker_import_is_there_without_any_extra(tmp_path):
    """One after the other in one process. For the imports aiohttp is there: Ray looks for it, and goes on without."""
    (tmp_path / "trial.yaml").write_text(
        "method: task\nsteps: 1\nbatch_size: 2\ncrop_height: 64\ncrop_width: 64\nstudent: fpn:tu-test_resnet\n"
        "device: cpu\nnum_threads: 1\neval_every: 1\n"
    )
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED}))\nsys.argv[1:] = "
        f"['train', {str(tmp_path / 'trial.yaml')!r}, '--out', {str(tmp_path / 'out')!r}]\n"
        "from explorer.cli import app\ntry: app.main()\nexcept SystemExit: pass\n"
        f"del sys.modules['aiohttp']\nimport {', '.join(BASE)}\nprint('imported')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "after 1 steps" in done.stdout, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "imported", done.stderr[-2000:]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("missing", "verb", "sentence"),
    [
        (
            "dash",
            ["dashboard", "study", "--live"],
            "dash is not installed. `pip install 'heteroakd-explorer[dashboard]'`.",
        ),
        ("plotly", ["dashboard", "study"], "plotly is not installed. `pip install 'heteroakd-explorer[dashboard]'`."),
        ("plotly", ["figures", "study"], "plotly is not installed. `pip install 'heteroakd-explorer[dashboard]'`."),
        ("kaleido", ["figures", "study"], "kaleido is not installed. `pip install 'heteroakd-explorer[dashboard]'`."),
        (
            "onnxruntime",
            ["export", "study"],
            "onnxruntime is not installed. `pip install 'heteroakd-explorer[export]'`, or export with --no-onnx.",
        ),
        (
            "onnxruntime",
            ["bench", "best"],
            "onnxruntime is not installed. `pip install 'heteroakd-explorer[export]'`.",
        ),
        (
            "onnxscript",
            ["export", "study"],
            "onnxscript is not installed. `pip install 'heteroakd-explorer[export]'`, or export with --no-onnx.",
        ),
    ],
)
def test_a_verb_without_its_extra_names_it_before_any_work(missing, verb, sentence, tmp_path, monkeypatch, capsys):
    """The folder does not exist: what is missing is said before it is looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["heteroakd", *verb])
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == f"Error: {sentence}\n"


def test_without_graphs_the_export_asks_for_no_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(sys, "argv", ["heteroakd", "export", "study", "--no-onnx"])
    with pytest.raises(SystemExit):
        app.main()
    assert "study" in (told := capsys.readouterr().err)
    assert "not installed" not in told


@pytest.mark.parametrize(("extra", "module"), [(extra, module) for extra, known in EXTRAS.items() for module in known])
def test_every_optional_module_is_asked_for_by_name_and_extra(extra, module, monkeypatch):
    need(module)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as missing:
        need(module)
    assert str(missing.value) == f"{module} is not installed. `pip install 'heteroakd-explorer[{extra}]'`."


def test_a_module_in_a_package_that_is_not_there_is_missing():
    assert not has("no_such_package.inside")


def test_no_module_but_these_imports_an_optional_package():
    """Each has its `need` before it, in the verb or in the function."""
    optional = {module.partition(".")[0] for known in EXTRAS.values() for module in known} - {"google", "aiohttp"}
    root = Path(__file__).parents[1]
    found = set()
    for path in [*root.glob("explorer/**/*.py"), *root.glob("trainables/**/*.py"), *root.glob("search_spaces/**/*.py")]:
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]) and words[1].partition(".")[0] in optional:
                found.add((path.name, words[1].partition(".")[0]))
    assert found == {
        ("cocomask.py", "pycocotools"),
        ("video.py", "av"),
        ("loggers_wandb.py", "wandb"),
        ("wandb_summary.py", "wandb"),
        ("deep.py", "imagecodecs"),
        ("deep.py", "tifffile"),
        ("dressed.py", "onnx"),
        ("exported.py", "onnx"),
        ("exported.py", "onnxruntime"),
        ("hf.py", "transformers"),
        ("loggers_backends.py", "mlflow"),
        ("proxy.py", "grpc"),
        ("quantised.py", "onnx"),
        ("quantised.py", "onnxruntime"),
        ("snippet_bench.py", "onnxruntime"),
        ("snippet_onnx.py", "onnxruntime"),
        ("study.py", "plotly"),  # a type
    }
