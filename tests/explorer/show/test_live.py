"""Following studies: what changes in a real storage reaches the page, and nothing that a study says is run."""

import pickle
import shutil
import socket
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace
from unittest.mock import Mock

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from typer.testing import CliRunner

from dashboards import app
from explorer.cli.app import app as commands
from explorer.search.arms import study_name
from explorer.show import live, samples
from explorer.show.jobs import Jobs
from explorer.show.samples import Sample
from explorer.storage import storages
from explorer.study import SPEC_FILE, StudySpec
from trainables.errors import StudyError

CONFIG = {"student": "segformer:mit_b0", "teacher": "fpn:resnet18", "data": "earth", "lr": 0.001}
LEGEND = (("water", (0, 0, 255)), ("forest", (0, 128, 0)))
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
        attributes = {"student": config["student"], "method": "kd", "seed": 0, "budget": 4, "seconds": 1.0}
        if role == "search":
            attributes |= {"pair": "fpn_r18:mit_b0", "teacher": config["teacher"]}
        self.studies[role].add_trial(
            optuna.trial.create_trial(
                state=state,
                value=miou if state == TrialState.COMPLETE else None,
                params={"lambda_kd": 0.1} if role == "search" else {},
                distributions=SPACE if role == "search" else {},
                intermediate_values={4: miou},
                user_attrs=attributes | {"config": config} | told,
            )
        )


@pytest.fixture
def sweep(tmp_path):
    made = Sweep(tmp_path / "study")
    made.add(iou=[0.5, float("nan")])
    return made


@pytest.fixture
def looked_up(monkeypatch):
    """The data sets whose classes a worker was asked for."""
    asked = []
    monkeypatch.setattr(live, "legend", lambda data, own_code: asked.append(data) or LEGEND)
    return asked


@pytest.fixture
def follow(monkeypatch, looked_up):
    """Follows folders with threads in place of processes, and statistics that take no time."""
    monkeypatch.setattr(live, "analyse", lambda frames: frames)
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

    def fail(*_, **__):
        raise OSError("postgresql://me:secret@host is out of reach")

    real = live.frames_of
    monkeypatch.setattr(live, "frames_of", fail)
    sweep.add()
    until(lambda: studio.snapshot("swept").note)
    assert "out of reach" in studio.snapshot("swept").note
    assert "secret" not in studio.snapshot("swept").note
    assert len(studio.snapshot("swept").frames.trials) == 2
    monkeypatch.setattr(live, "frames_of", real)
    until(lambda: len(studio.snapshot("swept").frames.trials) == 3)
    until(lambda: not studio.snapshot("swept").note)


def test_a_storage_that_was_away_for_a_while_leaves_no_trace(sweep, follow):
    """Nothing has changed when it is back: neither a reading nor new statistics come to the sentence's end."""
    studio = follow(sweep.directory)
    until(lambda: studio.snapshot("swept").as_of == 1)
    journal = sweep.directory / storages.JOURNAL
    journal.rename(sweep.directory / "away")
    until(lambda: studio.snapshot("swept").note)
    note = studio.snapshot("swept").note
    assert note.startswith("The storage cannot be read: No such file or directory (")
    assert "Errno" not in note
    (sweep.directory / "away").rename(journal)
    until(lambda: not studio.snapshot("swept").note)


def test_a_storage_that_is_back_does_not_hide_that_the_statistics_failed(sweep, follow, monkeypatch):
    monkeypatch.setattr(live, "analyse", Mock(side_effect=ValueError("singular")))
    studio = live.Studio([sweep.directory], pool=ThreadPoolExecutor(1))
    followed = studio._followed["swept"]
    followed._see_to_statistics()
    until(followed._statistics.done)
    followed._see_to_statistics()
    followed._tell("reading", "The storage cannot be read.")
    assert "singular" in followed.snapshot.note
    assert "cannot be read" in followed.snapshot.note
    followed._tell("reading", "")
    assert followed.snapshot.note.endswith("singular")


class Mortal:
    """A pool whose first works fall to a process that is killed."""

    def __init__(self, deaths):
        self.deaths, self.begun = deaths, 0

    def submit(self, work, *args):
        self.begun += 1
        done = Future()
        killed = self.begun <= self.deaths
        done.set_exception(BrokenProcessPool("killed")) if killed else done.set_result(work(*args))
        return done


def test_statistics_whose_process_was_killed_are_begun_again_after_a_pause(sweep, monkeypatch):
    monkeypatch.setattr(live, "analyse", lambda frames: frames)
    monkeypatch.setattr(live, "_PAUSE", 0.2)
    pool = Mortal(deaths=2)
    with live.Studio([sweep.directory], every_s=0.02, pool=pool) as studio:
        until(lambda: studio.snapshot("swept").note)
        assert studio.snapshot("swept").as_of is None
        assert "tried again: the process was killed" in studio.snapshot("swept").note
        until(lambda: studio.snapshot("swept").as_of == 1)
        assert (studio.snapshot("swept").note, pool.begun) == ("", 3)


def test_statistics_that_fail_leave_the_page_and_say_so(sweep, follow, monkeypatch):
    studio = follow(sweep.directory)

    monkeypatch.setattr(live, "analyse", Mock(side_effect=ValueError("singular")))
    sweep.add()
    until(lambda: "singular" in studio.snapshot("swept").note)
    assert len(studio.snapshot("swept").frames.trials) == 3


def test_a_trial_is_told_beside_its_student_alone(sweep, follow):
    studio = follow(sweep.directory)
    until(lambda: not studio.detail("swept", "search", 0).pending)
    detail = studio.detail("swept", "search", 0)
    assert (detail.classes, detail.palette) == (["water", "forest"], [(0, 0, 255), (0, 128, 0)])
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

    def show(directory, number, role, own_code):
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


