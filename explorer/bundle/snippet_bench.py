"""How long a bundle's graphs take on this device: python bench.py. Needs onnxruntime and numpy, nothing else.

Each ONNX file that metrics.json lists runs in a process of its own, one image at a time. Writes bench.json: median
(p50) and 90th percentile (p90) of a run in milliseconds, and the process's largest memory. Copy the folder to the
device, run it there, and give bench.json to a sweep (`latency: bench.json`), which then searches by its milliseconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
USUAL = 512  # pixels a side, of graphs that take any
WARM_UP = 5


def bench(
    folder: Path,
    *,
    files: Sequence[str] = (),
    device: str | None = None,
    provider: str = "CPUExecutionProvider",
    threads: int = 1,
    size: tuple[int, int] | None = None,
    runs: int = 50,
) -> dict[str, Any]:
    """What bench.json holds.

    Args:
        folder: of metrics.json and the graphs.
        files: those of the graphs; none: all.
        device: what to call it; none: as the system does.
        provider: of ONNX Runtime.
        size: height and width; none: the graph's own, or 512x512 where it takes any.

    Raises:
        ValueError: no such graph, provider or size.
    """
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    known = {name: facts for name, facts in metrics["files"].items() if name.endswith(".onnx") and "size" in facts}
    if missing := sorted({*files} - {*known}):
        raise ValueError(f"{folder} holds no graph {missing[0]!r}. It has: {', '.join(known) or 'none'}.")
    if not known:
        raise ValueError(f"{folder} holds no ONNX graph. Export it again, without --no-onnx.")
    if provider not in (there := onnxruntime.get_available_providers()):
        raise ValueError(f"{provider} is no provider of this onnxruntime, which has: {', '.join(there)}.")
    results = []
    for name in files or known:
        height, width = _fitting(name, known[name]["size"], size)
        asked = [str(folder / name), provider, metrics["layout"], str(threads), str(height), str(width), str(runs)]
        found = _alone(asked)
        results.append(
            {
                "network": metrics["student"],
                "file": name,
                "precision": precision(name),
                "height": height,
                "width": width,
                **found,
                "miou": known[name].get("miou"),
                "points_lost": known[name].get("points_lost"),
            }
        )
    return {
        "device": device or f"{platform.node()} ({platform.machine()})",
        "system": platform.platform(),
        "onnxruntime": onnxruntime.__version__,
        "provider": provider,
        "threads": threads,
        "runs": runs,
        "results": results,
    }


def precision(file: str) -> str:
    """Of student.int8.onnx int8; of student.onnx fp32."""
    parts = file.split(".")
    return parts[-2] if len(parts) > 2 else "fp32"


def _fitting(name: str, own: str, size: tuple[int, int] | None) -> tuple[int, int]:
    if not own.startswith("multiples"):
        height, width = (int(side) for side in own.split("x"))
        if size not in (None, (height, width)):
            raise ValueError(f"{name} takes {own} alone. Leave --size out.")
        return height, width
    height, width = size or (USUAL, USUAL)
    if min(height, width) < 64 or height % 32 or width % 32:
        raise ValueError(f"{name} takes sides that are {own}, got {height}x{width}.")
    return height, width


def _alone(asked: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", *asked]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise ValueError(f"{asked[0]} does not run: {' '.join(done.stderr.split())[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(file: str, provider: str, layout: str, threads: int, height: int, width: int, runs: int) -> dict[str, Any]:
    """One graph, in this process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(file, options, providers=[provider])
    given = session.get_inputs()[0]
    nhwc = layout == "nhwc"
    channels = given.shape[-1 if nhwc else 1]
    shape = (1, height, width, channels) if nhwc else (1, channels, height, width)
    images = np.random.default_rng(0).integers(0, 256, shape)
    images = images.astype(np.uint8 if given.type == "tensor(uint8)" else np.float32)
    taken = []
    for _ in range(WARM_UP + runs):
        start = time.perf_counter()
        session.run(None, {given.name: images})
        taken.append(1000 * (time.perf_counter() - start))
    p50, p90 = np.percentile(taken[WARM_UP:], [50, 90])
    return {"p50_ms": round(float(p50), 3), "p90_ms": round(float(p90), 3), "peak_mib": peak_mib()}


def peak_mib() -> float | None:
    """The most memory that this process has held, ONNX Runtime itself included; None where nothing tells."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        kib = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return None if kib is None else round(int(kib) / 1024, 1)
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def sides(text: str) -> tuple[int, int]:
    """Of 512x1024: height and width."""
    height, _, width = text.partition("x")
    return int(height), int(width)


def lines(found: dict[str, Any]) -> list[str]:
    """One line a graph."""
    told = []
    for one in found["results"]:
        lost = "" if one["points_lost"] is None else f", loses {one['points_lost']:.2f} points of mIoU"
        memory = "" if one["peak_mib"] is None else f", {one['peak_mib']:.0f} MiB"
        size = f"{one['height']}x{one['width']}"
        told.append(f"{one['file']}, {size}: p50 {one['p50_ms']:.1f} ms, p90 {one['p90_ms']:.1f} ms{memory}{lost}")
    return told


def main(arguments: Sequence[str]) -> str | None:
    """Write bench.json; what is wrong, if something is."""
    if arguments[:1] == ["--measure"]:
        file, provider, layout, *numbers = arguments[1:]
        print(json.dumps(measure(file, provider, layout, *map(int, numbers))))
        return None
    parser = argparse.ArgumentParser(prog="bench.py", description="How long the graphs take on this device.")
    parser.add_argument("--file", action="append", default=[], help="this graph; may be given several times; none: all")
    parser.add_argument("--device", help="what to call this device in bench.json")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="of ONNX Runtime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=sides, help="height x width, such as 512x1024")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--out", type=Path, default=HERE / "bench.json")
    asked = vars(parser.parse_args(arguments))
    out, files = asked.pop("out"), asked.pop("file")
    try:
        found = bench(HERE, files=files, **asked)
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        return f"Error: {error}"
    print("\n".join([*lines(found), f"bench: {out}"]))
    return None


if __name__ == "__main__":
    if wrong := main(sys.argv[1:]):
        print(wrong, file=sys.stderr)
        sys.exit(2)
