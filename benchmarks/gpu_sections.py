"""What benchmarks/gpu.py measures: each section gives its cases one after another, in a process of its own.

Sizes are those of a GPU; of `--smoke`, and without a GPU, tiny ones that show that it runs and measure nothing. The
functions that measure are those of the other benchmarks. Run by benchmarks/gpu.py as `gpu_sections.py SECTION ROWS`.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import cuda_tests
import torch
from slices import Case, Needs, Row, write_cases

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
MIB = 2**20
WRONG = 1e-3  # a form's gradients may be off by a tenth of a percent; fp32 alone is off by 1e-6
COMPILED = {"teacher": "fpn:resnet18", "student": "segformer:mit_b0"}  # of few minutes to compile


def setting(smoke: bool) -> Iterator[Case]:
    yield (
        "setting",
        lambda: {
            "device": torch.cuda.get_device_name() if CUDA else platform.machine(),
            "cuda": CUDA,
            **({"capability": ".".join(map(str, torch.cuda.get_device_capability()))} if CUDA else {}),
            **({"memory_gib": round(torch.cuda.mem_get_info()[1] / 2**30, 1)} if CUDA else {}),
            "driver": _driver(),
            "cuda_version": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if CUDA else None,
            "python": platform.python_version(),
            **{
                name: _version(name)
                for name in ("torch", "triton", "torchvision", "timm", "segmentation_models_pytorch")
            },
            "cores": os.cpu_count(),
            "dtype": "bfloat16 autocast, losses float32" if CUDA else "float32",
            "smoke": smoke,
        },
    )


def tests(_smoke: bool) -> Iterator[Case]:
    """Those marked `cuda`, by pytest in a process of its own."""
    yield "pytest -m cuda", cuda_tests.run


def loop(smoke: bool) -> Iterator[Case]:
    """Our loop against the plain one, data loading included."""
    import loop

    scale = loop.Scale(2, 0, warm_up=1, steps=1, rounds=1)
    if not smoke:
        scale = loop.Scale(8, 8, warm_up=10, steps=10, rounds=5)
    options = {"amp False": {"amp": False}} if CUDA else {}
    crop = (64, 64) if smoke else loop.CROPS[0]
    with tempfile.TemporaryDirectory() as folder:
        dataset = functools.cache(lambda: loop.datasets(folder, loop.CROPS[:1])[loop.CROPS[0]])

        def measure(pair: str) -> list[Row]:
            torch.set_num_threads(1)
            found = loop.measure(pair, crop, dataset(), options, 1.0, scale=scale)
            flops, most = 1e9 * found["gflop_per_image"], ceilings()
            rows = []
            for one in found["loops"]:
                dtype = _of_plain() if one["loop"] in ("plain", "amp False") else _of_ours()
                rate, ratio = one["images_per_s"], one["over_plain"]
                rows.append({
                    "loop": one["loop"], "crop": crop, "batch": scale.batch, "images_per_s": rate["median"],
                    "low": rate["low"], "high": rate["high"], "over_plain": ratio["median"],
                    "over_plain_low": ratio["low"], "over_plain_high": ratio["high"],
                    "dtype": dtype, "mfu": round(rate["median"] * flops / most[dtype], 4),
                })  # fmt: skip
            return rows

        for pair in list(loop.PAIRS)[: 1 if smoke else 2]:
            yield pair, functools.partial(measure, pair)


def sharing(smoke: bool) -> Iterator[Case]:
    """1, 4 and 8 students of one teacher, in one process."""
    import sharing
    from losses import peak, start_peak

    from trainables.preflight.rehearsal import step_time

    pair = "R101->MBV2" if CUDA else "R18->MiT-B0"
    fields = {"steps": 40, "eval_every": 20, "num_workers": 4} if CUDA else {"steps": 40, "eval_every": 20}
    if smoke:
        fields = {"steps": 2, "eval_every": 1, "crop_height": 64, "crop_width": 64, "batch_size": 2}
    time_ = functools.cache(lambda: step_time(sharing.config(pair, 0, **fields), dataset=sharing.open_dataset("earth")))
    rates: dict[int, float] = {}

    def measure(size: int) -> Row:
        _freed()
        before = start_peak(DEVICE)
        rates[size] = 1 / sharing.group(pair, size, **fields)
        taken = peak(DEVICE) - before
        return {
            "students": size, "trial_steps_per_s": round(rates[size], 2),
            "gain": round(rates[size] / rates[1], 2) if 1 in rates else None,
            "limit": round(time_().seconds / time_().shared_by(size), 2), "peak_mib": round(taken / MIB),
        }  # fmt: skip

    for size in (1, 2) if smoke else (1, 4, 8):
        yield f"{pair}, {size}", functools.partial(measure, size)


def kernels(smoke: bool) -> Iterator[Case]:
    """Each form of L_hakd against the copy floor, and how far its gradients are from fp64's."""
    import kernel

    from trainables.losses.kernel import has_triton

    steps = 2 if smoke else 20
    copied = functools.cache(lambda: kernel.bandwidth(DEVICE, copied=4 * MIB if smoke else None))
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

    def measure(form: str, shape: kernel.Shape, layout: str) -> Row:
        if form == "triton" and not (CUDA and has_triton()):
            raise Needs("Triton" if CUDA else "CUDA")
        _freed()
        given = {"layout": layouts[layout]}
        row = kernel.with_floor(kernel.measure(form, shape, DEVICE, steps=steps, **given), copied())
        row |= {"layout": layout, "error": kernel.error(form, shape, DEVICE, **given)}
        if not row["error"] < WRONG:
            row["problem"] = f"its gradients are off by {row['error']:.2g} of their length."
        return row

    yield "copy", lambda: {"copy_gb_s": round(copied() / 1e9, 1)}
    for shape in [(1, 5, 8, 16)] if smoke else kernel.SHAPES[DEVICE]:
        for form in ("triton", "lean", "plain"):
            for layout in layouts if form == "triton" else ["channels_last" if CUDA else "contiguous"]:
                yield f"{form} {'x'.join(map(str, shape))} {layout}", functools.partial(measure, form, shape, layout)


