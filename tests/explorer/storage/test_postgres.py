"""The bridge's whole life in a PostgreSQL server that the test starts."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from explorer.cli import app
from explorer.storage import storages
from trainables.errors import StudyError

HERE = Path(__file__).parent
CLIENT = HERE / "client.py"


def _load(path):
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


client = _load(CLIENT)
postgres = _load(HERE.parents[2] / "benchmarks" / "postgres.py")
pytestmark = pytest.mark.skipif(
    postgres.binaries() is None, reason="No PostgreSQL server here (Debian: apt-get install postgresql)."
)


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="No PostgreSQL driver here (pip install 'heteroakd-explorer[postgres]').")
    with postgres.server(durable=False) as running:
        yield running


@pytest.fixture
def url(server, request):
    """An empty database."""
    return server.create(request.node.name)


def run(*arguments, **options):
    return subprocess.Popen(
        [os.environ["WARM_PYTHON"], str(CLIENT), *map(str, arguments)], stdout=subprocess.PIPE, text=True, **options
    )


def trials(url, name, folder):
    storage = storages.open_storage(client.spec(url, name), folder)
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def assert_true(found):
    """Every trial as the client's doc says, whoever ran it: states, every value, no trial twice."""
    assert [trial.number for trial in found] == list(range(len(found)))
    for trial in found:
        full = {step: client.level(trial.number) * step / 9 for step in range(1, 10)}
        if trial.number % 5 == 4:
            assert trial.state == TrialState.FAIL
            assert trial.user_attrs["reason"] == "mIoU is nan at step 3."
            assert trial.intermediate_values == pytest.approx({step: full[step] for step in (1, 2)})
        elif client.level(trial.number) == 0.5:
            assert (trial.state, trial.value) == (TrialState.COMPLETE, pytest.approx(0.5))
            assert trial.intermediate_values == pytest.approx(full)
        else:
            assert trial.state == TrialState.PRUNED
            assert trial.intermediate_values == pytest.approx({1: full[1]})


def test_a_study_lives_in_postgres_and_another_process_reads_the_truth(url, tmp_path):
    with run(url, "s") as process:
        told = process.stdout.read().split("\n")
    assert process.returncode == 0
    assert told[0] == "adopted"
    found = trials(url, "s", tmp_path)
    assert len(found) == 10
    assert_true(found)


def test_a_killed_client_is_succeeded_by_another_and_no_trial_is_lost_or_doubled(url, tmp_path):
    told = []
    for number_of_lines in (15, 12):
        with run(url, "s") as process:
            told += [process.stdout.readline() for _ in range(number_of_lines)]
            process.kill()
    with run(url, "s") as process:
        last = process.stdout.read()
    assert process.returncode == 0
    found = trials(url, "s", tmp_path)
    assert len(found) == 10
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    assert all(line.startswith("adopted") for line in (told[0], told[15], last))
    assert_true(found)


def test_two_studies_of_different_names_share_a_new_database_at_once(url, tmp_path):
    """Both create the tables in the same moment."""
    with run(url, "a") as first, run(url, "b") as second:
        first.stdout.read()
        second.stdout.read()
    assert (first.returncode, second.returncode) == (0, 0)
    for name in ("a", "b"):
        found = trials(url, name, tmp_path)
        assert len(found) == 10
        assert_true(found)


def test_the_dashboard_of_a_study_in_postgres_shows_no_password(url, server, tmp_path, monkeypatch, capsys):
    with run(url, "s") as process:
        process.stdout.read()
    client.spec(url, "s").save(tmp_path)
    monkeypatch.setattr(sys, "argv", ["heteroakd", "dashboard", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert not end.value.code
    page = (tmp_path / "dashboard.html").read_text()
    assert "10 of 10" in page
    assert server.password not in page + capsys.readouterr().out


def test_a_plain_postgres_url_takes_the_driver_that_is_there(server, tmp_path):
    for driver in ("postgresql", "postgresql+psycopg", "postgres"):
        url = server.url(driver=driver)
        storages.open_storage(client.spec(url, "s"), tmp_path)


def test_a_refused_password_is_said_but_not_shown(server, tmp_path):
    url = server.url().replace(server.password, "wrong-secret")
    with pytest.raises(
        StudyError, match=r"'postgresql.*://heteroakd:\*\*\*@127.*password authentication fail"
    ) as error:
        storages.open_storage(client.spec(url, "s"), tmp_path)
    assert "wrong-secret" not in str(error.value)


def test_a_database_that_is_not_there_is_one_sentence(server, tmp_path):
    with pytest.raises(StudyError, match=r'"nowhere" does not exist') as error:
        storages.open_storage(client.spec(server.url("nowhere"), "s"), tmp_path)
    assert server.password not in str(error.value)
    assert "\n" not in str(error.value)
