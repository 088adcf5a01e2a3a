"""Where the table of a running sweep is shown: each kind of output gets what it can hold."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console

from explorer.api import driving
from explorer.launch import boards
from explorer.launch.boards import Shown, as_html, as_text, board
from explorer.launch.progress import Progress
from explorer.search.arms import open_arms

TABLE = Shown(("", "best"), [("search", "41.20"), ("<b>", "-")], "0:00:01 elapsed, 1 < 2", 0.25)


@pytest.fixture
def kernel(monkeypatch):
    """A notebook's kernel, as far as we ask: what was displayed, one list a place, the latest last."""
    places = []

    class Handle:
        def __init__(self, shown):
            self.shown = shown

        def update(self, data, *, raw):
            assert raw
            self.shown.append(data)

    def display(data, *, raw, display_id):
        assert raw
        assert display_id
        places.append([data])
        return Handle(places[-1])

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return places


@pytest.fixture
def arms(spec, tmp_path):
    """Two trials of the search have ended, one of them failed; one runs."""
    study = spec(num_trials=4)
    study.save(tmp_path)
    arms = open_arms(study, tmp_path, data_digest="d")
    for score in (0.412, None):
        trial, _ = arms["search"].ask()
        if score is None:
            arms["search"].tell(trial, TrialState.FAIL)
        else:
            arms["search"].report(trial, score, 9)
            arms["search"].tell(trial, TrialState.COMPLETE, miou=score)
    arms["search"].ask()
    return arms


def test_a_log_gets_lines_and_no_control_characters(arms):
    out = io.StringIO()
    with Progress(arms, Console(file=out, width=40)) as progress:
        trial = arms["search"].orphans()[0]
        arms["search"].report(trial, 0.5, 9)
        arms["search"].tell(trial, TrialState.COMPLETE, miou=0.5)
        progress.on_step_end(0, [])
    (line,) = out.getvalue().splitlines()  # what had ended before is not said again
    assert re.fullmatch(r"search 2: .* mIoU 50\.00 %; 0:00:0\d elapsed, about \d:\d\d:\d\d left", line)
    assert line.isprintable()


@pytest.fixture
def pausing(spec, tmp_path):
    """Of nine trials, the first one has paused with 41.2 %."""
    study = spec(num_trials=9, pruner="evidence", pruner_options={"pauses": 3})
    arms = open_arms(study, tmp_path, data_digest="d")
    trial, _ = arms["search"].ask()
    for step in (1, 2, 3):
        arms["search"].report(trial, 0.412, step)
    trial.set_user_attr("paused_at", {"step": 3, "because": "Paused at step 3 of 9 with 41.20 %: it waits."})
    return arms


def test_a_log_says_once_that_a_trial_pauses_and_why(pausing):
    trial = optuna.Trial(pausing["search"].study, pausing["search"].trials()[0]._trial_id)
    paused = trial.user_attrs["paused_at"]
    trial.set_user_attr("paused_at", {**paused, "step": 2})  # not where it stands: it runs
    out = io.StringIO()
    with Progress(pausing, Console(file=out, width=40)) as progress:
        progress._draw()
        assert out.getvalue() == ""
        trial.set_user_attr("paused_at", paused)
        progress._draw()
        progress._draw()
    (line,) = out.getvalue().splitlines()
    assert "paused at 41.20 % after 3 steps (Paused at step 3 of 9 with 41.20 %: it waits); " in line


def test_a_table_counts_paused_trials_apart_from_running_ones(pausing):
    pausing["search"].ask()
    shown = Progress(pausing, Console(file=io.StringIO()))._shown()
    (row,) = (row for row in shown.rows if row[0] == "search")
    assert shown.heads[:7] == ("", "trials", "running", "paused", "complete", "pruned", "failed")
    assert row[:7] == ("search", "9", "1", "1", "0", "0", "0")


def test_a_notebook_gets_one_table_that_is_replaced(arms, kernel):
    with Progress(arms, Console(file=sys.stdout, force_jupyter=False, force_terminal=False)) as progress:
        progress._draw()
        progress._draw()
    ((first, *shown),) = kernel
    assert first == {"text/plain": ""}
    assert len(shown) == 3
    assert (
        "<td>search</td><td>4</td><td>1</td><td>1</td><td>0</td><td>1</td><td>41.20</td><td>0</td>"
        in (shown[-1]["text/html"])
    )
    assert "41.20" in shown[-1]["text/plain"]


def test_a_notebooks_console_writes_plain_lines_even_where_colours_are_forced(kernel, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as kernels set it
    console = driving.console()
    console.print("[red]teacher[/red]")
    assert capsys.readouterr().out == "teacher\n"
    assert isinstance(board(console), boards.Notebook)


def test_in_a_notebook_a_console_of_ones_own_gets_lines(kernel):
    assert board(Console(file=io.StringIO(), force_jupyter=False)) is None


def test_a_terminal_gets_a_table_in_place():
    out = io.StringIO()
    shown = board(Console(file=out, force_terminal=True, width=60))
    shown.start()
    shown.show(TABLE)
    shown.stop()
    assert "41.20" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_texts_are_escaped_as_html_and_aligned_as_text():
    made = as_html(TABLE)
    assert "<td>&lt;b&gt;</td>" in made
    assert "1 &lt; 2" in made
    assert 'value="0.250"' in made
    assert as_text(TABLE) == "         best\nsearch  41.20\n   <b>      -\n0:00:01 elapsed, 1 < 2"
