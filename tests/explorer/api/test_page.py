"""docs/python.md as a reader types it: every block, in its order, over a study that was told by hand."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest

import explorer
from dashboards.frames import COLUMNS
from explorer.api.given import study_spec
from explorer.launch.sweep import check

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
LONG = ("sweep", "resume", "confirm")  # what starts Ray; its arguments are checked as the real one would


@pytest.fixture(scope="module")
def typed(make_study, tiny_data, tmp_path_factory):
    """(the names that are known at the end, what was printed, the arguments of what would have taken long)."""
    home = tmp_path_factory.mktemp("reader")
    (home / "sweeps").mkdir()
    make_study(home / "sweeps/first", tiny_data)
    shutil.copyfile(tiny_data / "images/val/0.png", home / "photo.jpg")
    printed, asked = [], {name: [] for name in LONG}
    real = {name: getattr(explorer.Study if name == "confirm" else explorer, name) for name in LONG}

    def stand_in(name, answer):
        def call(*given, **options):
            asked[name].append(inspect.signature(real[name]).bind(*given, **options).arguments)
            return answer(asked[name][-1])

        return call

    def swept(arguments):
        names = ("base", "set", "overrides")
        check(study_spec(arguments["spec"], **{name: arguments.get(name, {}) for name in names}))
        return explorer.Study(arguments["out"])

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
        patch.setattr(explorer, "sweep", stand_in("sweep", swept))
        patch.setattr(explorer, "resume", stand_in("resume", lambda arguments: explorer.Study(arguments["directory"])))
        patch.setattr(explorer.Study, "confirm", stand_in("confirm", lambda arguments: arguments["self"]))
        names = {"print": lambda *words: printed.append(" ".join(map(str, words)))}
        for block in BLOCKS:
            exec(compile(block, "docs/python.md", "exec"), names)
        yield names, printed, asked


def test_the_page_goes_the_whole_way(typed):
    names, _, asked = typed
    assert asked["sweep"][0]["overrides"] == {
        "data": "my-photos",
        "pair": "mit_b0:mbv3s",
        "num_trials": 12,
        "seeds": [0, 1],
    }
    assert [found["top"] for found in asked["confirm"]] == [3]
    assert len(asked["resume"]) == 1
    assert names["ids"].shape == (64, 64)
    assert Path("overlay.png").is_file()
    assert Path("sheet.png").is_file()
    assert Path("sweeps/first/dashboard.html").is_file()


def test_what_it_says_is_printed_is_printed(typed):
    said = re.findall(r"print\(.*?\) +# (Unknown .*)", TEXT)
    assert len(said) == 2
    for sentence in said:
        assert any(line.startswith(sentence.removesuffix(" ...")) for line in typed[1]), sentence
    assert "0" in typed[1]  # trials that are open


def test_the_frames_and_errors_that_it_lists_are_all_there_are():
    listed = re.search(r"The names for `frame`: (.*?)\.", TEXT, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(COLUMNS)
    errors = {
        name
        for name in explorer.__all__
        if inspect.isclass(value := getattr(explorer, name)) and issubclass(value, ValueError)
    }
    rows = {
        name for row in re.findall(r"^\| (`\w+`.*?) \|", TEXT, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert errors - {"HeteroakdError"} <= rows


def test_every_verb_of_the_command_has_its_line_and_every_name_exists():
    from typer.main import get_command

    from explorer.cli.app import app

    table = TEXT.partition("## The verbs")[2]
    for verb in get_command(app).commands:
        assert re.search(rf"^\| .*`(heteroakd )?{verb}\b", table, re.MULTILINE), verb
    for name in re.findall(r"`explorer\.(\w+)", TEXT):
        assert name in explorer.__all__
    for name in re.findall(r"`Study\.(\w+)|`\.(\w+)`", table):
        assert hasattr(explorer.Study, "".join(name))
