"""When a dimension is read, from trials alone; shares of the space by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from explorer.statistics.conditions import find, share


def test_a_condition_is_found_in_the_method_or_said_to_be_unknown():
    search = pd.DataFrame({"method": ["kd", "heteroakd", "task"], "param.tau": [1.0, 2.0, np.nan]})
    found = find(search, ["tau"], [])["tau"]
    assert found.text == "method = heteroakd or kd"
    assert share([found]) == pytest.approx(2 / 3)
    unknown = find(search.drop(columns="method"), ["tau"], [])["tau"]
    assert (unknown.text, share([unknown])) == ("trials that have it", pytest.approx(2 / 3))


def test_a_condition_under_a_condition_takes_its_share_of_the_space_wherever_the_trials_lie():
    """Depth is read under 1 of 3 methods, width at 2 of its 3 values: 1/3, 2/9; of both together 2/9, not 2/27."""
    nan = np.nan
    rows = [("h", 1, nan), ("h", 2, 64), ("h", 2, 32), ("h", 3, 16), ("h", 3, 8), ("kd", nan, nan), ("at", nan, nan)]
    search = pd.DataFrame(rows, columns=["param.method", "param.depth", "param.width"])
    found = find(search, ["width", "depth", "method"], ["method", "depth"])
    assert found["width"].text == "depth = 2 or 3"
    assert share([found["depth"]]) == pytest.approx(1 / 3)
    assert share([found["width"]]) == pytest.approx(2 / 9)
    assert share([found["width"], found["depth"], found["method"]]) == pytest.approx(2 / 9)
