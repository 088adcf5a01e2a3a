"""What trials had where others were stopped."""

from __future__ import annotations

import numpy as np
import pandas as pd

from explorer.statistics.rungs import at_rungs


def test_rungs_are_the_steps_at_which_trials_were_stopped():
    trials = pd.DataFrame(
        {
            "number": [4, 5, 6],
            "state": ["COMPLETE", "PRUNED", "PRUNED"],
            "step": [8, 2, 4],
            "miou": [0.5, 0.2, 0.3],
        }
    )
    rows = [("search", 4, step, value) for step, value in ((2, 0.21), (4, 0.33), (8, 0.5))]
    rows += [("search", 5, 2, 0.2), ("search", 6, 2, 0.25), ("search", 6, 4, 0.3), ("baseline", 5, 4, 0.9)]
    curves = pd.DataFrame(rows, columns=["role", "number", "step", "miou"])
    nan = np.nan
    expected = [[0.21, 0.2, 0.25], [0.33, nan, 0.3], [0.5, nan, nan]]
    np.testing.assert_array_equal(at_rungs(trials, curves), expected)
    np.testing.assert_array_equal(at_rungs(trials, None), [[0.5, nan, nan]])


def test_stops_everywhere_are_gathered_at_the_later_step_with_the_usual_gain():
    num, stops = 8, np.array([9, 9, 1, 2, 3, 4, 5, 6])
    trials = pd.DataFrame({"number": range(num), "step": stops, "state": np.where(stops == 9, "COMPLETE", "PRUNED")})
    rows = [("search", n, s, 0.1 * s + 0.01 * n) for n, stop in enumerate(stops) for s in range(1, stop + 1)]
    curves = pd.DataFrame(rows, columns=["role", "number", "step", "miou"])
    trials["miou"] = 0.1 * stops + 0.01 * np.arange(num)
    values = at_rungs(trials, curves)
    assert len(values) == 4  # stops 1, 2 | 3, 4 | 5, 6 and the end
    np.testing.assert_allclose(values[0], 0.2 + 0.01 * np.arange(num))  # the one stopped at 1 gains 0.1 by 2
    np.testing.assert_allclose(values[1][[0, 1, 4, 5, 6, 7]], 0.4 + 0.01 * np.array([0, 1, 4, 5, 6, 7]))
    assert np.isnan(values[1][[2, 3]]).all()
