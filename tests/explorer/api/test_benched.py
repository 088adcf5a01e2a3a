"""A sweep's latencies out of bench.json files, told by hand."""

from __future__ import annotations

import json

import pytest

from explorer.api.benched import with_milliseconds
from explorer.launch import constraints
from explorer.study import StudySpec
from trainables.errors import StudyError

STUDENTS = ["segformer:mit_b0", "fpn:resnet18"]


def bench(path, network, rows, **setting):
    """rows: (precision, height, width, p50)."""
    named = ("precision", "height", "width", "p50_ms")
    results = [{"network": network, **dict(zip(named, row, strict=True))} for row in rows]
    told = {"device": "board", "provider": "CPUExecutionProvider", "threads": 4, **setting, "results": results}
    path.write_text(json.dumps(told))
    return str(path)


def spec(**values):
    space = {"student": STUDENTS, "lambda_kd": [0.1, 1.0]}
    return StudySpec.parse(
        {"base": {}, "num_trials": 5, "space": space, "objectives": ["miou", "latency_ms"], **values}
    )


def test_the_milliseconds_of_the_rows_that_are_asked_for_are_the_students_cost(tmp_path):
    one = bench(tmp_path / "1.json", STUDENTS[0], [("fp32", 512, 512, 90.0), ("int8", 512, 512, 40.0)])
    two = bench(tmp_path / "2.json", STUDENTS[1], [("fp32", 512, 512, 70.0), ("int8", 512, 512, 30.0)])
    found = with_milliseconds(spec(latency=[one, two], latency_of="int8", constraints={"latency_ms": 35}))
    assert found.latency == {STUDENTS[0]: 40.0, STUDENTS[1]: 30.0}
    constraints.check_latency(found)
    costs = constraints.known(found, {**{name: {"gmac": 1.0} for name in STUDENTS}, "a:teacher": {"gmac": 9.0}})
    assert costs[STUDENTS[0]] == {"gmac": 1.0, "latency_ms": 40.0}
    assert costs["a:teacher"] == {"gmac": 9.0}
    kept, why = constraints.within(found, costs)
    assert kept.space["student"] == [STUDENTS[1]]
    assert why == {STUDENTS[0]: "has latency_ms 40, more than 35"}


def test_a_spec_may_hold_the_milliseconds_itself():
    asked = spec(latency={STUDENTS[0]: 40.0, STUDENTS[1]: 30.0})
    assert with_milliseconds(asked) == asked
    assert with_milliseconds(spec()).latency is None


def test_files_between_which_nothing_chooses_are_refused(tmp_path):
    both = bench(tmp_path / "1.json", STUDENTS[0], [("fp32", 512, 512, 90.0), ("int8", 512, 512, 40.0)])
    other = bench(tmp_path / "2.json", STUDENTS[1], [("fp32", 512, 512, 70.0)], threads=1)
    with pytest.raises(StudyError, match="latency holds fp32 512x512, int8 512x512, which cannot be compared"):
        with_milliseconds(spec(latency=both))
    with pytest.raises(StudyError, match="several devices or settings: board, CPUExecutionProvider, 1 threads; board"):
        with_milliseconds(spec(latency=[both, other]))
    with pytest.raises(StudyError, match=r"No row of .* is 'fp16'"):
        with_milliseconds(spec(latency=both, latency_of="fp16"))


@pytest.mark.parametrize("text", ["", "[]", '{"results": [{"network": "a"}]}', '{"results": []}'])
def test_what_no_bench_wrote_is_refused(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(StudyError, match="no file that `heteroakd bench` wrote"):
        with_milliseconds(spec(latency=str(tmp_path / "bench.json")))
    with pytest.raises(StudyError, match="cannot be read"):
        with_milliseconds(spec(latency=str(tmp_path / "nowhere.json")))


def test_a_sweep_whose_student_was_not_timed_is_refused():
    with pytest.raises(StudyError, match=r"no milliseconds of the student 'fpn:resnet18', only of segformer:mit_b0\."):
        constraints.check_latency(spec(latency={STUDENTS[0]: 40.0}))
    with pytest.raises(StudyError, match="must be > 0 ms, got 0"):
        constraints.check_latency(spec(latency=dict.fromkeys(STUDENTS, 0.0)))
    with pytest.raises(StudyError, match="latency_ms is no objective and no constraint"):
        constraints.check_latency(spec(latency={STUDENTS[0]: 40.0}, objectives=["miou"]))
