from dashboards import marks, report
from dashboards.taught import figure, prepare

NAN = float("nan")


def study(make):
    """Two trials of one pair, one of another; the second distils no regions."""
    rows = [{"number": 0, "miou": 0.4}, {"number": 1, "miou": 0.3}, {"number": 2, "miou": 0.2, "pair": "mit_b0:r18"}]
    shares = [
        ("search", 0, 200, 0.50, 0.25),
        ("search", 0, 100, 0.75, 0.50),
        ("search", 1, 100, NAN, 0.10),
        ("search", 2, 100, 0.20, 0.90),
        ("baseline", 0, 100, 0.99, 0.99),
        ("search", 9, 100, 0.99, 0.99),
    ]
    return make(rows, taught=shares)


def test_each_share_of_a_search_trial_is_drawn_in_percent_by_step(make):
    lines = prepare(study(make)).lines
    got = [(row.pair, row.kind, row.number, row.step, round(row.share, 9)) for row in lines.itertuples()]
    assert got == [
        ("mit_b0:r18", "pixels", 2, 100, 90.0),
        ("mit_b0:r18", "regions", 2, 100, 20.0),
        ("r18:mit_b0", "pixels", 0, 100, 50.0),
        ("r18:mit_b0", "pixels", 0, 200, 25.0),
        ("r18:mit_b0", "pixels", 1, 100, 10.0),
        ("r18:mit_b0", "regions", 0, 100, 75.0),
        ("r18:mit_b0", "regions", 0, 200, 50.0),
    ]


def test_the_median_is_of_a_pairs_trials_at_a_step(make):
    medians = prepare(study(make)).medians
    got = {(row.pair, row.kind, row.step): round(row.share, 9) for row in medians.itertuples()}
    assert got["r18:mit_b0", "pixels", 100] == 30.0  # of 50 and 10
    assert got["r18:mit_b0", "regions", 100] == 75.0
    assert got["mit_b0:r18", "pixels", 100] == 90.0


def test_a_pair_has_one_colour_and_kinds_differ_in_their_dash(make):
    medians = [trace for trace in figure(prepare(study(make))).data if trace.showlegend is None]
    assert {trace.name: trace.line.dash for trace in medians} == {
        "mit_b0:r18: pixels": "dot",
        "mit_b0:r18: regions": "solid",
        "r18:mit_b0: pixels": "dot",
        "r18:mit_b0: regions": "solid",
    }
    colours = {trace.name.rpartition(":")[0]: trace.line.color for trace in medians}
    assert len(set(colours.values())) == 2


def test_a_trial_is_fainter_than_the_median_and_parted_from_the_next(make):
    traces = figure(prepare(study(make))).data
    bundle = next(trace for trace in traces if trace.showlegend is False and len(trace.x) == 5)
    assert list(bundle.x) == [100, 200, None, 100, None]
    assert bundle.opacity < 1
    assert bundle.hovertext[0].startswith("<b>search trial 0</b>")


def test_the_best_trials_show_the_other_student_only_where_there_is_one(make):
    assert "other student" not in report.best(make([{"miou": 0.4}]))
    table = report.best(make([{"miou": 0.4, "peer_miou": 0.312, "peer_gain": -0.008}, {"miou": 0.3}]))
    assert '<td class="number">31.20</td><td class="number">-0.80</td>' in table
    assert '<th class="number">other student (%)</th><th class="number">its gain (points)</th>' in table
    assert '<td class="number">–</td><td class="number">–</td><td class="number">3.70</td>' in table


def test_pointing_at_a_trial_names_the_other_students_score(make):
    (trial,) = marks.records(make([{"miou": 0.4, "peer_miou": 0.312, "peer_gain": -0.008}]).trials)
    assert "other student: mIoU 31.20 % (-0.8 points)" in marks.hover(trial)