def auto(smoke: bool) -> Iterator[Case]:
    """How many students `group_size: auto` takes, of the whole device and of a share, and whether they fit."""
    import sharing
    from losses import peak, start_peak

    from trainables.preflight.rehearsal import _RESERVE, Footprint, footprint, students_that_fit

    pair = "R101->MBV2" if CUDA else "R18->MiT-B0"
    fields = {"steps": 4, "eval_every": 2}
    if smoke:
        fields = {"steps": 2, "eval_every": 1, "crop_height": 64, "crop_width": 64, "batch_size": 2}
    total = torch.cuda.mem_get_info()[1] if CUDA else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    @functools.cache
    def held() -> Footprint:
        return footprint(sharing.config(pair, 0, **fields), dataset=sharing.open_dataset("earth"))

    def measure(share: float, most: int) -> Row:
        size = students_that_fit([held()], torch.device(DEVICE), share=share, most=most)
        _freed()
        before = start_peak(DEVICE)
        if CUDA:
            torch.cuda.set_per_process_memory_fraction(share)
        try:
            sharing.group(pair, size, **fields)
        finally:
            if CUDA:
                torch.cuda.set_per_process_memory_fraction(1.0)
        taken = torch.cuda.max_memory_reserved() if CUDA else peak(DEVICE) - before
        row = {
            "share": round(share, 4), "students": size,
            "predicted_mib": round((held().shared + size * held().each) / MIB), "peak_mib": round(taken / MIB),
            "limit_mib": round(share * total / MIB),
        }  # fmt: skip
        return row | ({"problem": "it took more than its share."} if taken > share * total else {})

    def a_share() -> Row:
        """As small as four students need."""
        if not CUDA:
            raise Needs("CUDA")
        return measure((held().shared + 4.5 * held().each) / (_RESERVE * total), 8)

    yield "whole", lambda: measure(1.0, 2 if smoke else 8)
    yield "share of four", a_share


