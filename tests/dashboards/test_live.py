"""What the live dashboard computes: filters, figures, tables, the panel, and who may ask."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from dash.exceptions import PreventUpdate

from dashboards import FIGURES, app, report, studies, theme, trial
from dashboards.frames import StudyFrames
from dashboards.live import callbacks, guard
from dashboards.live.drawn import Drawer
from dashboards.live.filters import Filters, apply, options
from dashboards.live.source import Snapshot


class Fixed:
    """Studies that do not change."""

    def __init__(self, **frames):
        self.frames = frames

    def names(self):
        return tuple(self.frames)

    def snapshot(self, name):
        return Snapshot(self.frames[name], version=1, num_finished=30, as_of=20)


def figure(drawer, view, filters=Filters(), of="one"):
    """A figure as the browser reads it."""
    return json.loads(drawer.figure(of, view, filters, dark=False)["figure"])


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "words"),
        [
            (Filters(), ""),
            (Filters(pair=("a:b",), state=("COMPLETE",)), "Filtered: pair a:b, state complete"),
            (Filters(seed=(0, 2), role=("baseline",)), "Filtered: seed 0 or 2, role students alone"),
        ],
    )
    def test_they_are_told_in_words(self, filters, words):
        assert filters.words == words

    def test_a_pair_keeps_its_trials_their_curves_and_the_students_they_are_measured_against(self, study):
        kept = apply(study, Filters(pair=("r18:mit_b0",)))
        search = kept.trials_of("search")
        assert set(search["pair"]) == {"r18:mit_b0"}
        assert len(search) == (study.trials["pair"] == "r18:mit_b0").sum()
        assert set(kept.trials_of("baseline")["student"]) == {"segformer:mit_b0"}
        of_kept = {(role, number) for role, number in kept.trials[["role", "number"]].itertuples(index=False)}
        expected = [row for row in study.curves.itertuples(index=False) if (row.role, row.number) in of_kept]
        assert len(kept.curves) == len(expected) > 0
        assert set(kept.surface["pair"]) == {"r18:mit_b0"}

    def test_a_state_leaves_the_students_alone_in_place_and_a_role_does_not(self, study):
        kept = apply(study, Filters(state=("PRUNED", "FAIL")))
        assert set(kept.trials_of("search")["state"]) == {"PRUNED", "FAIL"}
        assert len(kept.trials_of("baseline")) == len(study.trials_of("baseline"))
        assert set(apply(study, Filters(role=("search",))).trials["role"]) == {"search"}

    def test_filters_of_two_columns_both_hold(self, make, alone):
        rows = [
            {"seed": 0, "method": "kd"},
            {"seed": 1, "method": "kd"},
            {"seed": 1, "method": "cwd"},
            alone | {"seed": 0},
        ]
        kept = apply(make(rows), Filters(seed=(1,), method=("kd",)))
        assert kept.trials["number"].tolist() == [1]

    def test_what_can_be_chosen_is_what_occurs(self, study):
        found = options(study)
        assert found["pair"] == ["mit_b1:mbv3", "r18:mit_b0", "r18:mvit"]
        assert found["state"] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
        assert (found["seed"], found["role"]) == ([0], ["search", "baseline"])


@pytest.mark.parametrize("name", FIGURES)
def test_the_live_page_draws_what_the_static_page_draws(name, study):
    shown = figure(Drawer(Fixed(one=study)), name)["data"]
    drawn = report.draw(name, study)
    expected = json.loads(drawn.to_json())["data"]
    assert [{key: value for key, value in trace.items() if key != "uid"} for trace in shown] == [
        {key: value for key, value in trace.items() if key != "uid"} for trace in expected
    ]


def test_traces_are_told_apart_by_names_that_no_selector_can_be_made_of(study):
    for name in FIGURES:
        uids = [trace["uid"] for trace in figure(Drawer(Fixed(one=study)), name)["data"]]
        assert len(set(uids)) == len(uids)
        assert all(uid.isalnum() for uid in uids)


def test_a_figure_keeps_its_place_while_its_study_grows_and_not_in_another_study(study, make):
    def revision(frames, name):
        return figure(Drawer(Fixed(**{name: frames})), "history", of=name)["layout"]["uirevision"]

    assert revision(study, "a") == revision(make([{"miou": 0.3}]), "a") != revision(study, "b")


def test_a_statistic_says_of_how_many_trials_it_is(study):
    drawer = Drawer(Fixed(one=study))
    assert (
        drawer.figure("one", "importance", Filters(), dark=False)["note"]
        == "Statistics as of 20 finished search trials."
    )
    assert "do not change them" in drawer.figure("one", "surface", Filters(seed=(0,)), dark=False)["note"]
    assert drawer.figure("one", "history", Filters(seed=(0,)), dark=False)["note"] == ""


def test_a_figure_that_waits_for_its_statistics_does_not_say_that_there_are_none(make):
    source = Fixed(one=make([{"miou": 0.3}]))
    source.snapshot = lambda name: Snapshot(source.frames[name])
    annotation = figure(Drawer(source), "importance")["layout"]["annotations"][0]
    assert "being computed" in annotation["text"].replace("<br>", " ")


@pytest.mark.parametrize("view", [view for view in FIGURES if view != "history"])
@pytest.mark.parametrize("filters", [Filters(pair=("r18:mvit",)), Filters(state=("PRUNED",))])
def test_a_figure_that_a_filter_does_not_change_says_so(study, view, filters):
    drawer = Drawer(Fixed(one=study))
    whole, kept = (figure(drawer, view, chosen)["data"] for chosen in (Filters(), filters))
    note = drawer.figure("one", view, filters, dark=False)["note"]
    assert ("of the whole study: filters" in note) == (view in ("importance", "interactions", "ranks", "further"))
    assert kept != whole or "change" in note


def test_what_two_readers_ask_for_at_a_time_is_made_once_and_a_failure_is_forgotten(study):
    drawer = Drawer(Fixed(one=study))
    made, asked = [], threading.Barrier(4, timeout=20)

    def make():
        time.sleep(0.2)
        made.append("made")
        return len(made)

    def ask(_):
        asked.wait()
        return drawer._once("key", make)

    with ThreadPoolExecutor(4) as readers:
        assert list(readers.map(ask, range(4))) == [1, 1, 1, 1]
    with pytest.raises(ZeroDivisionError):
        drawer._once("other", lambda: 1 / 0)
    assert drawer._once("other", lambda: 2) == 2


def test_a_page_of_another_server_gets_no_answer_about_its_study(study):
    source = Fixed(one=study)
    assert callbacks.held(source, "one").version == 1
    for name in ("two", None, ["one"]):
        with pytest.raises(PreventUpdate):
            callbacks.held(source, name)


class TestNight:
    def test_colours_turn_and_texts_and_numbers_do_not(self):
        figure = {
            "data": [{"marker": {"color": ["white", theme.INK]}, "name": "white", "y": [1, 2], "text": ["white"]}],
            "layout": {"paper_bgcolor": "white", "coloraxis": {"colorscale": [[0, "#F7F7F7"], [1, "#78B0DA"]]}},
        }
        dark = theme.at_night(figure)
        assert dark["data"][0]["marker"]["color"] == [theme.NIGHT["white"], theme.NIGHT[theme.INK]]
        assert (dark["data"][0]["name"], dark["data"][0]["text"], dark["data"][0]["y"]) == ("white", ["white"], [1, 2])
        assert dark["layout"]["paper_bgcolor"] == theme.NIGHT["white"]
        assert dark["layout"]["coloraxis"]["colorscale"][1] == [1, theme.NIGHT["#78B0DA"]]
        assert figure["layout"]["paper_bgcolor"] == "white"

    @pytest.mark.parametrize("paint", [theme.INK, theme.BASELINE, theme.FAILED, *theme.FAMILIES.values()])
    def test_marks_stand_out_from_the_dark_ground(self, paint):
        def light(colour):
            parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
            linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

        assert light(theme.NIGHT[paint]) / light(theme.NIGHT["white"]) > 4.5  # WCAG 2.1: of text


class TestTrialCurve:
    def test_it_is_drawn_beside_its_student_alone_of_the_same_seed_and_budget(self, make, alone):
        rows = [
            {"miou": 0.4},
            {"miou": 0.38},
            alone | {"miou": 0.35, "seed": 1},
            alone | {"miou": 0.30},
            alone | {"miou": 0.33},
            alone | {"miou": 0.9, "budget": 80},
        ]
        roles = {0: "search", 1: "search", 2: "baseline", 3: "baseline", 4: "baseline", 5: "baseline"}
        curves = [(role, number, 100, 0.1 + number / 100) for number, role in roles.items()]
        data = trial.prepare(make(rows, curves=curves), "search", 0)
        assert data.own["miou"].tolist() == [10.0]
        assert data.alone["number"].tolist() == [4]
        assert data.others["number"].tolist() == [1]

    def test_a_trial_without_a_value_says_so(self, make):
        drawing = trial.figure(trial.prepare(make([{"state": "WAITING"}]), "search", 0))
        assert not drawing.data
        assert drawing.layout.annotations


class TestStudies:
    def test_the_best_so_far_is_counted_in_finished_trials(self, make):
        rows = [
            {"miou": 0.3},
            {"state": "RUNNING", "miou": 0.9},
            {"state": "PRUNED", "miou": 0.8},
            {"miou": 0.2},
            {"miou": 0.4},
        ]
        best = studies.prepare({"a": make(rows)}).best["a"]
        assert best["done"].tolist() == [1, 3, 4]
        assert best["miou"].round(9).tolist() == [30, 30, 40]

    def test_studies_without_a_complete_trial_are_an_empty_figure(self):
        assert not studies.figure(studies.prepare({"a": StudyFrames()})).data

    def test_names_are_escaped(self, make):
        (line,) = studies.figure(studies.prepare({"<b>x</b>": make([{"miou": 0.3}])})).data
        assert line.name == "&lt;b&gt;x&lt;/b&gt;"


@pytest.fixture(scope="module")
def client(study):
    return app.build(Fixed(one=study)).test_client()


class TestGuard:
    @pytest.mark.parametrize(
        ("asked", "host", "expected"),
        [
            ("127.0.0.1:8050", "127.0.0.1", True),
            ("localhost:8050", "127.0.0.1", True),
            ("[::1]:8050", "::1", True),
            ("evil.example:8050", "127.0.0.1", False),
            ("127.0.0.1.evil.example", "127.0.0.1", False),
            ("192.168.0.7:8050", "127.0.0.1", False),
            ("192.168.0.7:8050", "0.0.0.0", True),
            ("evil.example", "0.0.0.0", False),
            ("box.example:80", "box.example", True),
            ("", "127.0.0.1", False),
        ],
    )
    def test_only_names_of_this_machine_are_answered_to(self, asked, host, expected):
        assert guard.allowed(asked, host=host) is expected

    def test_another_name_gets_nothing(self, client):
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
        assert client.get("/", headers={"Host": "127.0.0.1:8050"}).status_code == 200

    def test_the_page_loads_nothing_from_elsewhere_and_says_so(self, client):
        answer = client.get("/", headers={"Host": "localhost"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-inline'" not in policy.partition("style-src")[0]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "http://" not in answer.text
        assert "https://" not in answer.text.replace("https://dash.plotly.com", "")

    def test_neither_tools_of_developers_nor_files_beside_the_assets_are_served(self, client):
        for path in ("/_mcp", "/assets/../../app.py", "/assets/%2e%2e/%2e%2e/app.py", "/console"):
            answer = client.get(path, headers={"Host": "localhost"})
            assert "make_server" not in answer.text
            assert answer.status_code in (400, 403, 404, 405) or "react-entry-point" in answer.text

    def test_far_readers_get_libraries_compressed(self, client):
        path = "/_dash-component-suites/plotly/package_data/plotly.min.js"
        far = client.get(
            path, headers={"Host": "localhost", "Accept-Encoding": "gzip"}, environ_base={"REMOTE_ADDR": "10.0.0.9"}
        )
        near = client.get(
            path, headers={"Host": "localhost", "Accept-Encoding": "gzip"}, environ_base={"REMOTE_ADDR": "127.0.0.1"}
        )
        assert far.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in near.headers
        assert len(far.data) < 0.4 * len(near.data)


def test_many_trials_are_drawn_by_the_graphics_card_and_few_are_not(make):
    many = make([{"miou": 0.3 + number / 1e5} for number in range(2000)])
    for frames, expected in ((many, "scattergl"), (replace(many, trials=many.trials.head(20)), "scatter")):
        marks = [trace for trace in report.draw("history", frames).data if trace.customdata is not None]
        assert {trace.type for trace in marks} == {expected}
        assert sorted(number for trace in marks for number in trace.customdata) == frames.trials["number"].tolist()


def test_of_very_many_curves_some_are_drawn_and_the_axis_says_so(make):
    rows = [{"miou": 0.3}] * 4000
    curves = [("search", number, step, 0.3) for number in range(4000) for step in range(10)]
    drawing = report.draw("curves", make(rows, curves=curves))
    (lines,) = [trace for trace in drawing.data if trace.mode == "lines"]
    drawn = set(np.asarray(lines.customdata).tolist())
    assert drawn == set(range(0, 4000, 10))
    assert "one search trial in 10" in drawing.layout.xaxis.title.text


def test_of_very_many_configs_the_best_are_all_drawn(make):
    rng = np.random.default_rng(0)
    rows = [
        {"miou": float(value), "param.lr": 0.1, "state": "PRUNED" if value < 0.2 else "COMPLETE"}
        for value in rng.random(4000)
    ]
    frames = make(rows, dimensions=[("lr", "float", False)])
    drawing = report.draw("parallel", frames)
    drawn = set(drawing.data[0].customdata)
    best = frames.trials.sort_values("miou").tail(80)["number"]
    assert set(best) <= drawn
    assert len(drawn) <= 200
    assert "one in" in drawing.layout.annotations[0].text