@pytest.fixture
def theirs(monkeypatch, tmp_path):
    """A module that is there, and must not be imported."""
    (tmp_path / "theirs.py").write_text("raise SystemExit('run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "theirs"


LONG = "theirs:data:/" + "x/" * 4000


def test_code_that_a_study_names_is_run_only_when_that_was_allowed(sweep, follow, monkeypatch, theirs, looked_up):
    seen = []
    monkeypatch.setattr(live, "show", lambda *trial: seen.append(trial) or [])
    sweep.add(config=CONFIG | {"data": "theirs:data"})
    sweep.add(config=CONFIG | {"student": "some.package:Net"})
    sweep.add(config=CONFIG | {"data": LONG})
    sweep.add(config=CONFIG | {"teacher_recipe": {"deep": [{"data": LONG}]}})
    careful = follow(sweep.directory)
    for number, name in ((1, "theirs:data"), (2, "some.package:Net"), (3, "theirs:data"), (4, "theirs:data")):
        assert name in careful.pictures("swept", "search", number).note
        assert "--own-code" in careful.pictures("swept", "search", number).note
        careful.detail("swept", "search", number)
    until(lambda: not careful.detail("swept", "search", 2).pending)
    assert (seen, looked_up) == ([], ["earth"])
    trusting = follow(sweep.directory, own_code=True)
    trusting.pictures("swept", "search", 1)
    trusting.detail("swept", "search", 3)
    until(lambda: len(seen) == 1 and LONG in looked_up)


@pytest.mark.parametrize("data", ["theirs:data", LONG])
def test_a_worker_refuses_code_by_itself(sweep, theirs, data):
    sweep.add(config=CONFIG | {"data": data})
    for work in (lambda: live.legend(data, False), lambda: live.show(sweep.directory, 1, "search", False)):
        with pytest.raises(StudyError, match="--own-code"):
            work()
    assert theirs not in sys.modules


@pytest.mark.parametrize("config", [None, {}, {"lr": 0.1}, {"data": "earth"}, {"data": "theirs/data:/x"}, ["nothing"]])
def test_a_config_without_code_is_not_refused(theirs, config):
    assert samples.code_of(config) == ""


def test_nothing_is_unpickled_while_a_study_is_read(sweep, follow, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    (sweep.directory / "tuner.pkl").write_bytes(b"\x80\x04.")
    assert len(follow(sweep.directory).snapshot("swept").frames.trials) == 2


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    titles = {"a": "twin", "b": "twin", "c": "other"}
    folders = [Sweep(tmp_path / name, title).directory for name, title in titles.items()]
    names = live.named(folders)
    assert list(names.values()) == folders
    assert list(names) == [f"twin ({folders[0]})", f"twin ({folders[1]})", "other"]
    with pytest.raises(StudyError, match="twice"):
        live.named([folders[0], folders[0]])


def test_work_of_a_process_that_died_is_begun_again_at_the_next_question():
    pool = Mortal(deaths=1)
    jobs = Jobs(pool)
    assert isinstance(jobs.once("key", str).exception(), BrokenProcessPool)
    assert [jobs.once("key", str).result() for _ in range(2)] == ["", ""]
    assert pool.begun == 2


def test_work_that_kills_its_process_again_and_again_is_given_up():
    pool = Mortal(deaths=99)
    jobs = Jobs(pool)
    for _ in range(10):
        assert isinstance(jobs.once("key", str).exception(), BrokenProcessPool)
    assert pool.begun == 3


def test_pictures_whose_process_was_killed_are_waited_for(sweep, monkeypatch):
    monkeypatch.setattr(live, "show", lambda *trial: [Sample("a.png", 0.5, *[None] * 5)])
    work = [Future(), Future()]
    begun = iter(work)
    studio = live.Studio([sweep.directory], pool=SimpleNamespace(submit=lambda *_: next(begun)))
    assert studio.pictures("swept", "search", 0).pending
    work[0].set_exception(BrokenProcessPool("killed"))
    assert studio.pictures("swept", "search", 0).pending
    work[1].set_result(["one"])
    assert studio.pictures("swept", "search", 0).samples == ["one"]


def test_several_folders_are_one_page_only_when_it_is_live(sweep):
    answer = CliRunner().invoke(commands, ["dashboard", str(sweep.directory), str(sweep.directory)])
    assert answer.exit_code != 0
    assert "--live" in str(answer.exception)


def test_a_port_that_is_taken_is_one_sentence(sweep):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=rf"127.0.0.1:{port} .*: Address already in use. Choose another --port.$"):
            live.serve([sweep.directory], host="127.0.0.1", port=port, own_code=False, say=print)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b"])
def test_a_host_of_no_known_address_asks_for_another_host(sweep, host):
    with pytest.raises(StudyError, match=r": no address of that name is known\. Choose another --host\.$"):
        live.serve([sweep.directory], host=host, port=0, own_code=False, say=print)


def test_an_address_of_another_machine_asks_for_another_host(sweep):
    with pytest.raises(StudyError, match=r"Cannot assign requested address\. Choose another --host\.$"):
        live.serve([sweep.directory], host="192.0.2.1", port=0, own_code=False, say=print)


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)],
)
def test_a_reader_is_warned_when_others_can_reach_the_page(host, alone):
    assert ("whoever" in live._where("http://x", host)) is not alone


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
        assert "55.00" in page.locator("#below tr[data-value]").first.inner_text().split("\t")
        browser.close()
    server.shutdown()
    thread.join()
    server.server_close()
