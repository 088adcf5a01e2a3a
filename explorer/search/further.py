"""What another ten trials are expected to bring a study: `explorer.statistics.further` over Optuna's trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial

from explorer.search import belief
from explorer.statistics import further

AHEAD = further.AHEAD
_MOST = 200  # points of a history


def expected(trials: Sequence[FrozenTrial]) -> float:
    """Expected gain in the best config's true mIoU, in [0, 1]; NaN while too few trials have ended.

    Args:
        trials: of a study, in any state.
    """
    num = sum(trial.state.is_finished() for trial in trials)
    found = belief.believed(trials, assumed=further.LUCK) if num >= further.LEAST else None
    return math.nan if found is None else further.expected(found.belief.mean, num)


def lately(trials: Sequence[FrozenTrial]) -> float:
    """The most that was expected since ten trials ago, by what is believed of configs now; NaN while that is unknown.

    One low figure may be chance, and a rule that takes the first one takes the luckiest.
    """
    num = sum(trial.state.is_finished() for trial in trials)
    told = [gain for ended, gain in history(trials, since=num - AHEAD) if ended >= num - AHEAD]
    return max(told) if len(told) > AHEAD else math.nan


def history(trials: Sequence[FrozenTrial], *, since: int | None = None) -> list[tuple[int, float]]:
    """(ended trials, what another ten were expected to bring then), the last one included; of many every few.

    Means are those believed now, so that one line can be read; only which configs there were is of then.

    Args:
        since: only from so many ended trials on, and then each.
    """
    ended = [trial for trial in trials if trial.state.is_finished()]
    if len(ended) < further.LEAST or (found := belief.believed(trials, assumed=further.LUCK)) is None:
        return []
    ended.sort(key=lambda trial: (trial.datetime_complete or trial.datetime_start, trial.number))
    means: dict[str, float] = {}
    told = []
    stride = 1 if since is not None else 1 + len(ended) // _MOST
    for num, trial in enumerate(ended, start=1):
        if found.knows(trial) and trial.values:
            means[belief.key(trial.params)] = found.mean(trial)
        if (len(ended) - num) % stride or num < (since or 0):
            continue
        gain = further.expected(np.array([*means.values()]), num)
        if not math.isnan(gain):
            told.append((num, gain))
    return told
