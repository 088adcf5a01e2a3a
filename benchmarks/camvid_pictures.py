"""The pictures of docs/camvid.md, from benchmarks/camvid.json: gains by row, and the surface over both weights.

Run: `python benchmarks/camvid_pictures.py` (needs a Chrome or Chromium); writes docs/camvid-*.png.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards import theme

ROOT = Path(__file__).parents[1]
FROM, TO = ROOT / "benchmarks/camvid.json", ROOT / "docs"
ALONE = "student alone"


def gains(found: dict[str, Any]) -> go.Figure:
    """Of every row over the student alone, with 90 % intervals; a panel a direction."""
    directions = list(dict.fromkeys(row["direction"] for row in found["rows"]))
    figure = make_subplots(cols=len(directions), rows=1, shared_yaxes=True, subplot_titles=directions)
    for column, direction in enumerate(directions, start=1):
        rows = [row for row in found["rows"] if row["direction"] == direction and row["row"] != ALONE]
        means, lows, highs = np.array([row["over_alone"] for row in rows]).T
        errors = {"type": "data", "symmetric": False, "array": highs - means, "arrayminus": means - lows}
        student = direction.partition("->")[2]
        figure.add_scatter(
            x=means, y=[row["row"] for row in rows], error_x=errors, mode="markers", showlegend=False,
            marker={"size": 10, "color": theme.colour(student)}, row=1, col=column,
        )  # fmt: skip
        figure.add_vline(x=0, line={"color": theme.BASELINE, "width": 1}, row=1, col=column)
    figure.update_layout(
        template=theme.TEMPLATE, title="CamVid, 10 masks: gains over the student alone", height=460, margin_t=90
    )
    figure.update_xaxes(title="points of mIoU on test, 90 % interval")
    return figure.update_yaxes(autorange="reversed")


def surfaces(found: dict[str, Any]) -> go.Figure:
    """Gain over the student alone at each pair of weights, mean over seeds; a panel a direction."""
    studies = found["factorial"]
    titles = [one["direction"] for one in studies]
    figure = make_subplots(cols=len(studies), rows=1, shared_yaxes=True, subplot_titles=titles)
    tables = [_table(one) for one in studies]
    most = max(float(np.abs(table).max()) for table in tables)
    for column, (one, table) in enumerate(zip(studies, tables, strict=True), start=1):
        first, second = (list(dict.fromkeys(cell[name] for cell in one["cells"])) for name in found["lambdas"])
        figure.add_heatmap(
            x=[f"{value:g}" for value in first], y=[f"{value:g}" for value in second], z=table.T, row=1, col=column,
            colorscale=theme.DIVERGING, zmin=-most, zmax=most, texttemplate="%{z:+.1f}", showscale=False,
        )  # fmt: skip
    figure.update_layout(
        template=theme.TEMPLATE, title="Gain over the student alone, points of mIoU", height=420, margin_t=90
    )
    figure.update_xaxes(title="lambda_1 (KL of logits)", type="category")
    figure.update_yaxes(type="category").update_yaxes(title="lambda_2 (HeteroAKD)", col=1)
    return figure


def _table(one: dict[str, Any]) -> np.ndarray:
    """[first weight, second weight] of gains in points."""
    sides = [len({cell[name] for cell in one["cells"]}) for name in ("lambda_kd", "lambda_hakd")]
    means = np.array([np.mean(cell["test"]) for cell in one["cells"]]) - np.mean(one["alone"])
    return 100 * means.reshape(sides)


def main() -> None:
    found = json.loads(FROM.read_text(encoding="utf-8"))
    for part, draw in {"rows": gains, "factorial": surfaces}.items():
        if found.get(part):
            draw(found).write_image(TO / f"camvid-{part}.png", width=980, scale=2)


if __name__ == "__main__":
    main()
