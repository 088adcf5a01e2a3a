"""Your own code, named `package.module:name`: imported, looked at, and called only if it says what it is.

Modules are looked for where Python finds them anyway, then in the folders of HETEROAKD_PATH, then in the current one.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from trainables.errors import HeteroakdError, unknown

PATH = "HETEROAKD_PATH"
_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_reference(text: str) -> bool:
    """Whether this is spelt `package.module:name`."""
    return _REFERENCE.fullmatch(text) is not None


def exists(reference: str) -> bool:
    """Whether the package that a reference starts with can be found; a dotted one is taken to be meant."""
    module = reference.partition(":")[0]
    return is_reference(reference) and ("." in module or _package(module) is not None)


def load(reference: str, *, wanted: str, accepts: Callable[[Any], bool], error: type[HeteroakdError]) -> Any:
    """Import what a reference names. Importing a module runs it; what it holds is not called here.

    Args:
        wanted: what it must be, in words.
        accepts: the same as a test.
        error: what to raise.

    Raises:
        HeteroakdError: no such module or name, an exception while importing it, or something else than `wanted`.
    """
    if not is_reference(reference):
        raise error(f"Code of your own is named package.module:name, got {reference!r}.")
    path, _, name = reference.partition(":")
    module = _import(path, reference, error)
    if not hasattr(module, name):
        place = getattr(module, "__file__", None) or "built into Python"
        known = (known for known in vars(module) if not known.startswith("_"))
        raise error(unknown(f"name in {path} ({place}):", name, known))
    found = getattr(module, name)
    if not accepts(found):
        raise error(f"{reference!r} must be {wanted}, got {_what(found)}.")
    return found


def is_subclass(found: Any, base: type) -> bool:
    """Whether this is a class derived from `base`, itself not counted."""
    return inspect.isclass(found) and issubclass(found, base) and found is not base


def returns(found: Any, kind: type) -> bool:
    """Whether this is a function of Python's, annotated to return `kind`."""
    if not inspect.isfunction(found):
        return False
    try:
        declared = inspect.signature(found, eval_str=True).return_annotation
    except Exception:  # an annotation is any expression
        return False
    return inspect.isclass(declared) and issubclass(declared, kind)


@contextmanager
def in_words(reference: str, doing: str, error: type[HeteroakdError]) -> Iterator[None]:
    """What the user's code raises is one sentence; our own errors pass."""
    try:
        yield
    except HeteroakdError:
        raise
    except (Exception, SystemExit) as raised:
        reason = " ".join(str(raised).split())[:300]
        raise error(f"{reference!r} raised {type(raised).__name__} {doing}: {reason}") from raised


def folders() -> list[str]:
    """Where own code is looked for besides Python's own places; workers are told, since they run elsewhere."""
    given = [part for part in os.environ.get(PATH, "").split(os.pathsep) if part]
    return list(dict.fromkeys(str(part.expanduser().resolve()) for part in (*map(Path, given), Path.cwd())))


def look_in(places: Iterable[str]) -> None:
    """Look for modules there too: after all other places, so that nobody's module is replaced."""
    sys.path.extend(place for place in places if place not in sys.path)
    importlib.invalidate_caches()


def fingerprint(reference: str) -> str:
    """SHA-256 of the file that defines a class or function: an edited one is another.

    Raises:
        HeteroakdError: it cannot be loaded.
    """
    wanted = "a class or function of a .py file"
    found = load(reference, wanted=wanted, accepts=lambda found: hasattr(found, "__module__"), error=HeteroakdError)
    return hashlib.sha256(Path(inspect.getfile(found)).read_bytes()).hexdigest()


def source(reference: str) -> Path:
    """The folder of the package, or the file of the module, that a reference starts with.

    Raises:
        HeteroakdError: nothing there that could be sent elsewhere.
    """
    top = reference.partition(":")[0].partition(".")[0]
    spec = _package(top)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if spec is not None and spec.has_location and spec.origin is not None and spec.origin.endswith(".py"):
        return Path(spec.origin)
    raise HeteroakdError(
        f"{reference!r} needs {top!r}, which is not here to be sent along. Run from the folder that holds it, or name "
        f"that folder in {PATH}."
    )


def _package(module: str) -> importlib.machinery.ModuleSpec | None:
    look_in(folders())
    try:
        return importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):  # ValueError: `__main__` and its like have no spec
        return None


def _import(path: str, reference: str, error: type[HeteroakdError]) -> ModuleType:
    look_in(folders())
    try:
        with in_words(reference, "while it was imported", error):
            return importlib.import_module(path)
    except error as raised:
        missing = raised.__cause__
        if isinstance(missing, ModuleNotFoundError) and missing.name and f"{path}.".startswith(f"{missing.name}."):
            raise error(
                f"No module {missing.name!r} for {reference!r}. Run from the folder that holds it, or name that folder "
                f"in {PATH}."
            ) from None
        raise


def _what(found: Any) -> str:
    if inspect.isclass(found):
        return f"the class {found.__name__}"
    kind = "the function" if callable(found) else "a value of type"
    return f"{kind} {getattr(found, '__name__', type(found).__name__)}"
