"""What another ten trials of a search are expected to bring: points of the best config's true mean.

Any ten of the trials so far might have been the last ten. What the best config is believed to have, less what it would
be believed to have without ten of them, is averaged over all choices of ten: the order in which luck dealt them falls
out. A search brings less with time, so the average is scaled from the ten before the last trial to the ten after it, as
the highest of n draws with an exponential tail grows, with log n.

Source: Good, Biometrika 1953 (what further draws bring, from those that would be missed); Arnold, Balakrishnan and
Nagaraja, A First Course in Order Statistics, 1992 (the growth of the highest).
"""

from __future__ import annotations

import math

import numpy as np

AHEAD = 10
"""Trials that are looked ahead."""
LEAST = 2 * AHEAD
"""Ended trials below which nothing is said: fewer would stay than are left out."""
FEW = 8
"""Likewise, configs that were trained whole."""
LUCK = 0.5
"""What these means assume: so much of the variance that the forest leaves is luck, until luck is measured. A best
config that was only lucky is as far ahead of the second as one that is good; to assume next to none, as the ranking
does, would promise as much again."""


def expected(means: np.ndarray, trials: int) -> float:
    """What the next ten trials bring on average, in the unit of the means; NaN while there are too few.

    Args:
        means: [configs] posterior means of the true means of those that were trained whole.
        trials: that have ended, pruned and failed ones included; as many of the next ten are trained whole as of them.
    """
    if trials < LEAST or len(means) < FEW:
        return math.nan
    taken = min(AHEAD * len(means) / trials, len(means) - 1.0)  # of the configs, on average
    below = math.floor(taken)
    least, most = missed(means, below), missed(means, below + 1)
    later = math.log((trials + AHEAD) / trials) / math.log(trials / (trials - AHEAD))
    return later * (least + (taken - below) * (most - least))


def missed(values: np.ndarray, taken: int) -> float:
    """How much lower the highest value is on average, if so many are taken away at random.

    Args:
        values: [values]; taken: fewer than their number.
    """
    falling = np.sort(values)[::-1]
    lost, gone = 0.0, 1.0  # the chance that all higher ones are taken
    for place in range(taken + 1):
        also = (taken - place) / (len(falling) - place)
        lost += gone * (1 - also) * float(falling[0] - falling[place])
        gone *= also
    return lost
