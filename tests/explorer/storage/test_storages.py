"""Which storage a spec names, what is said when it cannot be opened, and that no password is ever shown."""

from __future__ import annotations

import importlib.util
import io
import json
import stat
import sys

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from explorer.cli import app as cli
from explorer.redact import redact
from explorer.storage import storages
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import MissingExtra, StudyError

SECRET = "hunter2-secret"
URL = f"postgresql://user:{SECRET}@127.0.0.1:1/db"  # nobody listens on port 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("mysql+pymysql://u:p@ss:w/rd@h:3306/d", "mysql+pymysql://u:***@h:3306/d"),
        ("redis://:p@h", "redis://:***@h"),
        ("open 'postgresql://u:p@h/d' and then", "open 'postgresql://u:***@h/d' and then"),
        ("postgresql://h/d?user=u&password=p&sslmode=require", "postgresql://h/d?user=u&password=***&sslmode=require"),
        ("host=h PASSWORD=p port=1", "host=h PASSWORD=*** port=1"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("grpc://127.0.0.1:13000", "grpc://127.0.0.1:13000"),
        ("http://127.0.0.1:8265/a and b@c.d", "http://127.0.0.1:8265/a and b@c.d"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("journal", "journal"),
    ],
)
def test_a_password_in_a_text_is_hidden_and_nothing_else(text, shown):
    assert redact(text) == shown


def test_a_specs_repr_hides_the_password_that_its_file_keeps_for_its_owner_alone(tmp_path):
    spec = StudySpec(storage=URL)
    assert SECRET not in repr(spec) + str(spec) + repr([spec])
    assert "user:***@127.0.0.1" in repr(spec)
    spec.save(tmp_path)
    assert stat.S_IMODE((tmp_path / SPEC_FILE).stat().st_mode) == 0o600
    assert StudySpec.load(tmp_path / SPEC_FILE) == spec


def test_a_spec_without_a_password_is_an_ordinary_file(tmp_path):
    (tmp_path / "other").touch()
    StudySpec(storage="env:DATABASE").save(tmp_path)
    assert (tmp_path / SPEC_FILE).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_storage_is_found_in_the_environment_and_not_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_STORAGE", "sqlite")
    spec = StudySpec(storage="env:STUDY_STORAGE")
    storages.open_storage(spec, tmp_path)
    assert (tmp_path / "study.db").exists()
    spec.save(tmp_path)
    assert yaml.safe_load((tmp_path / SPEC_FILE).read_text())["storage"] == "env:STUDY_STORAGE"


@pytest.mark.parametrize("value", [None, ""])
def test_an_unset_variable_is_one_sentence(tmp_path, monkeypatch, value):
    monkeypatch.delenv("STUDY_STORAGE", raising=False)
    if value is not None:
        monkeypatch.setenv("STUDY_STORAGE", value)
    with pytest.raises(StudyError, match=r"STUDY_STORAGE is not set here\. Set it to the storage's URL"):
        storages.open_storage(StudySpec(storage="env:STUDY_STORAGE"), tmp_path)


def test_a_server_that_does_not_run_is_one_sentence(tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(StudyError, match=r"'postgresql://user:\*\*\*@127.0.0.1:1/db' cannot be opened") as error:
        storages.open_storage(StudySpec(storage=URL), tmp_path)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_driver_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtra, match=r"^psycopg is not installed. `pip install 'heteroakd-explorer\[postgres\]'`\.$"
    ):
        storages.open_storage(StudySpec(storage=URL), tmp_path)


@pytest.mark.parametrize("storage", ["jurnal", f"nosuchdb://u:{SECRET}@h/d", f"mysql+nosuch://u:{SECRET}@h/d"])
def test_a_storage_that_does_not_exist_is_one_sentence(tmp_path, storage):
    with pytest.raises(StudyError, match=r"No storage 'jurnal'. Choose journal|cannot be opened|No storage") as error:
        storages.open_storage(StudySpec(storage=storage), tmp_path)
    assert SECRET not in str(error.value)


