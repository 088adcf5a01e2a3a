"""The fields of a study, from StudySpec. What its types do not say, unit and condition, stands here for each field."""

from __future__ import annotations

from explorer.search.engines import PRUNERS, SAMPLERS
from explorer.study import StudySpec
from writers import fields
from writers.words import NONE, escaped, listed, table

SECTIONS = {
    "asked": (
        "name",
        "preset",
        "space",
        "base",
        "enqueue",
        "objectives",
        "constraints",
        "latency",
        "latency_of",
        "warm_start",
    ),
    "size": ("num_trials", "seeds", "budget", "balance", "probes", "baseline_trials"),
    "engines": (
        *("sampler", "sampler_options", "sampler_seed"),
        *("pruner", "pruner_options", "grace_period", "reduction_factor"),
    ),
    "stop": ("time_budget_s", "total_steps", "gpu_hours", "plateau_trials", "plateau_gain", "stop_when"),
    "resources": ("group_size", "cpus_per_trial", "gpus_per_trial", "max_concurrent", "max_failures"),
    "kept": ("storage", "owner", "storage_path", "mlflow", "tensorboard", "wandb", "hook"),
}
UNITS = {
    "constraints": "of each cost: millions, GMAC or ms", "latency": "ms", "num_trials": "trials", "probes": "trials",
    "baseline_trials": "trials", "seeds": "1", "sampler_seed": "1", "grace_period": "steps", "reduction_factor": "1",
    "time_budget_s": "seconds", "total_steps": "steps", "gpu_hours": "GPU-hours", "plateau_trials": "trials",
    "plateau_gain": "mIoU, of 1", "stop_when": "points of mIoU",
    "group_size": "trials", "cpus_per_trial": "cores", "gpus_per_trial": "GPUs",
    "max_concurrent": "trials or groups", "max_failures": "restarts",
}  # fmt: skip
"""Of every field that is a number; "1": it has none."""
_NO_GRID = "the sampler is not grid"
CONDITIONS = {
    "latency": "latency_ms is an objective or a constraint", "latency_of": "`latency` names files",
    "enqueue": _NO_GRID, "warm_start": f"{_NO_GRID}; no `balance`", "probes": f"{_NO_GRID}; no `balance`",
    "balance": _NO_GRID, "plateau_gain": "`plateau_trials` is given",
    "grace_period": "the pruner is not none, nop, patient or wilcoxon",
    "reduction_factor": "the pruner is hyperband, successivehalving, asha or percentile",
}  # fmt: skip
"""When a field is read; the others always are."""
RANGES = {"sampler": SAMPLERS, "pruner": PRUNERS}


def section(name: str) -> str:
    """The fields of a section."""
    return table(
        ("field", "default", "type and range", "unit", "read when", "what it is"),
        (
            (
                f"`{name}`",
                fields.default(StudySpec.model_fields[name]),
                _kind(name),
                fields.unit(UNITS.get(name, "")),
                CONDITIONS.get(name, NONE),
                escaped(StudySpec.model_fields[name].description or ""),
            )
            for name in SECTIONS[name]
        ),
    )


def _kind(name: str) -> str:
    if name in RANGES:
        return listed((f"`{choice}`" for choice in sorted(RANGES[name])), "or")
    return fields.kind(StudySpec.model_fields[name])
