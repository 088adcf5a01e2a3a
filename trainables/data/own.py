"""A data set of the user's own: `package.module:name`, or `package.module:name:PATH`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, NamedTuple

from trainables import own
from trainables.data import DATASETS
from trainables.data.dataset import SegDataset
from trainables.errors import DataError

_WANTED = "a function annotated -> SegDataset of at most one argument, a Path"


class Own(NamedTuple):
    """The function that opens it, as `package.module:name`, and the path it is given, empty for none."""

    reference: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Own | None:
        """None for what names a data set of ours, or a folder that is there."""
        module, _, rest = text.partition(":")
        name, _, path = rest.partition(":")
        reference = f"{module}:{name}"
        if module in DATASETS or Path(text).expanduser().exists() or not own.exists(reference):
            return None
        return cls(reference, path)

    def absolute(self) -> str:
        """The same set, said so that a process in another folder finds it too."""
        return f"{self.reference}:{Path(self.path).expanduser().resolve()}" if self.path else self.reference

    def open(self) -> SegDataset:
        """Raises:
        DataError: it cannot be imported, opens no data sets, raises, or does not take the path.
        """
        find = own.load(self.reference, wanted=_WANTED, accepts=_opens_datasets, error=DataError)
        given = [Path(self.path).expanduser()] if self.path else []
        taken = _arguments(find)
        if len(given) < sum(one.default is one.empty for one in taken):
            raise DataError(f"data set {self.reference!r} needs its path. Write {self.reference}:PATH.")
        if len(given) > len(taken):
            raise DataError(f"data set {self.reference!r} takes no path, got {self.path!r}. Leave it out.")
        with own.in_words(self.reference, "while it was opened", DataError):
            dataset = find(*given)
        if not isinstance(dataset, SegDataset):
            raise DataError(f"{self.reference!r} must return a SegDataset, got {type(dataset).__name__}.")
        return dataset


def _opens_datasets(found: Any) -> bool:
    return own.returns(found, SegDataset) and len(_arguments(found)) <= 1


def _arguments(found: Any) -> list[inspect.Parameter]:
    """All but those that have a default and no place."""
    parameters = inspect.signature(found).parameters.values()
    return [one for one in parameters if one.kind is not one.KEYWORD_ONLY or one.default is one.empty]
