import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from dashboards import FIGURES, report
from dashboards.frames import StudyFrames

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags with their attributes, and the rows of every table."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.cell = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.cell = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        if self.cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def text(study, tmp_path_factory):
    return report.write(study, tmp_path_factory.mktemp("page") / "report.html").read_text(encoding="utf-8")


def test_best_table_lists_complete_search_trials_by_falling_miou(make, alone):
    rows = [
        {"miou": 0.40, "baseline": 0.38, "param.pair": "r18:mit_b0", "param.lambda_kd": 0.5},
        {"miou": 0.45, "miou_low": 0.415, "miou_high": 0.4725, "baseline": 0.50},
        {"miou": 0.99, "state": "PRUNED"},
        alone | {"miou": 0.98},
        {"miou": 0.41},
    ]
    head, *body = Page(report.best(make(rows))).rows
    assert head[:5] == ["#", "pair", "seed", "mIoU (%)", "over images (%)"]
    assert head[5:] == ["alone (%)", "gain (points)", "student (M)", "config"]
    assert body == [
        ["1", "r18:mit_b0", "0", "45.00", "41.50 to 47.25", "50.00", "-5.00", "3.70", ""],
        ["4", "r18:mit_b0", "0", "41.00", "–", "–", "–", "3.70", ""],
        ["0", "r18:mit_b0", "0", "40.00", "–", "38.00", "+2.00", "3.70", "lambda_kd\u00a00.5"],
    ]


def test_best_table_stops_at_ten(make):
    frames = make([{"miou": 0.01 * number} for number in range(15)])
    assert len(Page(report.best(frames)).rows) == 1 + 10


def test_failed_table_gives_the_reason(make, alone):
    rows = [
        {"state": "FAIL", "reason": "out of memory"},
        {"miou": 0.3},
        alone | {"state": "FAIL", "number": 0},
    ]
    assert Page(report.failed(make(rows))).rows[1:] == [
        ["0", "baseline", "segformer:mit_b0", "–"],
        ["0", "search", "r18:mit_b0", "out of memory"],
    ]


def test_page_holds_plotly_once_and_stays_below_8_mb(text):
    assert text.count(get_plotlyjs()) == 1
    assert len(text.encode()) < 8e6


def test_page_of_a_large_study_stays_below_8_mb(make, tmp_path):
    config = {f"param.dimension_{index}": 0.12345 for index in range(8)}
    trials = [config | {"miou": 0.3 + 0.0001 * number} for number in range(600)]
    curves = [("search", number, step, 0.3) for number in range(600) for step in range(0, 4000, 100)]
    page = report.write(make(trials, curves=curves), tmp_path / "report.html")
    assert page.stat().st_size < 8e6


def test_page_refers_to_nothing_outside(text):
    tags = Page(text.replace(get_plotlyjs(), "")).tags
    links = [attrs[key] for _, attrs in tags for key in ("src", "href") if key in attrs]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"https?://|@import|url\(", text.replace(get_plotlyjs(), ""))


def test_every_link_of_the_bar_has_its_section(text):
    tags = Page(text.replace(get_plotlyjs(), "")).tags
    anchors = {attrs["id"] for tag, attrs in tags if tag == "section"}
    assert {attrs["href"][1:] for tag, attrs in tags if tag == "a"} == anchors
    assert anchors == {"summary", "best", "failed", *FIGURES}


def test_study_without_failures_has_no_table_of_failures(make, tmp_path):
    page = report.write(make([{"miou": 0.3}]), tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="failed"' not in page


def test_empty_study_makes_a_page(tmp_path):
    page = report.write(StudyFrames(), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h1>HeteroAKD study</h1>" in page
    assert "No search trial is complete yet." in page


def test_hostile_texts_add_no_tag(make, tmp_path):
    def tags(word):
        names = dict.fromkeys(("pair", "teacher", "student", "reason"), word)
        rows = [{**names, "miou": 0.4, f"param.{word}": word}, {**names, "state": "FAIL"}]
        frames = make(rows, dimensions=[(word, "categorical", False)], summary={"study": word, word: word})
        page = report.write(frames, tmp_path / "report.html").read_text(encoding="utf-8")
        return [tag for tag, _ in Page(page.replace(get_plotlyjs(), "")).tags]

    assert tags(HOSTILE) == tags("tame")


def test_text_with_lone_surrogates_is_written(make, tmp_path):
    page = report.write(make(summary={"data": "bad \udcff name"}), tmp_path / "report.html")
    assert "bad ? name" in page.read_text(encoding="utf-8")
