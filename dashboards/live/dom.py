"""Trees of HTML that assets/live.js builds in the browser.

Dash's own components cost it about a millisecond each, which a table of 50 rows has 600 of. A text of a tree becomes a
text node and an attribute is set by name, so nothing in either is read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Tree = Any
"""A text, or [tag, {attribute: text}, [trees]]."""

REGIONS = ("status", "top", "below", "facts", "classes", "pictures")
"""Elements of the page that are filled with trees; each has a store `<region>-tree` of a list of them."""


def tag(name: str, *children: Tree | Iterable[Tree] | None, **attributes: object) -> Tree:
    """One element.

    Args:
        children: trees, or several in a list; None is left out.
        attributes: `class_` is class and `data_set` data-set; True has no text; None and False are left out.
    """
    told = {
        key.rstrip("_").replace("_", "-"): "" if value is True else str(value)
        for key, value in attributes.items()
        if value is not None and value is not False
    }
    return [name, told, list(_flat(children))]


def _flat(children: Iterable[Any]) -> Iterable[Tree]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str) or _is_element(child):
            yield child
        else:
            yield from _flat(child)


def _is_element(child: Any) -> bool:
    return isinstance(child, list) and len(child) == 3 and isinstance(child[0], str) and isinstance(child[1], dict)


def facts(values: Iterable[tuple[str, str]], **attributes: object) -> Tree:
    """A definition list of labels and texts."""
    return tag("dl", [tag("div", tag("dt", label), tag("dd", text)) for label, text in values], **attributes)
