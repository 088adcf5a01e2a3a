"""One battery for every figure in the table."""

import dataclasses
from importlib import import_module

import plotly.graph_objects as go
import pytest

from dashboards import FIGURES, theme
from dashboards.frames import StudyFrames
from dashboards.report import draw


def texts(drawing):
    return [annotation.text.replace("<br>", " ") for annotation in drawing.layout.annotations]


def values(drawing):
    """Every string of a figure, wherever it stands, apart from the template."""
    held = drawing.to_plotly_json()
    held["layout"].pop("template")
    todo = [held]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, (list, tuple)):
            todo += item


@pytest.mark.parametrize("name", FIGURES)
class TestFigure:
    def test_empty_study_gives_a_titled_figure_that_says_why(self, name):
        drawing = draw(name, StudyFrames())
        assert drawing.layout.title.text
        assert not drawing.data
        (why,) = texts(drawing)
        assert why.endswith(".")

    def test_study_is_drawn_with_title_and_template(self, name, study):
        drawing = draw(name, study)
        assert isinstance(drawing, go.Figure)
        assert drawing.data
        assert drawing.layout.title.text
        assert drawing.layout.template.layout.font.color == theme.INK
        assert not texts(drawing)

    def test_prepared_data_is_frozen(self, name, study):
        data = import_module(f"dashboards.{name}").prepare(study)
        for item in data if isinstance(data, tuple) else (data,):
            field = dataclasses.fields(item)[0].name
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(item, field, None)

    def test_caption_is_one_sentence(self, name, study):
        caption = import_module(f"dashboards.{name}").CAPTION
        assert caption.endswith(".")
        assert ". " not in caption

    def test_preparing_leaves_the_frames_alone(self, name, study):
        before = study.trials.copy(deep=True)
        draw(name, study)
        assert study.trials.equals(before)

    def test_trials_without_any_value_are_no_error(self, name, make):
        states = ("WAITING", "RUNNING", "PAUSED", "FAIL", "PRUNED")
        drawing = draw(name, make([{"state": state, "step": 0} for state in states]))
        assert drawing.layout.title.text


AXES = {
    "history": ("search trial (number)", "mIoU (%)"),
    "curves": ("step", "mIoU (%)"),
    "surface": ("λ₁ (lambda_kd)", "λ₂ (lambda_hakd)"),
    "pairs": ("student", "teacher"),
    "importance": ("share of variance (%)", None),
    "taught": ("step", "taught by the other student (%)"),
    "tradeoff": ("student's parameters (millions)", "mIoU (%)"),
    "gains": ("gain over the student alone at equal steps (points of mIoU)", None),
    "confirmed": ("mIoU (%)", None),
    "interactions": ("share of variance (%) (2 of 3 shown)", None),
    "local": ("lambda_kd", "mIoU (%)"),
    "ranks": ("step", "rank correlation with the end"),
    "further": ("search trials that had ended", "expected gain (points of mIoU)"),
}


@pytest.mark.parametrize("name", AXES)
def test_axes_carry_units(name, study):
    layout = draw(name, study).layout
    assert (layout.xaxis.title.text, layout.yaxis.title.text or None) == AXES[name]


HOSTILE = "<script>alert(1)</script><a href='javascript:alert(1)'>x</a>"


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("parallel", "ranks", "further")])
def test_hostile_names_reach_plotly_escaped(name, make):
    drawing = draw(name, hostile(make))
    for text in values(drawing):
        assert "<script" not in text
        assert "<a " not in text
    assert any("&lt;script&gt;" in text for text in values(drawing))


def test_parallel_escapes_labels_and_leaves_ticks_which_plotly_draws_as_plain_text(make):
    (trace,) = draw("parallel", hostile(make)).data
    label, ticks = trace.dimensions[0].label, trace.dimensions[0].ticktext
    assert "<" not in label
    assert tuple(ticks) == (HOSTILE,)


def hostile(make):
    """A study in which every text a user can choose is hostile."""
    names = dict.fromkeys(("pair", "teacher", "student", "reason", "teacher_family", "student_family"), HOSTILE)
    row = {**names, "miou": 0.4, "baseline": 0.3, f"param.{HOSTILE}": HOSTILE}
    weights = {"param.lambda_kd": 0.1, "param.lambda_hakd": 1.0}
    alone = {"role": "baseline", "pair": None, "teacher": None, "student": HOSTILE, "miou": 0.3}
    return make(
        [row | weights, row | weights | {"pair": HOSTILE + "2"}, row | {"state": "FAIL"}, alone],
        curves=[("search", 0, 100, 0.4)],
        taught=[("search", 0, 100, 0.4, 0.5)],
        dimensions=[(HOSTILE, "categorical", False)],
        importance=[(HOSTILE, 0.5, 0.4, 0.6, False, HOSTILE)],
        summary={"study": HOSTILE, HOSTILE: HOSTILE},
        interactions=[(HOSTILE, HOSTILE, 0.5, 0.4, 0.6, False, HOSTILE)],
        gains=[(HOSTILE, HOSTILE, HOSTILE, "", "best", 2, 1, 0.1, 0.0, 0.2, False, HOSTILE)],
        local=[(HOSTILE, HOSTILE, 0.0, HOSTILE, 0.4, 0.3, 0.5, True)],
        confirmed=[
            (1, 0, HOSTILE, HOSTILE, HOSTILE, 5, 0.4, 0.4, 0.0, 0.4, 0.3, 0.5, 0.2, 0.6, 0.1, 0.0, 0.2, True, HOSTILE)
        ],
    )
