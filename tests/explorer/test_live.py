"""Following studies: what changes in a real storage reaches the page, and nothing that a study says is run."""

import pickle
import shutil
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from typer.testing import CliRunner

from dashboards import app
from explorer import live, storages
from explorer.arms import study_name
from explorer.cli import app as commands
from explorer.jobs import Jobs
from explorer.samples import Sample
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import StudyError

CONFIG = {"student": "segformer:mit_b0", "teacher": "fpn:resnet18", "data": "earth", "lr": 0.001}
SPACE = {"lambda_kd": FloatDistribution(0.01, 10.0, log=True)}


class Sweep:
    """A study folder as a sweep fills it, on a journal."""

    def __init__(self, directory, name="swept"):
        self.directory = directory
        directory.mkdir()
        space = {"lambda_kd": {"low": 0.01, "high": 10.0, "log": True}}
        values = {"name": name, "space": space, "base": {"steps": 4}, "num_trials": 20}
        (directory / SPEC_FILE).write_text(yaml.safe_dump(values))
        spec = StudySpec.load(directory / SPEC_FILE)
        storage = storages.open_storage(spec, directory)
        self.studies = {
            role: optuna.create_study(study_name=study_name(spec, role), storage=storage, direction="maximize")
            for role in ("baseline", "search")
        }
        self.add(role="baseline", miou=0.3, iou=[0.3, 0.4])

    def add(self, *, role="search", miou=0.4, state=TrialState.COMPLETE, **told):
        config = told.pop("config", CONFIG)
        attributes = {
            "student": config["student"],
            "method": "kd",
            "seed": 0,
            "budget": 4,
            "seconds": 1.0,
            "config": config,
        }
        if role == "search":
            attributes |= {"pair": "fpn_r18:mit_b0", "teacher": config["teacher"]}
        self.studies[role].add_trial(
            optuna.trial.create_trial(
                state=state,
                value=miou if state == TrialState.COMPLETE else None,
                params={"lambda_kd": 0.1} if role == "search" else {},
                distributions=SPACE if role == "search" else {},
                intermediate_values={4: miou},
                user_attrs=attributes | told,
            )
        )


@pytest.fixture
def sweep(tmp_path):
    made = Sweep(tmp_path / "study")
    made.add(iou=[0.5, float("nan")])
    return made


@pytest.fixture
def follow(monkeypatch):
    """Follows folders with threads in place of processes, and statistics that take no time."""
    monkeypatch.setattr(live, "analyse", lambda frames: frames)
    monkeypatch.setattr(live, "class_names", lambda data: ("water", "forest"))
    started = []

    def start(*directories, **options):
        pool = ThreadPoolExecutor(1)
        studio = live.Studio(directories, every_s=0.05, pool=pool, **options).__enter__()
        started.append((studio, pool))
        return studio

    yield start
    for studio, pool in started:
        studio.__exit__()
        pool.shutdown()


