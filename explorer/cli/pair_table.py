"""The table behind `heteroakd pairs`."""

from __future__ import annotations

from rich.table import Table

from search_spaces.pairs import PAIRS
from trainables.errors import ConfigError
from trainables.models.build import build
from trainables.models.cost import Cost, cost


def pair_table(*, height: int, width: int, num_classes: int) -> Table:
    """Every pair of PAIRS with both networks' cost for one image of this size.

    Raises:
        ConfigError: a side that is no multiple of 32.
    """
    if height % 32 or width % 32:
        raise ConfigError(f"height and width must be multiples of 32, got {height} and {width}.")
    costs: dict[str, Cost] = {}
    table = Table(title=f"GMAC for one {height}x{width} image, {num_classes} classes")
    for title in ("pair", "direction", "teacher", "student"):
        table.add_column(title, no_wrap=title == "pair")
    for title in ("M params", "GMAC", "stride"):
        table.add_column(f"{title}\nteacher -> student", justify="right")
    for name, pair in PAIRS.items():
        for network in pair:
            if network.model not in costs:
                costs[network.model] = cost(build(network.model, num_classes=num_classes), height=height, width=width)
        teacher, student = (costs[network.model] for network in pair)
        table.add_row(
            name,
            pair.direction,
            pair.teacher.model,
            pair.student.model,
            f"{teacher.parameters_millions:.1f} -> {student.parameters_millions:.1f}",
            f"{teacher.gmac:.1f} -> {student.gmac:.1f}",
            f"{teacher.stride} -> {student.stride}",
        )
    return table
