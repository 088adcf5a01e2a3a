"""What a GPU makes of it, in at most eight minutes: one command for whoever has one.

The CUDA tests of the suite; our training loop against the plain one; 1, 4 and 8 students of one teacher; L_hakd's
kernels against the copy floor; how many students `group_size: auto` takes and whether they fit; peak memory; model
FLOPs against a matrix product; `compile` and CUDA graphs; a trial on two GPUs, where there are two. Each is a section
of its own (benchmarks/gpu_sections.py), with a process and a slice of the time; one that fails or runs over is said to
have failed, and the others still run.

They need no Ray, Optuna, pandas, plotly or network. Writes benchmarks/gpu.json and prints tables; ends with 1 if a
section failed, with 2 where there is no GPU. `--smoke` tries everything with tiny sizes, on a CPU where there is no
GPU, and writes elsewhere. Run: `python benchmarks/gpu.py [--smoke] [--out PATH] [--sections NAME ...]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from slices import Found, Part, Row, run

HERE = Path(__file__).resolve().parent
OUT = HERE / "gpu.json"
LIMIT_S = 480
SLICES_S = {
    "setting": 25, "tests": 65, "loop": 80, "sharing": 65, "kernels": 35, "auto": 40, "memory": 35, "mfu": 40,
    "compile": 70, "together": 25,
}  # fmt: skip
NEED_CUDA = ("tests", "compile")
UNITS = {"_per_s": "1/s", "_gb_s": "GB/s", "_tflop_s": "TFLOP/s", "_ms": "ms", "_s": "s", "_mib": "MiB"}
NOT_SHOWN = ("failing", "form", "layout", "shape", "floor_mib", "map_mib", "pair", "ns_a_pixel")  # but written


def part(name: str, *, smoke: bool, cuda: bool = True) -> Part:
    command = [sys.executable, str(HERE / "gpu_sections.py"), name, *(["--smoke"] if smoke else [])]
    return Part(name, command, SLICES_S[name], None if cuda or name not in NEED_CUDA else "CUDA")


def told(found: Found) -> Row:
    return {key: value for key, value in found._asdict().items() if key != "name"}


def show(found: list[Found], console: Console) -> None:
    for one in found:
        state = one.state if one.reason is None else f"{one.state}: {one.reason}"
        console.print(f"\n[bold]{one.name}[/bold] {state} ({one.seconds:.0f} of {one.slice_s:.0f} s)", highlight=False)
        rows = [{key: value for key, value in row.items() if key not in NOT_SHOWN} for row in one.rows]
        if one.name == "setting" and rows:
            console.print(", ".join(f"{key} {value}" for key, value in rows[0].items() if key != "case"))
        elif rows:
            console.print(table(rows))


def table(rows: list[Row]) -> Table:
    """A column for each key, in the order in which they first come."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    drawn = Table()
    for key in keys:
        drawn.add_column(heading(key), justify="left" if key in ("case", "problem", "needs") else "right")
    for row in rows:
        drawn.add_row(*(shown(row.get(key)) for key in keys))
    return drawn


def heading(key: str) -> str:
    unit = next((ending for ending in UNITS if key.endswith(ending)), "")
    name = key.removesuffix(unit).replace("_", " ")
    return f"{name} ({UNITS[unit]})" if unit else name


def shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, (list, tuple)):
        return "x".join(map(str, value))
    return "" if value is None else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; needs no GPU")
    parser.add_argument(
        "--out", type=Path, help="where the figures go; default: benchmarks/gpu.json, but not of --smoke"
    )
    parser.add_argument("--sections", nargs="+", choices=list(SLICES_S)[1:], default=list(SLICES_S)[1:])
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    console = Console(width=max(Console().width, 160))
    began = time.monotonic()
    (about,) = run([part("setting", smoke=given.smoke)])
    cuda = bool(about.rows) and about.rows[0].get("cuda") is True
    if not cuda and not given.smoke:
        reason = f" ({about.reason})" if about.reason else ""
        console.print(f"Here is no CUDA device that PyTorch finds{reason}. Run it on a GPU, or try it with --smoke.")
        return 2
    parts = [part(name, smoke=given.smoke, cuda=cuda) for name in given.sections]
    left = about.slice_s - about.seconds
    found = [about, *run(parts, left=left, say=lambda line: console.print(line, highlight=False, markup=False))]
    seconds = round(time.monotonic() - began, 1)
    setting = {key: value for key, value in (about.rows or [{}])[0].items() if key != "case"}
    command = " ".join(["python benchmarks/gpu.py", *sys.argv[1:]])
    content = {
        "setting": {"command": command, "seconds": seconds, **setting},
        "sections": {one.name: told(one) for one in found},
    }
    out = given.out or (Path(tempfile.mkdtemp()) / "gpu.json" if given.smoke else OUT)
    out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    show(found, console)
    failed = [one.name for one in found if one.state == "failed"]
    verdict = f"{len(failed)} of {len(found)} sections failed: {', '.join(failed)}" if failed else "no section failed"
    console.print(f"\n{verdict}; {seconds:.0f} s; the figures are in {out}", highlight=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