@pytest.fixture
def study_folder(tmp_path):
    """A folder whose study.yaml names a database with a password that cannot be reached."""
    folder = tmp_path / "study"
    folder.mkdir()
    base = {"steps": 2, "eval_every": 1, "crop_height": 32, "crop_width": 32, "pair": "fpn_r18:mbv3s"}
    StudySpec.parse({"name": "s", "space": {"lambda_kd": [0.1, 1.0]}, "base": base, "storage": URL}).save(folder)
    return folder


@pytest.mark.parametrize(
    "verb",
    [
        ("resume", "{}"),
        ("dashboard", "{}"),
        ("export", "{}", "--out", "{}/best"),
        ("storage", "{}", "--port", "1024"),
        ("sweep", "--preset", "lambdas", "--storage", URL, "--out", "{}/new"),
        ("sweep", "--preset", "lambdas", "--set", f"lr={URL}", "--out", "{}/new"),
        ("sweep", "--preset", "lambdas", "--storage", f"grpc://u:{SECRET}@h:1", "--out", "{}/new"),
        ("sweep", "{}/wrong.yaml"),
        ("sweep", "{}/torn.yaml"),
        ("submit", "{}/study.yaml", "--address", "http://127.0.0.1:1", "--out", "/nowhere"),
        ("submit", "{}/wrong.yaml", "--address", "http://127.0.0.1:1", "--out", "/nowhere"),
    ],
)
def test_no_verb_shows_a_password(study_folder, monkeypatch, capsys, verb):
    pytest.importorskip("psycopg")
    (study_folder / "wrong.yaml").write_text(f"preset: lambdas\nstorage: [{URL}]\n")
    (study_folder / "torn.yaml").write_text(f"preset: lambdas\nstorage: [{URL}\nseeds: [0]\n")
    monkeypatch.setattr(sys, "argv", ["heteroakd", *(argument.format(study_folder) for argument in verb)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert "Error: " in said.err
    assert SECRET not in said.out + said.err


def _recorded(storage, folder):
    """A study with a complete, a pruned, a failed, a running and a waiting trial, written as the product writes."""
    study = optuna.create_study(
        storage=storages.open_storage(StudySpec(storage=storage), folder), study_name="s", direction="maximize"
    )
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING):
        trial = study.ask()
        trial.suggest_float("lambda_kd", 0.01, 10.0, log=True)
        for step in range(1, 4 if state == TrialState.COMPLETE else 2):
            trial.report(step / 10, step)
        if state.is_finished():
            study.tell(trial, 0.3 if state == TrialState.COMPLETE else None, state=state)
    study.enqueue_trial({"lambda_kd": 1.0})


@pytest.mark.parametrize(("storage", "file"), [("journal", "study.journal"), ("sqlite", "study.db")])
@pytest.mark.filterwarnings("ignore")  # optuna-dashboard's own
def test_optuna_dashboard_opens_the_same_storage_and_sees_what_was_recorded(tmp_path, storage, file):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed.")
    _recorded(storage, tmp_path)
    opened = (  # as its command line does
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / file)))
        if storage == "journal"
        else f"sqlite:///{tmp_path / file}"
    )
    app = dashboard.wsgi(opened)

    (summary,) = _get(app, "/api/studies")["study_summaries"]
    assert summary["study_name"] == "s"
    detail = _get(app, f"/api/studies/{summary['study_id']}")
    assert detail["directions"] == ["maximize"]
    assert [trial["state"] for trial in detail["trials"]] == ["Complete", "Pruned", "Fail", "Running", "Waiting"]
    assert [[(v["step"], v["value"]) for v in trial["intermediate_values"]] for trial in detail["trials"]] == [
        [(1, 0.1), (2, 0.2), (3, 0.3)],
        [(1, 0.1)],
        [(1, 0.1)],
        [(1, 0.1)],
        [],
    ]
    assert detail["trials"][0]["values"] == [0.3]
    assert detail["trials"][0]["params"][0]["name"] == "lambda_kd"


def _get(app, path):
    answer = {}
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
    }  # fmt: skip
    body = b"".join(app(environ, lambda status, headers, exc_info=None: answer.update(status=status)))
    assert answer["status"].startswith("200"), body
    return json.loads(body)
