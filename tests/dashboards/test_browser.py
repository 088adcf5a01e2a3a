"""The page in a real browser, with the network watched."""

import pytest

from dashboards import FIGURES, report
from dashboards.frames import StudyFrames

HOSTILE = (
    '</script><script>window.hit=1</script><a href="javascript:window.hit=1">x</a><img src=x onerror=window.hit=1>'
)


@pytest.fixture(scope="module")
def visit(browser, tmp_path_factory):
    """Opens a study's page; returns it, what the console reported as an error, and what was requested."""
    pages = []

    def go(frames, width=1400):
        path = report.write(frames, tmp_path_factory.mktemp("page") / "report.html")
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        errors, requests = [], []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        for name in FIGURES:
            page.wait_for_selector(f"#plot-{name} .main-svg", state="attached")
        return (
            page,
            errors,
            [url for url in requests if url != path.as_uri() and not url.startswith(("data:", "blob:"))],
        )

    yield go
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def wide(visit, study):
    """The study's page, opened once: all figures take seconds to draw."""
    return visit(study)


def ink(page, name):
    """How many marks a figure shows."""
    marks = ".scatterlayer path, .contourlayer path, .heatmaplayer image, .barlayer path, .parcoords .y-axis"
    return page.locator(f"#plot-{name}").locator(marks).count()


@pytest.mark.parametrize("width", [1400, 390])
def test_every_figure_is_rendered_without_an_error_or_a_request(visit, study, wide, width):
    page, errors, requests = wide if width == 1400 else visit(study, width)
    assert {name for name in FIGURES if ink(page, name) == 0} == set()
    assert (errors, requests) == ([], [])
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_empty_study_is_shown_without_an_error(visit):
    page, errors, requests = visit(StudyFrames())
    assert page.locator(".annotation-text").count() == len(FIGURES)
    assert (errors, requests) == ([], [])


def test_nothing_offers_to_upload_the_study(wide):
    page, *_ = wide
    titles = page.locator(".modebar-btn").evaluate_all("all => all.map(one => one.getAttribute('data-title'))")
    assert any("PNG" in title or "png" in title for title in titles)
    assert not any("Share" in title or "Cloud" in title for title in titles)


def test_menu_of_the_surface_shows_the_chosen_pair(wide):
    page, errors, _ = wide
    assert page.locator("#plot-surface .contour").count() == 1
    page.locator("#plot-surface .updatemenu-header").click()
    page.locator("#plot-surface .updatemenu-dropdown-button", has_text="r18:mvit").click()
    page.wait_for_function("document.querySelectorAll('#plot-surface .contour').length === 0")
    assert page.locator("#plot-surface .scatterlayer .point").count() > 0
    assert errors == []


def test_hostile_texts_stay_text(visit, make):
    names = dict.fromkeys(("pair", "teacher", "student", "reason"), HOSTILE)
    row = {**names, "miou": 0.4, "baseline": 0.3, f"param.{HOSTILE}": HOSTILE}
    weights = {"param.lambda_kd": 0.1, "param.lambda_hakd": 1.0}
    frames = make(
        [row | weights, row | weights | {"pair": HOSTILE + "2"}, row | {"state": "FAIL"}],
        curves=[("search", 0, 100, 0.4)],
        dimensions=[(HOSTILE, "categorical", False)],
        importance=[(HOSTILE, 0.5, 0.4, 0.6, False, HOSTILE)],
        summary={"study": HOSTILE, HOSTILE: HOSTILE},
    )
    page, errors, requests = visit(frames)
    page.evaluate(
        """() => {
          const plot = document.getElementById('plot-history');
          const curve = plot.data.findIndex(trace => trace.hovertext);
          Plotly.Fx.hover(plot, [{curveNumber: curve, pointNumber: 0}]);
        }"""
    )
    assert "<script>window.hit=1" in page.locator("#plot-history .hoverlayer").text_content()
    assert page.evaluate("window.hit") is None
    assert page.locator("a:not(nav a):not(.modebar-btn), main img, svg a").count() == 0
    assert (errors, requests) == ([], [])
    assert page.locator("h1").inner_text() == HOSTILE
