"""The live dashboard of a study of 5,000 trials with 10 reports each, in headless Chromium on this machine.

What is timed, as its reader sees it: `first_paint_ms`, from the address to the first thing on the page (Chromium's
first-contentful-paint); `first_figure_ms`, to the first drawn figure, with plotly.js compiled and all marks on it;
`filter_ms`, from a choice in a filter to the figure drawn anew, for each view; `open_trial_ms`, from the click on a row
to the panel. A page is visited by a new browser each time, with an empty cache.
Run: `python benchmarks/dashboard.py`; writes benchmarks/dashboard.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from playwright.sync_api import Browser, Page, sync_playwright

from dashboards import app
from explorer.search.arms import study_name
from explorer.show.live import Studio
from explorer.storage import storages
from explorer.study import StudySpec
from trainables.config import TrialConfig

PAIRS = {
    "fpn_r18:mit_b0": ("fpn:resnet18", "segformer:mit_b0"),
    "mit_b0:mbv3s": ("segformer:mit_b0", "fpn:tu-mobilenetv3_small_050"),
}
STEPS = 10
SPACE: dict[str, Any] = {
    "pair": list(PAIRS), "lambda_kd": {"low": 0.01, "high": 10.0, "log": True},
    "lambda_hakd": {"low": 0.1, "high": 30.0, "log": True}, "temperature": {"low": 1.0, "high": 4.0},
    "projector_depth": {"low": 1, "high": 2}, "lr": {"low": 1e-4, "high": 1e-2, "log": True},
}  # fmt: skip
SWITCHES = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
VIEWS = ("history", "curves", "surface", "parallel", "tradeoff", "methods", "trials")
OUT = Path(__file__).with_suffix(".json")

DRAWN = """async (click) => {
  // until the figure (or the table) that the click asks for is there, and the browser has painted it
  const plot = document.querySelector('#graph .js-plotly-plot');
  const painted = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const table = location.hash === '#trials';
  const drawn = new Promise(done => {
    if (!table) return plot.once('plotly_afterplot', done);
    const all = {childList: true, subtree: true, characterData: true};
    new MutationObserver(done).observe(document.getElementById('below'), all);
  });
  const began = performance.now();
  window.dash_clientside.set_props('only-pair', {value: click});
  await drawn; await painted();
  return performance.now() - began;
}"""


def study(directory: Path, num_trials: int) -> Path:
    """A finished sweep as the explorer leaves one: 60 % pruned at a rung, 1 % failed, students alone for two seeds."""
    spec = StudySpec.parse(
        {"name": "five thousand", "space": SPACE, "base": {"steps": STEPS, "eval_every": 1}, "num_trials": num_trials,
         "seeds": [0, 1]}
    )  # fmt: skip
    directory.mkdir(parents=True)
    spec.save(directory)
    storage = storages.open_storage(spec, directory)
    rng = np.random.default_rng(0)
    with storages.one_sync(storage):
        alone = optuna.create_study(study_name=study_name(spec, "baseline"), storage=storage, direction="maximize")
        search = optuna.create_study(study_name=study_name(spec, "search"), storage=storage, direction="maximize")
        sizes = {"segformer:mit_b0": 3.72, "fpn:tu-mobilenetv3_small_050": 1.98}
        search.set_user_attr(
            "costs", {name: {"parameters_millions": size, "gmac": 0.1} for name, size in sizes.items()}
        )
        for student in sizes:
            for seed in (0, 1):
                alone.add_trial(_trial(rng, student=student, seed=seed, pair=None, params={}, level=0.4))
        for _ in range(num_trials):
            search.add_trial(_searched(rng))
    return directory


def _searched(rng: np.random.Generator) -> optuna.trial.FrozenTrial:
    pair = str(rng.choice(list(PAIRS)))
    params = {
        "pair": pair, "lambda_kd": 10 ** rng.uniform(-2, 1), "lambda_hakd": 10 ** rng.uniform(-1, 1.47),
        "temperature": rng.uniform(1, 4), "projector_depth": int(rng.integers(1, 3)), "lr": 10 ** rng.uniform(-4, -2),
    }  # fmt: skip
    level = 0.42 - 0.02 * (math.log10(params["lambda_kd"]) + 1) ** 2 - 0.05 * (math.log10(params["lr"]) + 3) ** 2
    level += float(rng.normal(0, 0.01))
    return _trial(rng, student=PAIRS[pair][1], seed=int(rng.integers(2)), pair=pair, params=params, level=level)


def _trial(
    rng: np.random.Generator, *, student: str, seed: int, pair: str | None, params: dict[str, Any], level: float
) -> optuna.trial.FrozenTrial:
    kind = rng.random() if pair else 1.0
    state = TrialState.FAIL if kind < 0.01 else TrialState.PRUNED if kind < 0.61 else TrialState.COMPLETE
    last = STEPS if state == TrialState.COMPLETE else int(rng.choice([2, 4, 8]))
    values = {step: level * (1 - 0.6**step) + float(rng.normal(0, 0.004)) for step in range(1, last + 1)}
    told: dict[str, Any] = {
        "student": student, "method": "heteroakd" if pair else "task", "seed": seed, "budget": STEPS, "seconds": 30.0,
        "iou": [level] * 7, "config": TrialConfig(student=student).model_dump(mode="json"),
    }  # fmt: skip
    if pair:
        told |= {"pair": pair, "teacher": PAIRS[pair][0]}
    if state == TrialState.FAIL:
        told["reason"] = "NonFiniteLoss: loss_total is nan; lower lr or lambda_hakd."
    ranges: dict[str, Any] = {
        "pair": CategoricalDistribution(list(PAIRS)), "lambda_kd": FloatDistribution(0.01, 10, log=True),
        "lambda_hakd": FloatDistribution(0.1, 30, log=True), "temperature": FloatDistribution(1, 4),
        "projector_depth": IntDistribution(1, 2), "lr": FloatDistribution(1e-4, 1e-2, log=True),
    }  # fmt: skip
    return optuna.trial.create_trial(
        state=state, value=values[last] if state == TrialState.COMPLETE else None, params=params,
        distributions={name: ranges[name] for name in params}, intermediate_values=values, user_attrs=told,
    )  # fmt: skip


def first(browser: Browser, address: str) -> dict[str, float]:
    """A first visit, in ms."""
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto(address)
    page.wait_for_function(
        "window.Plotly && document.querySelector('#graph .js-plotly-plot .gl-canvas, #graph .points')"
    )
    figure = page.evaluate("performance.now()")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    sent = page.evaluate("performance.getEntriesByType('resource').reduce((all, one) => all + one.transferSize, 0)")
    page.context.close()
    return {"first_paint_ms": paint, "first_figure_ms": figure, "mib": sent / 2**20}


def filtered(page: Page, view: str, repeats: int) -> list[float]:
    """Filter by each pair in turn, and by none; ms each."""
    page.locator(f"#to-{view}").click()
    page.wait_for_timeout(3000)
    turns = [*([pair] for pair in PAIRS), []] * repeats
    times = []
    for turn in turns:
        times.append(float(page.evaluate(DRAWN, turn)))
        page.wait_for_timeout(300)
    return times


def opened(page: Page, repeats: int) -> list[float]:
    """From Enter on a row to its panel, ms."""
    page.locator("#to-trials").click()
    page.wait_for_selector("tr[data-value]")
    times = []
    for row in range(repeats):
        key = page.locator("#below tr[data-value]").nth(row).get_attribute("data-value")
        began = time.perf_counter()
        page.locator("#below tr[data-value]").nth(row).press("Enter")
        page.wait_for_function(
            "number => document.getElementById('panel-title').textContent.endsWith(' ' + number)", arg=key.split("-")[1]
        )
        times.append(1000 * (time.perf_counter() - began))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--study", type=Path, help="a folder made before; else one is made and thrown away")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        directory = options.study or Path(folder) / "study"
        if not directory.exists():
            study(directory, options.trials)
        began = time.perf_counter()
        with Studio([directory]) as studio:
            read = time.perf_counter() - began
            while studio.snapshot(studio.names()[0]).as_of is None:  # of the pages alone, not of the statistics
                time.sleep(1)
            figures = measure(studio, options.repeats) | {"read_s": round(read, 2)}
    figures |= {"trials": options.trials, "cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)}
    OUT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


def measure(studio: Studio, repeats: int) -> dict[str, Any]:
    """Serve it and look at it."""
    server = app.server(studio, host="127.0.0.1", port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.port}/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES.split())
        visits = [first(browser, address) for _ in range(repeats)]
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.wait_for_selector("#graph .main-svg")
        filters = {view: filtered(page, view, repeats) for view in VIEWS}
        rows = opened(page, repeats)
        browser.close()
    server.shutdown()
    return {
        **{name: _spread([visit[name] for visit in visits]) for name in visits[0]},
        "filter_ms": {view: _spread(times) for view, times in filters.items()},
        "open_trial_ms": _spread(rows),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "most": round(max(values), 1)}


if __name__ == "__main__":
    main()