def until(holds, seconds=20):
    """Wait for what another thread does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_trial_added_to_the_storage_is_taken_over_and_then_nothing_changes(sweep, follow):
    studio = follow(sweep.directory)
    assert len(studio.snapshot("swept").frames.trials) == 2
    sweep.add(miou=0.45)
    until(lambda: len(studio.snapshot("swept").frames.trials) == 3)
    until(lambda: studio.snapshot("swept").as_of == 2)
    found = studio.snapshot("swept")
    assert found.num_finished == 2
    assert round(found.frames.trials.iloc[-1]["gain"], 9) == 0.15
    time.sleep(0.3)
    assert studio.snapshot("swept").version == found.version


def test_a_storage_that_fails_is_one_sentence_beside_what_was_read_before(sweep, follow, monkeypatch):
    studio = follow(sweep.directory)
    until(lambda: studio.snapshot("swept").as_of == 1)

    def fail(*_):
        raise OSError("postgresql://me:secret@host is out of reach")

    real = live.results.frames_of
    monkeypatch.setattr(live.results, "frames_of", fail)
    sweep.add()
    until(lambda: studio.snapshot("swept").note)
    assert "out of reach" in studio.snapshot("swept").note
    assert "secret" not in studio.snapshot("swept").note
    assert len(studio.snapshot("swept").frames.trials) == 2
    monkeypatch.setattr(live.results, "frames_of", real)
    until(lambda: len(studio.snapshot("swept").frames.trials) == 3)
    until(lambda: not studio.snapshot("swept").note)


def test_statistics_that_fail_leave_the_page_and_say_so(sweep, follow, monkeypatch):
    studio = follow(sweep.directory)

    def fail(frames):
        raise ValueError("singular")

    monkeypatch.setattr(live, "analyse", fail)
    sweep.add()
    until(lambda: "singular" in studio.snapshot("swept").note)
    assert len(studio.snapshot("swept").frames.trials) == 3


def test_a_trial_is_told_beside_its_student_alone(sweep, follow):
    studio = follow(sweep.directory)
    until(lambda: not studio.detail("swept", "search", 0).pending)
    detail = studio.detail("swept", "search", 0)
    assert detail.classes == ("water", "forest")
    assert (detail.config["lr"], detail.iou[0], detail.alone) == ("0.001", 0.5, [0.3, 0.4])
    assert detail.iou[1] != detail.iou[1]


def test_hostile_attributes_are_left_out(sweep, follow):
    sweep.add(iou="x" * 5000)
    sweep.add(iou=[2.0, "1", None, 1e400, 0.25])
    sweep.studies["search"].add_trial(
        optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"config": ["no dict"]})
    )
    studio = follow(sweep.directory)
    assert studio.detail("swept", "search", 1).iou == []
    assert [value for value in studio.detail("swept", "search", 2).iou if value == value] == [0.25]
    assert studio.detail("swept", "search", 3).config == {}
    assert studio.detail("swept", "search", 999).iou == []


def test_pictures_are_computed_once_and_failures_are_sentences(sweep, follow, monkeypatch):
    asked = []

    def show(directory, number, role):
        asked.append(number)
        if number == 1:
            raise StudyError("The checkpoint is gone.")
        return [Sample("a.png", 0.5, *[None] * 5)]

    monkeypatch.setattr(live, "show", show)
    sweep.add()
    sweep.add(state=TrialState.PRUNED)
    studio = follow(sweep.directory)
    until(lambda: studio.pictures("swept", "search", 0).samples)
    until(lambda: studio.pictures("swept", "search", 1).note)
    assert studio.pictures("swept", "search", 1).note == "The checkpoint is gone."
    assert "pruned" in studio.pictures("swept", "search", 2).note
    assert studio.pictures("swept", "search", 77).note
    assert asked == [0, 1]


def test_code_that_a_study_names_is_run_only_when_that_was_allowed(sweep, follow, monkeypatch, tmp_path):
    (tmp_path / "theirs.py").write_text("raise SystemExit('run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    monkeypatch.setattr(live, "show", lambda *trial: seen.append(trial) or [])
    sweep.add(config=CONFIG | {"data": "theirs:data"})
    sweep.add(config=CONFIG | {"student": "some.package:Net"})
    careful = follow(sweep.directory)
    for number, name in ((1, "theirs:data"), (2, "some.package:Net")):
        assert name in careful.pictures("swept", "search", number).note
        assert "--own-code" in careful.pictures("swept", "search", number).note
        careful.detail("swept", "search", number)
    assert seen == []
    assert "theirs" not in sys.modules
    trusting = follow(sweep.directory, own_code=True)
    trusting.pictures("swept", "search", 1)
    until(lambda: len(seen) == 1)


def test_nothing_is_unpickled_while_a_study_is_read(sweep, follow, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    (sweep.directory / "tuner.pkl").write_bytes(b"\x80\x04.")
    assert len(follow(sweep.directory).snapshot("swept").frames.trials) == 2


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folders = [Sweep(tmp_path / name, "twin").directory for name in ("a", "b")] + [
        Sweep(tmp_path / "c", "other").directory
    ]
    names = live.named(folders)
    assert list(names.values()) == folders
    assert list(names) == [f"twin ({folders[0]})", f"twin ({folders[1]})", "other"]
    with pytest.raises(StudyError, match="twice"):
        live.named([folders[0], folders[0]])


def test_work_of_a_process_that_died_is_begun_again_at_the_next_question():
    class Pool:
        def submit(self, work):
            done = Future()
            done.set_exception(BrokenProcessPool("killed")) if work() == 1 else done.set_result(work.calls)
            return done

    def work():
        work.calls += 1
        return work.calls

    work.calls = 0
    jobs = Jobs(Pool())
    assert isinstance(jobs.once("key", work).exception(), BrokenProcessPool)
    assert jobs.once("key", work).result() == 2
    assert jobs.once("key", work).result() == 2


def test_several_folders_are_one_page_only_when_it_is_live(sweep):
    answer = CliRunner().invoke(commands, ["dashboard", str(sweep.directory), str(sweep.directory)])
    assert answer.exit_code != 0
    assert "--live" in str(answer.exception)


def test_a_port_that_is_taken_is_one_sentence(sweep):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match="Choose another --port"):
            live.serve([sweep.directory], host="127.0.0.1", port=port, own_code=False, say=print)


def test_a_page_that_is_open_shows_a_trial_added_meanwhile_to_the_storage(sweep, follow):
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    server = app.server(follow(sweep.directory), host="127.0.0.1", port=0, every_s=0.3)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with sync_playwright() as playwright:
        switches = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=executable, args=switches)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{server.port}/#history")
        page.wait_for_selector("#below tr[data-value=search-0]")
        assert page.locator("#below tr[data-value]").count() == 1
        sweep.add(miou=0.55)
        page.wait_for_selector("#below tr[data-value=search-1]")
        marks = "document.querySelector('#graph .js-plotly-plot').data.flatMap(trace => trace.customdata || [])"
        page.wait_for_function(f"{marks}.includes(1)")
        assert page.locator("#below tr[data-value]").first.inner_text().split("\t")[-3] == "55.00"
        browser.close()
    server.shutdown()
    thread.join()
    server.server_close()
