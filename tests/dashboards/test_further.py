from dataclasses import replace

import pytest

from dashboards.further import figure, prepare

ROWS = [(21, 0.009), (20, 0.012), (22, 0.001)]


def test_the_line_is_in_points_by_rising_number_and_the_rule_a_second_one(make):
    frames = make([{"miou": 0.4}], further=ROWS)
    (line,) = figure(prepare(frames)).data
    assert list(line.x) == [20, 21, 22]
    assert list(line.y) == pytest.approx([1.2, 0.9, 0.1])
    _, rule = figure(prepare(replace(frames, stop_when=0.2))).data
    assert set(rule.y) == {0.2}
    assert "0.2" in rule.name
