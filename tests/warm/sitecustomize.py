"""Ray's processes are started by `client.py`. Python imports this by its name wherever the tests' environment holds.

A Ray without a dashboard starts its process all the same, which then only reports how Ray is used; here it does not.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from types import SimpleNamespace
from typing import Any

SERVICES = "ray._private.services"


class Services:
    """When Ray's module that starts processes is imported, its `sys.executable` becomes the client."""

    def find_spec(self, name: str, path: Any = None, target: object = None) -> Any:
        if name != SERVICES:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def executed(module: Any) -> None:
            execute(module)
            module.sys = SimpleNamespace(**{**vars(sys), "executable": os.environ[CLIENT]})
            start = module.start_api_server
            module.start_api_server = lambda wanted, *others, **more: (
                ("", None) if wanted is False else start(wanted, *others, **more)
            )

        spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


CLIENT = "WARM_PYTHON"
if CLIENT in os.environ:
    sys.meta_path.insert(0, Services())
