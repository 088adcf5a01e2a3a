"""Whether the statistics hold on studies drawn from CamVid's full factorial: benchmarks/factorial.json."""

from __future__ import annotations

from typing import Any

from writers.words import percent, table

NAMES = {"lambda_kd": "lambda_1", "lambda_hakd": "lambda_2"}


def setting(found: Any) -> str:
    """What a study is, and how many there are."""
    return (
        f"{found['studies']} studies a direction, each of {found['trials']} trials: cells of the factorial drawn by "
        "random, one seed each, as a sweep would have them. Truth: the analysis of variance over all cells and seeds, "
        "with the seeds' noise taken off; in brackets its own 90 % interval over seeds."
    )


def rows(found: Any) -> str:
    """One row a direction and share of the variance."""
    head = ("direction", "what", "true share, %", "90 % intervals that hold it, %", "median width, points")
    cells = [
        [
            one["direction"],
            NAMES.get(name, name),
            f"{percent(truth)} ({' to '.join(map(percent, over))})",
            percent(held),
            percent(width),
        ]
        for one in found["directions"]
        for name, truth, over, held, width in zip(
            one["names"], one["truth"], one["truth_over_seeds"], one["held"], one["median_width"], strict=True
        )
    ]
    return table(head, cells, right=(2, 3, 4))


def reading(found: Any) -> str:
    """Whether the region of the best holds the best, and what one gets who follows the surface, or the best trial."""
    return "\n".join(
        f"- {one['direction']}: the region within noise of a surface's best holds the best pair of weights in "
        f"{percent(one['region_holds_best'])} % of studies, and is {percent(one['region'])} % of the surface. The pair "
        f"at the top of a study's surface scores {one['test_of_surface']:.1f} % on test, averaged over seeds; the pair "
        f"of its best trial {one['test_of_best_trial']:.1f} %; all pairs on average {one['mean_cell']:.1f} %, the best "
        f"of them {one['best_cell']:.1f} %."
        for one in found["directions"]
    )
