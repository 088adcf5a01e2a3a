"""A study's folder may have any name: a URL of a file leads to that file, and still does when it is made absolute."""

from __future__ import annotations

from urllib.parse import parse_qsl

import optuna
import pytest
import sqlalchemy

from explorer.launch import loggers
from explorer.launch.sweep import with_absolute_paths
from explorer.storage import storages, urls
from explorer.study import StudySpec

NAMES = ["plain", "two words", "what?", "#1", "50%", "50%20", "{x}", "ä", "a&b=c;d", "?q=1#f", "a+b"]


def made(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.fixture(params=NAMES)
def odd(request, tmp_path, monkeypatch):
    """A folder of an odd name, and the current one."""
    folder = tmp_path / request.param
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def recorded(spec, directory):
    study = optuna.create_study(study_name="s", storage=storages.open_storage(spec, directory), load_if_exists=True)
    study.add_trial(optuna.trial.create_trial(value=0.5))
    return len(study.trials)


def test_sqlite_keeps_a_study_in_a_folder_of_any_name(odd, tmp_path):
    assert [recorded(StudySpec(storage="sqlite"), odd) for _ in range(2)] == [1, 2]
    assert made(tmp_path) == [f"{odd.name}/study.db"]


def test_a_relative_url_is_made_absolute_in_a_folder_of_any_name(odd, tmp_path):
    spec = with_absolute_paths(StudySpec(storage="sqlite:///own.db"))
    (tmp_path / "elsewhere").mkdir()
    assert [recorded(spec, tmp_path / "elsewhere") for _ in range(2)] == [1, 2]
    assert made(tmp_path) == [f"{odd.name}/own.db"]
    assert urls.absolute(spec.storage) == spec.storage


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_either_way_of_sqlalchemy_to_read_a_url_leads_to_the_file(odd, tmp_path, monkeypatch, version):
    """2.1 escapes a file's name when it writes a URL, 2.0 does not: then a URI within the URL does."""
    if version == "2.0":
        monkeypatch.setattr(sqlalchemy.URL, "render_as_string", unescaped)
        monkeypatch.setattr(urls, "make_url", as_2_0)
    url = urls.sqlite(odd / "x.db")
    engine = sqlalchemy.create_engine(as_2_0(url.format()) if version == "2.0" else url.format())  # as Optuna does
    with engine.connect():
        pass
    engine.dispose()
    assert made(tmp_path) == [f"{odd.name}/x.db"]


def unescaped(url, hide_password=True):
    query = "&".join(f"{name}={value}" for name, value in url.query.items())
    return f"{url.drivername}:///{url.database}" + (f"?{query}" if query else "")


def as_2_0(url):
    name, _, rest = url.partition(":///")
    database, _, query = rest.partition("?")
    return sqlalchemy.URL.create(name, database=database, query=dict(parse_qsl(query)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("journal", "journal"),
        ("env:NAME", "env:NAME"),
        ("grpc://127.0.0.1:13000", "grpc://127.0.0.1:13000"),
        ("postgresql://u:p%40s@h/d?sslmode=require", "postgresql://u:p%40s@h/d?sslmode=require"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///x.db?timeout=3", "sqlite:///{here}/x.db?timeout=3"),
        ("file:a%20b", "file://{here}/a%20b"),
        ("file:a b?c#d", "file://{here}/a%20b%3Fc%23d"),
        ("http://h:x/", "http://h:x/"),
    ],
)
def test_what_names_no_file_stays_as_it_is_and_options_are_kept(given, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert urls.absolute(given) == expected.format(here=tmp_path)


@pytest.mark.parametrize("uri", ["runs", "file:runs"])
def test_mlflow_reads_back_the_folder_that_was_meant(odd, uri):
    utils = pytest.importorskip("mlflow.utils.file_utils", reason="mlflow is not installed.")
    assert utils.local_file_uri_to_path(loggers.absolute(uri)) == str(odd / "runs")
