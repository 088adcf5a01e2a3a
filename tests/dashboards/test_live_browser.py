"""The live dashboard in a real browser, with the network watched."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd

from dashboards import FIGURES, theme
from dashboards.frames import StudyFrames
from dashboards.live.layout import VIEWS
from dashboards.live.source import Detail, Pictures, Snapshot

HOSTILE = (
    '</script><script>window.hit=1</script><a href="javascript:window.hit=1">x</a><img src=x onerror=window.hit=1>'
)


class Studies:
    """Studies that a test changes while they are shown."""

    def __init__(self, **frames):
        self.held = {name: Snapshot(each, 1, 30, 30) for name, each in frames.items()}
        self.samples = Pictures(pending=True)
        palette = ((0, 0, 255), (0, 128, 0))
        self.told = Detail({"lr": "0.001"}, ("water", "forest"), (0.5, 0.25), (0.4, 0.3), palette)

    def change(self, name, frames):
        self.held[name] = replace(self.held[name], frames=frames, version=self.held[name].version + 1)

    def names(self):
        return tuple(self.held)

    def snapshot(self, name):
        return self.held[name]

    def detail(self, name, role, number):
        return self.told

    def pictures(self, name, role, number):
        return self.samples


def show(page, view):
    page.locator(f"#to-{view}").click()
    if view == "trials":
        page.wait_for_selector("#below h2:text-is('All trials')")  # the overview has tables there, too
    else:
        wanted = "studies" if view == "studies" else f"/{view}"
        page.wait_for_function(
            "view => (document.querySelector('#graph .js-plotly-plot')?.layout?.uirevision || '').endsWith(view)",
            arg=wanted,
        )


def count(page):
    """Search trials that the figure shows as marks."""
    return page.evaluate(
        """() => document.querySelector('#graph .js-plotly-plot').data
          .filter(trace => trace.mode === 'markers' && trace.meta).reduce((all, trace) => all + trace.x.length, 0)"""
    )


def click_mark(page, number):
    """Click where plotly drew the mark of a search trial."""
    at = page.evaluate(
        """number => {
          const plot = document.querySelector('#graph .js-plotly-plot'), box = plot.getBoundingClientRect();
          for (const trace of plot.data) {
            const at = trace.mode === 'markers' && trace.meta ? trace.customdata.indexOf(number) : -1;
            if (at < 0) continue;
            const {xaxis: x, yaxis: y} = plot._fullLayout;
            return [box.x + x._offset + x.d2p(trace.x[at]), box.y + y._offset + y.d2p(trace.y[at])];
          }
        }""",
        number,
    )
    page.mouse.move(at[0] - 3, at[1])
    page.mouse.move(*at)
    page.wait_for_selector("#graph .hovertext")
    page.mouse.click(*at)
    page.wait_for_function(
        "number => document.getElementById('panel-title').textContent === `Search trial ${number}`", arg=number
    )


def choose(page, name, words):
    """Take one entry of a filter."""
    page.locator(f"#only-{name}").click()
    page.locator(".dash-dropdown-option, [role=option]", has_text=words).first.click()
    page.keyboard.press("Escape")


def grown(frames, miou=0.41):
    """The study with one more complete trial."""
    new = frames.trials[frames.trials["state"] == "COMPLETE"].iloc[[0]].assign(number=99, miou=miou)
    return replace(frames, trials=pd.concat([frames.trials, new], ignore_index=True))


def test_an_empty_study_is_shown_without_an_error(visit):
    seen = visit(Studies(one=StudyFrames()))
    assert "No search trial" in seen.page.locator("#graph .annotation-text").first.text_content()
    assert "No search trial is complete yet." in seen.page.locator("#below").inner_text()
    assert (seen.errors, seen.others()) == ([], [])


def test_a_filter_leaves_the_trials_of_a_pair(visit, study):
    page = visit(Studies(one=study)).page
    search = study.trials_of("search")
    assert count(page) == len(search)
    choose(page, "pair", "r18:mvit")
    kept = search[search["pair"] == "r18:mvit"]
    page.wait_for_function(
        """number => document.querySelector('#graph .js-plotly-plot').data
          .filter(one => one.mode === 'markers' && one.meta).reduce((all, one) => all + one.x.length, 0) === number""",
        arg=len(kept),
    )
    show(page, "trials")
    rows = [text.split("\t") for text in page.locator("#below tbody tr").all_inner_texts()]
    assert len(rows) == len(kept) + 1
    assert {row[3] for row in rows} == {"r18:mvit", "unet:mobilevit_xxs alone"}
    assert page.locator("#active").inner_text() == "Filtered: pair r18:mvit"
    page.emulate_media(media="print")
    assert page.locator("#active").is_visible()


def test_zoom_menu_and_the_open_trial_survive_a_refresh_that_adds_a_trial(visit, study):
    source = Studies(one=study)
    seen = visit(source)
    page = seen.page
    click_mark(page, 3)
    box = page.locator("#graph .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 200, steps=5)
    page.mouse.up()
    page.wait_for_function("!document.querySelector('#graph .js-plotly-plot')._dragging")
    zoomed = "document.querySelector('#graph .js-plotly-plot')._fullLayout.xaxis.range.slice()"
    before = page.evaluate(zoomed)
    number = count(page)
    source.change("one", grown(study))
    page.wait_for_function(
        "number => document.querySelector('#graph .js-plotly-plot').data.some(t => t.customdata?.includes(number))",
        arg=99,
    )
    assert count(page) == number + 1
    assert page.evaluate(zoomed) == before
    assert before[1] - before[0] < 20
    assert page.locator("#panel-title").inner_text() == "Search trial 3"
    show(page, "surface")
    page.locator("#graph .updatemenu-header").click()
    page.locator("#graph .updatemenu-dropdown-button", has_text="r18:mvit").click()
    page.evaluate(
        """() => {
          const plot = document.querySelector('#graph .js-plotly-plot');
          const without = () => !plot.data.some(trace => Array.from(trace.customdata || []).includes(99));
          window.redrawn = without() ? 'too early' : null;
          plot.on('plotly_afterplot', () => { window.redrawn = window.redrawn || without(); });
        }"""
    )
    source.change("one", study)
    page.wait_for_function("window.redrawn")
    assert page.evaluate("window.redrawn") is True
    assert page.locator("#graph .updatemenu-header").text_content().startswith("r18:mvit")
    assert page.locator("#graph .contour").count() == 0
    assert seen.errors == []


def test_a_clicked_trial_shows_its_config_curve_classes_and_pictures(visit, study):
    source = Studies(one=study)
    seen = visit(source)
    page = seen.page
    click_mark(page, 3)
    page.wait_for_function("document.activeElement.id === 'panel'")
    page.wait_for_selector("#curve .scatterlayer .js-line")
    assert "lr" in page.locator("#facts details").text_content()
    assert re.findall(r"water\s*50.0 % \(\+10.0\)", page.locator("#classes").inner_text())
    colours = page.locator("#classes .swatch").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert colours == ["rgb(0, 0, 255)", "rgb(0, 128, 0)"]
    assert "Computing" in page.locator("#pictures").inner_text()
    array = np.full((8, 8, 3), 120, np.uint8)
    one = SimpleNamespace(
        name="a.png", miou=0.5, image=array, label=array, teacher=None, student=array, difference=array
    )
    source.samples = Pictures(samples=[one])
    page.wait_for_function("document.querySelectorAll('#pictures img').length === 4")
    assert page.locator("#pictures img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth === 8)")
    show(page, "curves")  # beside a wide page the panel stays
    assert page.locator("#panel").is_visible()
    assert seen.errors == []


def test_a_line_of_the_parallel_coordinates_opens_its_trial(visit, study):
    seen = visit(Studies(one=study), "parallel")
    page = seen.page
    page.wait_for_selector("#graph .gl-canvas-pick", state="attached")
    page.evaluate("document.querySelector('#graph .js-plotly-plot').on('plotly_hover', () => (window.near = true))")
    box = page.locator("#graph").bounding_box()
    for down in range(110, 420):
        page.mouse.move(box["x"] + 150, box["y"] + down)
        page.wait_for_timeout(20)
        if page.evaluate("window.near"):
            break
    page.mouse.click(box["x"] + 150, box["y"] + down)
    page.wait_for_selector("#panel:not([hidden])")
    assert page.locator("#panel-title").inner_text().startswith("Search trial")
    assert seen.errors == []


def test_the_keyboard_opens_and_closes_a_trial_whose_row_keeps_the_focus_while_the_table_grows(visit, study):
    source = Studies(one=study)
    seen = visit(source, "trials")
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.localName") == "tr":
            break
    key = page.evaluate("document.activeElement.dataset.value")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel:not([hidden])")
    assert page.locator("#panel-title").inner_text().endswith(key.split("-")[1])
    page.keyboard.press("Escape")
    page.wait_for_selector("#panel", state="hidden")
    assert page.evaluate("document.activeElement.dataset.value") == key
    source.change("one", grown(study))
    page.wait_for_selector("tr[data-value=search-99]")
    assert page.evaluate("document.activeElement.dataset.value") == key
    assert seen.errors == []


def test_on_a_phone_every_view_fits_asks_nothing_of_others_and_the_way_back_leads_out_of_the_panel(visit, study):
    """Every view of a wide page is shown in the test of hostile texts."""
    seen = visit(Studies(one=study, two=study), width=390)
    page = seen.page
    for view in VIEWS:
        show(page, view)
        assert page.locator("nav a[aria-current]").get_attribute("href") == f"#{view}"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
    assert set(FIGURES) <= set(VIEWS)
    show(page, "history")
    show(page, "trials")
    page.locator("#below tbody tr").first.click()
    page.wait_for_selector("#panel:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.go_back()
    page.wait_for_selector("#panel", state="hidden")
    assert page.locator("nav a[aria-current]").get_attribute("href") == "#history"
    assert (seen.errors, seen.others()) == ([], [])


def test_a_page_whose_server_ended_says_so_and_then_follows_the_next_one(visit, serve, study, make, caplog):
    seen = visit(Studies(one=study))
    page = seen.page
    assert page.locator("#silent").text_content() == ""
    seen.stop()
    page.wait_for_function("document.getElementById('silent').textContent.includes('does not answer')")
    _, stop = serve(Studies(one=grown(study)), seen.port)  # of the same version as what the page holds
    page.wait_for_function(
        "document.querySelector('#graph .js-plotly-plot').data.some(t => Array.from(t.customdata || []).includes(99))"
    )
    assert page.locator("#silent").text_content() == ""
    stop()
    serve(Studies(two=make([{"miou": 0.3}])), seen.port)
    page.wait_for_function("document.getElementById('name')?.textContent === 'two'")
    page.wait_for_function("document.querySelector('#graph .js-plotly-plot')?.layout?.uirevision === 'two/history'")
    assert count(page) == 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_at_night_the_page_and_its_figures_are_dark_and_have_no_ground_on_paper(visit, study):
    page = visit(Studies(one=study), scheme="dark").page
    ground = "getComputedStyle(document.querySelector('#graph .main-svg')).background"
    assert "rgb(29, 35, 42)" in page.evaluate(ground)
    assert (
        page.evaluate("document.querySelector('#graph .js-plotly-plot')._fullLayout.font.color")
        == theme.NIGHT[theme.INK]
    )
    page.locator("#below tr[data-value]").first.click()
    page.wait_for_selector("#curve .main-svg", state="attached")
    page.emulate_media(media="print", color_scheme="dark")
    grounds = page.locator(".plot .main-svg").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert set(grounds) == {"rgba(0, 0, 0, 0)"}
    fills = page.locator(".plot .main-svg .bg").evaluate_all("all => all.map(one => getComputedStyle(one).fill)")
    assert set(fills) == {"none"}
    page.emulate_media(media="screen", color_scheme="light")
    page.wait_for_function(f"({ground}).includes('rgb(255, 255, 255)')")


def test_several_studies_are_compared_and_one_is_chosen(visit, study, make):
    seen = visit(Studies(one=study, two=make([{"miou": 0.3}, {"miou": 0.5}])), "studies")
    page = seen.page
    names = "document.querySelector('#graph .js-plotly-plot').data.map(trace => trace.name)"
    assert page.evaluate(names) == ["one", "two"]
    page.locator("#top tbody tr", has_text="two").press("Enter")
    page.wait_for_function("document.getElementById('name').textContent === 'two'")
    show(page, "history")
    page.wait_for_function("document.querySelector('#graph .js-plotly-plot').layout.uirevision === 'two/history'")
    assert count(page) == 2
    assert seen.errors == []


def test_hostile_texts_stay_text(visit, make):
    names = dict.fromkeys(("pair", "teacher", "student", "reason", "method"), HOSTILE)
    row = {
        **names,
        "miou": 0.4,
        "baseline": 0.3,
        f"param.{HOSTILE}": HOSTILE,
        "param.lambda_kd": 0.1,
        "param.lambda_hakd": 1.0,
    }
    frames = make(
        [row, row | {"pair": HOSTILE + "2"}, row | {"state": "FAIL"}],
        curves=[("search", 0, 100, 0.4)],
        dimensions=[(HOSTILE, "categorical", False)],
        importance=[(HOSTILE, 0.5, 0.4, 0.6, False, HOSTILE)],
        summary={"study": HOSTILE, HOSTILE: HOSTILE, "trials": HOSTILE},
    )
    source = Studies(**{HOSTILE: frames, "two": frames})
    source.held[HOSTILE] = replace(source.held[HOSTILE], note=HOSTILE)
    source.told = Detail({HOSTILE: HOSTILE}, (HOSTILE,), (0.5,), ())
    source.samples = Pictures(note=HOSTILE)
    seen = visit(source)
    page = seen.page
    assert page.locator("h1").inner_text() == HOSTILE
    for view in VIEWS:
        show(page, view)
    show(page, "trials")
    page.locator("#below tbody tr").first.press("Enter")
    page.wait_for_function("document.getElementById('pictures').textContent.includes('</script>')")
    assert page.locator("#classes .name").inner_text() == HOSTILE
    page.locator("#only-pair").click()
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None
    assert page.locator("main a:not(.modebar-btn), #panel a:not(.modebar-btn), main img, svg a").count() == 0
    assert (seen.errors, seen.others()) == ([], [])