def memory(smoke: bool) -> Iterator[Case]:
    """Peak memory: of the two loops, and of a step by batch, classes and crop."""
    import loop
    import plain
    import scaling

    scale = loop.Scale(2, 0, warm_up=1, steps=1, rounds=1) if smoke else loop.SCALE
    crop, pair = (64, 64) if smoke else (512, 512), next(iter(loop.PAIRS))
    config = loop.configure(pair, crop, scale=scale._replace(workers=0))

    def of_loop(name: str) -> Row:
        dataset = loop.open_dataset("earth")
        starts = {
            "plain": lambda: plain.steps(config, dataset, loop.DEVICE),
            "ours": lambda: loop.ours(config, dataset),
        }
        return {"pair": pair, "crop": crop, "batch": scale.batch, "peak_mib": loop.peak_mib(starts[name])}

    for name in ("plain", "ours"):
        yield f"{name} loop", functools.partial(of_loop, name)
    tiny = [{"batch": 2, "classes": 7, "crop": (64, 64)}]
    for case in tiny if smoke else scaling.cases():
        told = f"step, batch {case['batch']}, {case['classes']} classes, {case['crop'][0]}x{case['crop'][1]}"
        few = {"warm_up": 1, "steps": 1} if smoke else {"warm_up": 5, "steps": 10}
        yield told, lambda case=case, few=few: {"pair": _name(scaling.PAIR), **_freed(), **scaling.measure(case, **few)}


def mfu(smoke: bool) -> Iterator[Case]:
    """Model FLOPs a second of a step without data loading, over those of a large matrix product of the same dtype."""
    import loop
    import scaling

    few = {"warm_up": 1, "steps": 1} if smoke else {"warm_up": 5, "steps": 15}
    pairs = {name: dict(zip(("teacher", "student"), pair, strict=True)) for name, pair in loop.PAIRS.items()}

    def measure(pair: str, batch: int, amp: bool) -> Row:
        _freed()
        torch.set_num_threads(1)
        crop = (64, 64) if smoke else (512, 512)
        case = {"batch": batch, "classes": 19, "crop": crop}
        found = scaling.measure(case, **few, **pairs[pair], amp=amp)
        flops = batch * loop.arithmetic(loop.configure(pair, crop), 19)
        rate, dtype = 1000 * flops / found["step_ms"], _of_ours() if amp else _of_plain()
        figures = {"rate_tflop_s": round(rate / 1e12, 3), "mfu": round(rate / ceilings()[dtype], 4)}
        return {**found, "images_per_s": round(1000 * batch / found["step_ms"], 1), "dtype": dtype, **figures}

    yield (
        "matrix product",
        lambda: [{"dtype": dtype, "rate_tflop_s": round(flops / 1e12, 3)} for dtype, flops in ceilings().items()],
    )
    if smoke:
        yield "R18->MiT-B0, batch 2", lambda: measure(next(iter(pairs)), 2, True)
        return
    for number, pair in enumerate(pairs):
        for batch, amp in ((8, True), (32, True), (8, False)) if number == 0 else ((8, True),):
            yield f"{pair}, batch {batch}{'' if amp else ', amp False'}", functools.partial(measure, pair, batch, amp)


def compiled(_smoke: bool) -> Iterator[Case]:
    """A step by `compile`: eager, compiled, and with CUDA graphs; how long compiling takes, whether losses agree."""
    import scaling
    from torch._dynamo.utils import counters

    case = {"batch": 8, "classes": 19, "crop": (512, 512)}
    first: dict[str, dict[str, float]] = {}
    taken: dict[str, float] = {}

    def measure(mode: str) -> Row:
        _freed()
        torch.cuda.reset_peak_memory_stats()
        skipped = counters["inductor"]["cudagraph_skips"]
        learner, guide, batch = scaling.made_up(case, **COMPILED, compile=mode)
        warm = scaling.timed((learner, guide, batch), steps=1)
        first[mode] = learner._meter.means()
        warm += scaling.timed((learner, guide, batch), steps=6)
        seconds = sorted(scaling.timed((learner, guide, batch), steps=30))
        taken[mode] = seconds[15]
        apart = max(abs(value / first["off"][name] - 1) for name, value in first[mode].items())
        skips = counters["inductor"]["cudagraph_skips"] - skipped
        row = {
            "pair": _name(COMPILED), **case, "step_ms": round(1000 * taken[mode], 2),
            "over_off": round(taken["off"] / taken[mode], 2), "first_steps_s": round(sum(warm), 1),
            "loss_apart": apart, "graph_skips": skips, "peak_mib": round(torch.cuda.max_memory_allocated() / MIB),
            "reserved_mib": round(torch.cuda.max_memory_reserved() / MIB),
        }  # fmt: skip
        if not apart < 0.02:
            row["problem"] = f"its first losses are {100 * apart:.1f} % off the eager ones."
        elif skips:
            row["problem"] = f"CUDA graphs were skipped {skips} times."
        return row

    for mode in ("off", "default", "reduce-overhead"):
        yield f"compile {mode}", functools.partial(measure, mode)


