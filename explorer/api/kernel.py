"""A notebook's kernel."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module

from explorer.launch.boards import in_notebook


def quiet() -> None:
    """Before Ray or a network is imported: in a kernel without ipywidgets, they would ask for it in the cell."""
    if in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module("tqdm.auto")
        logging.getLogger("ray.widgets.util").setLevel(logging.ERROR)
