"""What a suggestion and a result cost through the bridge, by storage, when a study is long: its last 100 trials.

Trials of 9 steps of the preset `heteroakd` (nine dimensions) under the default sampler, pruner and probes, one at a
time, no training; each storage in a process of its own. `wall` is what a driver waits, disk included; `cpu` the
driver's own part, which other work on the machine changes little. `rss_mib` is its memory at these numbers of trials.
Run: `python benchmarks/storage.py`; writes benchmarks/storage.json.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STEPS, LAST = 9, 100
TRIALS = {"journal": 1000, "grpc": 1000, "sqlite": 300, "postgresql": 300}  # the last two write slowly
OUT = Path(__file__).with_suffix(".json")
Timed = list[tuple[float, float]]  # (wall, cpu), seconds


def measure(storage: str, num_trials: int) -> dict[str, Any]:
    """Drive one study from its first trial to its last."""
    import optuna

    from explorer.search.arms import open_arms
    from explorer.search.bridge import Bridge
    from explorer.study import StudySpec

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base = {"steps": STEPS, "eval_every": 1}
    spec = StudySpec.parse({"preset": "heteroakd", "base": base, "num_trials": num_trials, "storage": storage})
    suggest: Timed = []
    report: Timed = []
    memory = {}
    with tempfile.TemporaryDirectory() as folder:
        arm = open_arms(spec, Path(folder), data_digest="none")["search"]
        bridge = Bridge([arm], grace=spec.grace(STEPS))
        for number in range(num_trials):
            if number == num_trials - LAST:
                suggest.clear()
                report.clear()
            trial = str(number)
            config = _time(suggest, bridge.suggest, trial)["config"]
            for step in range(1, STEPS + 1):
                result = {"step": step, "miou": _miou(config, step), "seconds": float(step), "iou": [0.5] * 19}
                if _time(report, bridge.report, trial, result) == "STOP":
                    break
            bridge.on_trial_complete(trial)
            if number + 1 in (100, 300, 500, 1000):
                memory[str(number + 1)] = _resident_mib()
    return {"trials": num_trials, "suggestion_ms": _spread(suggest), "result_ms": _spread(report), "rss_mib": memory}


def _miou(config: dict[str, Any], step: int) -> float:
    """Best at lambda_kd = 0.3 and lr = 1e-3, rising with the step."""
    off = math.log10(config["lambda_kd"] / 0.3) ** 2 + math.log10(config["lr"] / 1e-3) ** 2
    return 0.5 * math.exp(-off) * (1 - 0.5**step)


def _time(into: Timed, call: Callable[..., Any], *arguments: Any) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(*arguments)
    into.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result


def _spread(seconds: Timed) -> dict[str, float]:
    """Median and 95th percentile, ms."""
    spread = {}
    for name, values in zip(("wall", "cpu"), zip(*seconds, strict=True), strict=True):
        spread[f"{name}_median"] = round(1000 * statistics.median(values), 2)
        spread[f"{name}_p95"] = round(1000 * statistics.quantiles(values, n=20)[-1], 2)
    return spread


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


@contextmanager
def _opened(name: str) -> Iterator[str]:
    """The storage's name in a spec, with the server that it needs."""
    if name == "postgresql":
        import postgres

        with postgres.server(durable=True) as server:
            yield server.create("benchmark")
    elif name == "grpc":
        with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            probe.close()
            server = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, port), daemon=True)
            server.start()
            yield f"grpc://127.0.0.1:{port}"
            server.terminate()
            server.join()
    else:
        yield name


def _serve(folder: str, port: int) -> None:
    from explorer.storage.serve import serve

    serve(Path(folder), host="127.0.0.1", port=port, say=lambda _: None)


def _why_not(name: str) -> str | None:
    import postgres

    if name == "postgresql" and postgres.binaries() is None:
        return "no PostgreSQL server is installed"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--storages", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    chosen = parser.parse_args().storages
    os.environ["OMP_NUM_THREADS"] = "1"
    figures = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() and len(chosen) < len(TRIALS) else {}
    for name in chosen:
        if why := _why_not(name):
            figures[name] = {"skipped": why}
            continue
        with _opened(name) as storage, multiprocessing.get_context("spawn").Pool(1) as pool:
            load = os.getloadavg()[0]
            figures[name] = {**pool.apply(measure, (storage, TRIALS[name])), "load_before": round(load, 1)}
        OUT.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        _print(name, figures[name])


def _print(name: str, figures: dict[str, Any]) -> None:
    told = [f"{what} {figures[key]['wall_median']:7.2f} ms (cpu {figures[key]['cpu_median']:.2f})"
            for what, key in (("suggestion", "suggestion_ms"), ("result", "result_ms"))]  # fmt: skip
    print(f"{name:10} {figures['trials']:5} trials: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