def together(smoke: bool) -> Iterator[Case]:
    """A step of one process, and of two that share the same batch, a GPU each; `part_ms` is the least it can take."""
    from trainables.config import TrialConfig
    from trainables.data.catalogue import open_dataset
    from trainables.parallel import train_together
    from trainables.preflight.rehearsal import step_time
    from trainables.run import run_trial

    size, steps, crop = (4, 4, 64) if smoke else (16, 40, 512)
    fields = {
        "method": "task", "student": f"steady:{'small' if smoke else 'large'}", "batch_size": size,
        "crop_height": crop, "crop_width": crop, "steps": steps, "eval_every": steps // 2, "num_workers": 4 * CUDA,
    }  # fmt: skip
    first: dict[str, float] = {}

    def measure(processes: int) -> Row:
        if CUDA and torch.cuda.device_count() < processes:
            raise Needs(f"{processes} GPUs")
        config = TrialConfig.parse({**fields, "processes": processes})
        seen = []
        with tempfile.TemporaryDirectory() as folder:
            if processes == 1:
                run_trial(config, dataset=open_dataset(config.data), directory=Path(folder), report=seen.append)
            else:
                train_together(config, directory=Path(folder), report=seen.append)
        seconds = (seen[-1].seconds - seen[0].seconds) / (steps - steps // 2)
        loss = seen[0].terms["loss_task"]
        first.setdefault("loss", loss)
        first.setdefault("seconds", seconds)
        row = {
            "processes": processes, "batch": size, "step_ms": round(1000 * seconds, 1),
            "over_one": round(first["seconds"] / seconds, 2), "loss_apart": abs(loss / first["loss"] - 1),
            "part_ms": round(1000 * step_time(config, dataset=open_dataset(config.data)).seconds, 1),
        }  # fmt: skip
        if not row["loss_apart"] < 0.02:
            row["problem"] = f"its mean loss is {100 * row['loss_apart']:.1f} % off that of one process."
        return row

    for processes in (1, 2):
        yield f"{processes} processes", functools.partial(measure, processes)


SECTIONS: dict[str, Callable[[bool], Iterator[Case]]] = {
    "setting": setting,
    "tests": tests,
    "loop": loop,
    "sharing": sharing,
    "kernels": kernels,
    "auto": auto,
    "memory": memory,
    "mfu": mfu,
    "compile": compiled,
    "together": together,
}


@functools.cache
def ceilings() -> dict[str, float]:
    """Operations a second of a large matrix product, by dtype."""
    import loop

    if not CUDA:
        return {"float32": loop.matmul_flops()}
    found = {"bfloat16": loop.matmul_flops(torch.bfloat16), "float32": loop.matmul_flops(torch.float32)}
    torch.set_float32_matmul_precision("high")
    found["tf32"] = loop.matmul_flops(torch.float32)
    torch.set_float32_matmul_precision("highest")
    return found


def _of_ours() -> str:
    return "bfloat16" if CUDA else "float32"


def _of_plain() -> str:
    """Of convolutions in fp32, by PyTorch's default."""
    return "tf32" if CUDA else "float32"


def _name(pair: dict[str, str]) -> str:
    return f"{pair['teacher']} -> {pair['student']}"


def _freed() -> Row:
    """What the case before held is given back."""
    gc.collect()
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return {}


def _driver() -> str | None:
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, encoding="utf-8", check=True, timeout=10).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("rows", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HETEROAKD_CACHE"] = folder
        write_cases(SECTIONS[given.section](given.smoke), given.rows)


if __name__ == "__main__":
    main()
