"""Studies to draw: `make` builds one from a few rows, `study` is a realistic one; and a browser to draw them in."""

import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from dashboards import app
from dashboards.frames import COLUMNS, PARAM, StudyFrames, blank

SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
TRIAL = {
    "role": "search",
    "state": "COMPLETE",
    "reason": None,
    "pair": "r18:mit_b0",
    "teacher": "deeplabv3:resnet18",
    "student": "segformer:mit_b0",
    "teacher_family": "CNN",
    "student_family": "Transformer",
    "method": "heteroakd",
    "seed": 0,
    "budget": 400,
    "steps": 400,
    "relative_cost": float("nan"),
    "probe": False,
    "step": 400,
    "miou": float("nan"),
    "miou_low": float("nan"),
    "miou_high": float("nan"),
    "baseline": float("nan"),
    "gain_at_steps": float("nan"),
    "gain_at_compute": float("nan"),
    "peer_miou": float("nan"),
    "peer_gain": float("nan"),
    "parameters_millions": 3.7,
    "gmac": 0.5,
    "latency_ms": float("nan"),
    "seconds": 12.0,
}
ALONE = {"role": "baseline", "pair": None, "teacher": None, "teacher_family": None, "method": "task"}


def _frames(trials=(), curves=(), dimensions=(), importance=(), surface=(), summary=None, taught=(), **more):
    rows = [TRIAL | {"number": number} | row for number, row in enumerate(trials)]
    table = pd.DataFrame([row | {"gain": row["miou"] - row["baseline"]} for row in rows])
    given = {
        "curves": curves,
        "dimensions": dimensions,
        "importance": [row if len(row) == 8 else ("variance", "", *row) for row in importance],
        "surface": [row if len(row) == 6 else (*row, False) for row in surface],
        "taught": taught,
        **more,
        "gains": [row if len(row) == 14 else (*row, "steps", "") for row in more.get("gains", ())],
    }
    others = {
        name: pd.DataFrame(rows, columns=list(COLUMNS[name])) if len(rows) else blank(name)
        for name, rows in given.items()
    }
    return StudyFrames(summary=summary or {}, trials=table if rows else blank("trials"), **others)


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; a test that needs it is skipped where there is none."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=SWITCHES.split())
        yield opened
        opened.close()


@pytest.fixture
def serve():
    """Serves a source on a port; the server, and what ends it before the test does."""
    running = []

    def go(source, port=0):
        server = app.server(source, host="127.0.0.1", port=port, every_s=1.0)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def stop():
            if stop in running:
                running.remove(stop)
                server.shutdown()
                thread.join()
                server.server_close()

        running.append(stop)
        return server, stop

    yield go
    for stop in list(running):
        stop()


@pytest.fixture
def visit(browser, serve):
    """Serves a source and opens it; the page, what the console reported as an error, what was asked of others."""
    opened = []

    def go(source, view="history", width=1400, scheme="light"):
        server, stop = serve(source)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        errors, requests = [], []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        address = f"http://127.0.0.1:{server.port}/"
        page.goto(f"{address}#{view}")
        page.wait_for_function("document.getElementById('status')?.textContent")
        page.wait_for_selector("#below tbody tr") if view == "trials" else _drawn(page)
        near = (address, "data:", "blob:")
        others = lambda: [url for url in requests if not url.startswith(near)]  # noqa: E731
        return SimpleNamespace(page=page, errors=errors, others=others, port=server.port, stop=stop)

    yield go
    for context in opened:
        context.close()


def _drawn(page):
    """Wait for a figure of ours: an empty one is there before."""
    page.wait_for_function("(document.querySelector('#graph .js-plotly-plot')?.layout?.uirevision || '') !== ''")
    page.wait_for_selector("#graph .main-svg", state="attached")


@pytest.fixture(scope="session")
def make():
    """Builds StudyFrames from partial trial rows; the rest as in TRIAL, numbered from 0."""
    return _frames


