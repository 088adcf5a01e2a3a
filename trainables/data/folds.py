"""What images belong together, by their names."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence

from trainables.data.dataset import Sample

_PIECES = re.compile(r"\{(\w+)\}|(\*)|(\?)|([^{}*?]+|[{}])")


def group_of(stem: str, by: str) -> tuple[str, ...] | None:
    """What a file name's pattern says that an image belongs to; None: it does not fit.

    Args:
        stem: the file's name without its ending.
        by: a pattern: `*` is any text, `?` any character, and `{scene}` the shortest text that fits, at least one
            character, which names the group. Of several in braces, all must agree.
    """
    found = re.fullmatch("".join(map(_regex, _PIECES.finditer(by))), stem)
    return None if found is None else found.groups()


def group_numbers(samples: Sequence[Sample], by: str) -> list[int]:
    """Of each sample, the number of its group, from 0 in the order in which they come; what does not fit is alone."""
    numbers: dict[Hashable, int] = {}
    keys = ((group_of(sample.image.stem, by) or sample.image) for sample in samples)
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _regex(piece: re.Match[str]) -> str:
    name, star, question, text = piece.groups()
    return "(.+?)" if name else ".*" if star else "." if question else re.escape(text)
