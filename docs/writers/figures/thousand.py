"""A long sweep on one machine: benchmarks/thousand.json."""

from __future__ import annotations

from typing import Any

from writers.words import count


def facts(found: Any) -> str:
    """Time, memory and files."""
    memory, states, trials = found["driver_mib"], found["states"], found["trials"]
    first, last = min(memory, key=int), max(memory, key=int)
    grown = (memory[last] - memory[first]) / (int(last) - int(first))
    return (
        f"{count(trials)} trials that train nothing take {found['wall_s']:.1f} s under Ray Tune, "
        f"{1000 * found['seconds_a_trial']:.0f} ms a trial. {states['PRUNED']} of them were pruned, {states['FAIL']} "
        f"failed. The driver holds {count(memory[first])} MiB at {count(int(first))} trials and {count(memory[last])} "
        f"MiB at {count(int(last))}: {count(1024 * grown)} KiB a trial. The dashboard of all of them takes "
        f"{found['dashboard_s']:.0f} s to write and has {found['page_mib']:.1f} MiB."
    )