@pytest.fixture(scope="session")
def alone():
    """What makes a row a baseline trial."""
    return ALONE


PAIRS = [
    ("r18:mit_b0", "deeplabv3:resnet18", "segformer:mit_b0", "CNN", "Transformer", 3.72, 0.431),
    ("mit_b1:mbv3", "segformer:mit_b1", "deeplabv3:mobilenetv3_small_050", "Transformer", "CNN", 1.61, 0.366),
    ("r18:mvit", "deeplabv3:resnet18", "unet:mobilevit_xxs", "CNN", "hybrid", 2.38, 0.402),
]
DIMENSIONS = [
    ("pair", "categorical", False),
    ("temperature", "float", False),
    ("lambda_kd", "float", True),
    ("lambda_hakd", "float", True),
    ("projector_depth", "int", False),
    ("projector_width", "int", True),
    ("kem_axis", "categorical", False),
]
STEPS = (100, 200, 300, 400)
FIRST = (0.45, 0.44, 0.46, 0.43, 0.48)  # of a finalist: mIoU, its interval over seeds, that over images
KEYS = ("pair", "teacher", "student", "teacher_family", "student_family", "parameters_millions", "baseline")


def _config(rng, pair):
    depth = int(rng.integers(1, 4))
    return {
        "pair": pair,
        "temperature": float(rng.uniform(1, 6)),
        "lambda_kd": float(10 ** rng.uniform(-2, 1)),
        "lambda_hakd": float(10 ** rng.uniform(-1, 1.5)),
        "projector_depth": depth,
        "projector_width": int(2 ** rng.integers(4, 9)) if depth > 1 else float("nan"),
        "kem_axis": str(rng.choice(["class", "space"])),
    }


def _trial(rng, number):
    identity = dict(zip(KEYS, PAIRS[number % 3], strict=True))
    config = _config(rng, identity["pair"])
    quality = (
        0.055 - 0.02 * (np.log10(config["lambda_kd"]) + 1) ** 2 - 0.02 * (np.log10(config["lambda_hakd"]) - 0.3) ** 2
    )
    final = identity["baseline"] + quality + rng.normal(0, 0.006)
    state = "FAIL" if number in (7, 19) else "RUNNING" if number >= 30 else "PRUNED" if quality < 0.01 else "COMPLETE"
    seen = {"FAIL": 0, "RUNNING": 2, "COMPLETE": 4}.get(state, int(rng.integers(1, 3)))
    values = [
        final * (1 - 0.55 * np.exp(-1.4 * k)) / (1 - 0.55 * np.exp(-5.6)) + rng.normal(0, 0.004) for k in range(1, 5)
    ]
    values[-1] = final
    row = identity | {"state": state, "step": 100 * seen, "miou": values[seen - 1] if seen else float("nan")}
    reason = "NonFiniteLoss: loss_total is nan at step 37; lower lr or lambda_hakd." if number == 7 else None
    row |= {"reason": reason} if state == "FAIL" else {}
    row |= {PARAM + name: value for name, value in config.items()}
    return row, [("search", number, step, value) for step, value in zip(STEPS, values[:seen], strict=False)]


def _surface():
    for pair, *_, level in PAIRS[:2]:
        for kd in np.logspace(-2, 1, 21):
            for hakd in np.logspace(-1, 1.5, 21):
                bump = 0.05 - 0.02 * (np.log10(kd) + 1) ** 2 - 0.02 * (np.log10(hakd) - 0.3) ** 2
                yield pair, kd, hakd, level + bump, 0.006


