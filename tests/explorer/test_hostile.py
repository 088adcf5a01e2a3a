"""A study folder that somebody hands over may say anything; nothing in it is run, followed or shown as markup."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import subprocess

import optuna
import pytest
import yaml
from markdown_it import MarkdownIt
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from dashboards import report
from explorer.bundle.export import export
from explorer.bundle.markdown import escape
from explorer.results.trials import load_frames, load_studies
from explorer.search.arms import study_name
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import HeteroakdError

SCRIPT = "<script>alert('x')</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
HUGE = "A" * 10_000_000
UP = "../../../../etc/passwd"
MARKUP = "<img src=x onerror=hit()> [x](javascript:hit) `|` **b** https://evil.example\n\n# heading\n- item"


@pytest.fixture
def hostile(tmp_path):
    """A folder whose every text is hostile: name, reasons, pairs, params, attributes, values, config."""
    directory = tmp_path / "study"
    directory.mkdir()
    spec = {
        "name": f"{SCRIPT}{UP}",
        "space": {"projector_tap": ["stage3", "stage4"], "lambda_kd": {"low": 0.01, "high": 10.0, "log": True}},
        "base": {"steps": 4},
        "num_trials": 10,
    }
    (directory / SPEC_FILE).write_text(yaml.safe_dump(spec))
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(directory / "study.journal")))
    parsed = StudySpec.parse(spec)
    space = {"lambda_kd": FloatDistribution(0.01, 10.0, log=True), "projector_tap": CategoricalDistribution((IMAGE,))}
    for role in ("baseline", "search"):
        study = optuna.create_study(study_name=study_name(parsed, role), storage=storage, direction="maximize")
        study.set_user_attr("costs", {SCRIPT: {"parameters_millions": math.inf}})
        study.set_user_attr("teachers", {IMAGE: 0.5})
        study.set_user_attr("identity", {"data": SCRIPT})
        for number in range(8):
            state = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING][number % 4]
            study.add_trial(
                optuna.trial.create_trial(
                    state=state,
                    value=0.5 if state == TrialState.COMPLETE else None,
                    params={"lambda_kd": 0.1 * (number + 1), "projector_tap": IMAGE},
                    distributions=space,
                    intermediate_values={1: math.nan, 2: math.inf, 3: -math.inf, 4: 0.5},
                    user_attrs={
                        "student": SCRIPT,
                        "teacher": IMAGE,
                        "pair": f"{SCRIPT}{number}",
                        "method": HUGE if number == 0 else SCRIPT,
                        "seed": 0,
                        "budget": 4,
                        "seconds": math.inf,
                        "reason": HUGE if number == 2 else SCRIPT,
                        "config": {"student": UP, "teacher": UP, "data": UP, "method": "kd", "teacher_checkpoint": UP},
                    },
                )
            )
    return directory


@pytest.fixture
def no_pickles(monkeypatch):
    """Whoever unpickles fails the test."""

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)


def test_the_page_shows_text_and_no_markup_and_stays_small(hostile, no_pickles, tmp_path):
    page = report.write(load_frames(hostile), tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert" in page or "\\u003cscript" in page
    assert len(page) < 8_000_000


def test_export_refuses_what_its_config_names(hostile, no_pickles, tmp_path):
    with pytest.raises(HeteroakdError):
        export(hostile, tmp_path / "out", graphs=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left", ["tuner.pkl", "searcher-state-1.pkl", "study.pkl"])
def test_pickles_in_the_folder_are_not_read(hostile, no_pickles, tmp_path, left):
    class Bomb:
        def __reduce__(self):
            return (print, ("run",))

    (hostile / "tune").mkdir()
    for place in (hostile / left, hostile / "tune" / left):
        place.write_bytes(pickle.dumps(Bomb()))
    report.write(load_frames(hostile), tmp_path / "page.html")


@pytest.mark.parametrize("name", [UP, f"/{UP}", "..", ".", "~", SCRIPT, "a/b", "\x00", "A" * 200])
def test_a_study_name_leads_to_a_folder_below_sweeps(name):
    folder = StudySpec.parse({"name": name}).folder_name
    assert folder not in ("", ".", "..")
    assert len(folder) <= 100
    assert set(folder) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
    assert not folder.startswith((".", "-"))


def test_a_spec_may_not_construct_objects(tmp_path):
    (tmp_path / "spec.yaml").write_text("name: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(HeteroakdError, match="is not YAML"):
        StudySpec.load(tmp_path / "spec.yaml")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused_in_a_spec(value):
    with pytest.raises(HeteroakdError):
        StudySpec.parse({"cpus_per_trial": value})
    with pytest.raises(HeteroakdError):
        StudySpec.parse({"space": {"lambda_kd": {"low": 0.1, "high": value}}}).check()


def test_a_journal_of_garbage_is_one_sentence(hostile):
    journal = hostile / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + json.dumps({"op_code": 99, "worker_id": "x"}) + "\n" + "".join(lines[1:]))
    with pytest.raises(HeteroakdError):
        load_frames(hostile)


@pytest.mark.parametrize(
    "text", [MARKUP, "a | b\r\n---|---", "</td><script>x</script>", "\u202eabc\x00", "*x*_y_~~z~~"]
)
def test_hostile_text_is_one_line_of_text_in_any_place(text):
    page = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .parse(f"# A {escape(text)}\n\n| h | h |\n| --- | --- |\n| {escape(text)} | 1 |\n\nIt is {escape(text)}.")
    )
    inline = [token for block in page if block.type == "inline" for token in block.children]
    assert {token.type for token in inline} <= {"text", "text_special"}
    assert [token.type for token in page].count("td_open") == 2
    assert [token.type for token in page].count("heading_open") == 1


def test_a_study_of_hostile_texts_makes_a_bundle_of_the_same_form(make_study, tiny_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    names = [MARKUP, "=1+1", "| pipe |"]
    (data / "dataset.yaml").write_text(yaml.safe_dump({"name": MARKUP, "classes": names}))
    make_study(tmp_path / "study", data, name=MARKUP, num_trials=1)
    _, studies = load_studies(tmp_path / "study")
    config = studies["search"].get_trials()[0].user_attrs["config"]
    export(tmp_path / "study", tmp_path / "out", graphs=False)
    page = MarkdownIt("commonmark").enable("table").parse((tmp_path / "out/README.md").read_text())
    kinds = {token.type for block in page if block.type == "inline" for token in block.children}
    assert not kinds & {"html_inline", "link_open", "image"}
    assert not {token.type for token in page} & {"html_block"}
    assert [token.type for token in page].count("heading_open") == 8
    assert yaml.safe_load((tmp_path / "out/best.yaml").read_text()) == config
    assert subprocess.run(["sh", "-n", tmp_path / "out/reproduce.sh"]).returncode == 0
