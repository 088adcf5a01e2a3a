"""What other tools write, read as text, JSON and tables; whatever is wrong with it is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainables.data.faults import counted
from trainables.errors import DataError

Model = TypeVar("Model", bound=BaseModel)


def plain_text(path: Path) -> str:
    """UTF-8, with or without a mark at its start.

    Raises:
        DataError: the file cannot be read, or is no such text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}. Save it as UTF-8.") from None


def read_json(path: Path) -> Any:
    """Raises:
    DataError: the file cannot be read, or is no JSON.
    """
    text = plain_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is no JSON: {error.msg} in line {error.lineno}.") from None
    except RecursionError:
        raise DataError(f"{path} is no JSON that can be read: it is nested too deep.") from None


def parsed(model: type[Model], values: Any, *, where: str) -> Model:
    """Values as a model of what we read of them.

    Args:
        where: said in front.

    Raises:
        DataError: they are something else; names the first field.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_context=False)
        place = ".".join(map(str, first["loc"])) or "it"
        given = repr(first["input"])
        shown = given if len(given) <= 60 else f"{given[:60]}..."
        others = f" ({counted(len(more), 'more fault')})" if more else ""
        raise DataError(
            f"{where} {place}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {shown}{others}."
        ) from None