@pytest.fixture(scope="session")
def study():
    """About thirty trials over three pairs: complete, pruned, failed, running, with two baselines for each student."""
    rng = np.random.default_rng(4)
    drawn = [_trial(rng, number) for number in range(32)]
    trials = [row for row, _ in drawn]
    curves = [value for _, values in drawn for value in values]
    for number, (_, _, student, _, family, size, level) in enumerate(PAIRS):
        identity = {"student": student, "student_family": family, "parameters_millions": size}
        trials.append(ALONE | identity | {"number": number, "miou": level})
        curves += [("baseline", number, step, level * (1 - 0.5 * np.exp(-step / 90))) for step in STEPS]
    importance = [
        ("lambda_kd", 0.41, 0.29, 0.52, True, ""),
        ("lambda_hakd", 0.27, 0.16, 0.38, True, ""),
        ("pair", 0.17, 0.08, 0.25, True, ""),
        ("temperature", 0.06, 0.01, 0.14, True, ""),
        ("projector_width", 0.05, 0.0, 0.21, False, "only 9 complete trials have it; 20 are needed."),
        ("kem_axis", 0.02, 0.0, 0.08, False, "its interval holds the noise floor of 3 %."),
    ]
    summary = {
        "study": "earth-pairs",
        "trials": "32 search, 3 baseline",
        "states": "18 complete, 10 pruned, 2 failed, 2 running",
        "best gain": "+5.4 points (r18:mit_b0)",
        "data": "earth, 8 classes, 128 × 128 px",
        "budget": "400 steps",
        "sampler": "TPE, seed 0",
        "pruner": "Hyperband, 100 to 400 steps, factor 2",
        "time": "1 h 12 min on 2 CPU cores",
    }
    shares = [
        ("search", number, step, 0.3 + 0.02 * number + step / 2000, 0.45 + step / 4000)
        for number in (0, 3, 6)
        for step in STEPS
    ]
    return _frames(trials, curves, DIMENSIONS, importance, list(_surface()), summary, shares, **_analysed())


def _analysed():
    """Rows of the statistics, as from `explorer.statistics.sensitivity`."""
    gains = [
        (pair, teacher, student, "", statistic, 9, 2, gain + lead, gain + lead - 0.02, gain + lead + 0.02, sure, "Why.")
        for (pair, teacher, student, *_), gain in zip(PAIRS, (0.03, 0.01, -0.01), strict=True)
        for statistic, lead, sure in (("typical", 0.0, gain > 0.02), ("best", 0.015, gain > 0.005))
    ]
    slices = [
        (pair, "lambda_kd", kd, f"{kd:.3g}", level - 0.01 * np.log10(kd) ** 2, level - 0.02, level + 0.01, kd == 1)
        for pair, *_, level in PAIRS[:2]
        for kd in (0.01, 0.1, 1.0, 10.0)
    ]
    slices += [
        (pair, "kem_axis", number, axis, level, level - 0.01, level + 0.01, number == 0)
        for pair, *_, level in PAIRS[:2]
        for number, axis in enumerate(("class", "space"))
    ]
    confirmed = [
        (1, 4, "r18:mit_b0", "heteroakd", "test", 5, 0.48, 0.46, 0.02, *FIRST, 0.02, 0.01, 0.03, True, ""),
        (
            2,
            9,
            "r18:mit_b0",
            "heteroakd",
            "test",
            5,
            0.47,
            0.45,
            0.02,
            *(0.43, 0.42, 0.44, 0.41, 0.45),
            0.0,
            -0.01,
            0.01,
            False,
            "No.",
        ),
    ]
    return {
        "noise": [(0.006, 0.004, 0.012, 3, 6)],
        "interactions": [
            ("pair", "lambda_kd", 0.2, 0.1, 0.3, True, ""),
            ("lambda_kd", "lambda_hakd", 0.02, 0.0, 0.06, False, "It may be nothing."),
            ("pair", "kem_axis", float("nan"), float("nan"), float("nan"), False, "Too few."),
        ],
        "gains": gains,
        "local": slices,
        "further": [(20, 0.012), (21, 0.009), (22, 0.001)],
        "ranks": [(100, 16, 0.5, 0.2, 0.7), (200, 16, 0.8, 0.6, 0.9)],
        "confirmed": confirmed,
    }
