"""What a study tells about its dimensions and pairs: the front door of the statistics.

Each has a file of its own: importance, interactions, local, response (the surface over both weights), gains, pooled,
ranks, noise. All read the tidy frames of a study and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from threadpoolctl import threadpool_limits

from dashboards.frames import StudyFrames, blank
from explorer.statistics.effects import effects
from explorer.statistics.equal import both
from explorer.statistics.gains import gains
from explorer.statistics.importance import importance
from explorer.statistics.interactions import interactions
from explorer.statistics.local import local
from explorer.statistics.noise import noise, noise_floor
from explorer.statistics.pooled import pooled
from explorer.statistics.ranks import ranks
from explorer.statistics.response import surface

__all__ = [
    "analyse",
    "effects",
    "gains",
    "importance",
    "interactions",
    "local",
    "noise",
    "noise_floor",
    "pooled",
    "ranks",
    "surface",
]

_WEIGHTS = {"lambda_kd", "lambda_hakd"}


def gains_of(frames: StudyFrames) -> pd.DataFrame:
    """The frame `gains` alone, as `analyse` has it."""
    with threadpool_limits(1):
        model = effects(frames.trials, frames.dimensions, frames.curves)
        return both(frames.trials, frames.curves, noise(frames.trials), own=frames.measure, effects=model)


def analyse(frames: StudyFrames) -> StudyFrames:
    """The frames with every statistic that their trials and curves allow; seconds, whatever their number."""
    trials, dimensions, curves = frames.trials, frames.dimensions, frames.curves
    floor = noise(trials)
    with threadpool_limits(1):  # small matrices; and beside trials that train, threads would wait for one another
        model = effects(trials, dimensions, curves)
        weights = set(dimensions["name"]) >= _WEIGHTS
        gained = both(trials, curves, floor, own=frames.measure, effects=model)
        return replace(
            frames,
            noise=floor,
            importance=importance(trials, dimensions, curves=curves, effects=model),
            interactions=interactions(model, trials, dimensions),
            local=local(model, trials),
            gains=gained,
            pooled=pooled(gained),
            surface=surface(trials, noise=noise_floor(floor)) if weights else blank("surface"),
            ranks=ranks(trials, curves),
        )
