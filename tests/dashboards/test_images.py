"""Figures as files: their names, and that a browser without a network draws them."""

from __future__ import annotations

import shutil

import plotly.graph_objects as go
import pytest
from kaleido import PageGenerator
from PIL import Image

from dashboards import images
from trainables.errors import StudyError


def menu(*labels, **button):
    return {"buttons": [{"label": label, "method": "restyle", **button} for label in labels]}


def test_a_figure_with_menus_gets_a_file_for_each_choice():
    bars = [go.Bar(y=[1], visible=True), go.Bar(y=[2], visible=False)]
    shown = [{"label": f"p{n}:<b>/../x", "method": "update", "args": [{"visible": [n == 0, n == 1]}]} for n in (0, 1)]
    drawn = go.Figure(bars, {"title": {"text": "T"}, "updatemenus": [{"buttons": shown}]})
    found = dict(images._choices("surface", drawn))
    assert list(found) == ["surface-01-p0-x", "surface-02-p1-x"]
    assert [[bar.visible for bar in one.data] for one in found.values()] == [[True, False], [False, True]]
    assert all(not one.layout.updatemenus for one in found.values())


def test_every_choice_of_two_menus_is_drawn_unless_they_are_too_many():
    two = {"updatemenus": [menu("a", "b", args=[{}]), menu("c", "d", "e", args=[{}])]}
    assert len(list(images._choices("x", go.Figure([go.Bar(y=[1])], two)))) == 6
    many = {"updatemenus": [menu(*map(str, range(60)), args=[{}])]}
    assert [name for name, _ in images._choices("x", go.Figure([go.Bar(y=[1])], many))] == ["x"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"only": ["pair"]}, "Nearest: pairs"),
        ({"formats": ["pnj"]}, "png"),
        ({"formats": []}, r"names no format\. Known: png, svg, pdf\."),
    ],
)
def test_what_is_not_known_is_refused_before_a_browser_starts(study, tmp_path, wrong, sentence):
    with pytest.raises(StudyError, match=sentence):
        images.write(study, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_without_a_browser_it_is_one_sentence(study, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    with pytest.raises(StudyError, match=r"Chrome or Chromium.*BROWSER_PATH"):
        images.write(study, tmp_path, only=["history"])


def test_a_browser_that_fails_is_one_sentence_and_nothing_else(study, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setenv("BROWSER_PATH", "/bin/false")
    with pytest.raises(StudyError, match=r"which failed here: [^()]*\. Name another in BROWSER_PATH\.$"):
        images.write(study, tmp_path, only=["history"])
    assert (caplog.messages, *capfd.readouterr()) == ([], "", "")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_files_are_drawn_by_a_browser_that_reaches_nobody(study, tmp_path):
    """Its page names local files alone, and its proxy is nobody: what it would ask the network for is not drawn."""
    assert "http" not in PageGenerator(mathjax=False).generate_index()
    paths = images.write(study, tmp_path, formats=("png", "svg"), only=["history"])
    assert [path.name for path in paths] == ["history.png", "history.svg"]
    with Image.open(paths[0]) as picture:
        assert picture.width == 2000
        assert len(picture.convert("RGB").getcolors(2**24)) > 10
    assert "mIoU" in paths[1].read_text()
