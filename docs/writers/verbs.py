"""All verbs of the command line, from the tree of commands that typer makes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from explorer.cli.app import app
from writers.words import NONE, escaped, table

_TYPES = {str: "text", int: "whole number", float: "number", Path: "path", bool: "flag"}


def verbs() -> str:
    """A section for each verb, in the order of `--help`."""
    return "\n\n".join(_section(name, command) for name, command in commands())


def index() -> str:
    """One line a verb, linked to its section."""
    rows = ((f"[`{name}`](#{name.replace(' ', '-')})", _sentence(command)) for name, command in commands())
    return table(("verb", "what it does"), rows)


def commands() -> Iterator[tuple[str, Any]]:
    """Every verb with its command, those of groups as `data check`."""
    yield from _below(typer.main.get_command(app), "")


def _below(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _section(name: str, command: Any) -> str:
    rows = [_row(parameter, command) for parameter in command.params if parameter.name != "help"]
    usage = f"```\nheteroakd {name} {_usage(command)}\n```"
    return f"## {name}\n\n{_sentence(command)}\n\n{usage}\n\n" + table(("", "type", "default", "what it is"), rows)


def _usage(command: Any) -> str:
    """Arguments as typed, required options by name, [options] for the rest."""
    told = [_argument(one) for one in command.params if _is_argument(one)]
    told += [f"{one.opts[0]} {one.name.upper()}" for one in command.params if not _is_argument(one) and one.required]
    optional = any(not _is_argument(one) and not one.required for one in command.params)
    return " ".join([*told, *(["[options]"] if optional else [])])


def _argument(parameter: Any) -> str:
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any, command: Any) -> tuple[str, str, str, str]:
    function = inspect.unwrap(command.callback)
    hint = typing.get_type_hints(function, include_extras=True)[parameter.name]
    information = next(one for one in typing.get_args(hint)[1:] if isinstance(one, typer.models.ParameterInfo))
    default = inspect.signature(function).parameters[parameter.name].default
    return (
        _name(parameter),
        _type(typing.get_args(hint)[0]) + _range(information),
        "required" if parameter.required else _default(default),
        escaped(" ".join((information.help or "").split())),
    )


def _name(parameter: Any) -> str:
    if _is_argument(parameter):
        return f"`{_argument(parameter)}`"
    return ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _type(annotation: Any) -> str:
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    if typing.get_origin(annotation) is list:
        return f"{_TYPES[parts[0]]}, several times"
    return _type(parts[0]) if parts else _TYPES[annotation]


def _range(information: Any) -> str:
    low, high = information.min, information.max
    if low is None and high is None:
        return ""
    return f", {low} to {high}" if None not in (low, high) else f", {low} or more"


def _default(value: Any) -> str:
    if value is None or value is False:
        return NONE
    return "on" if value is True else f"`{value}`"


def _sentence(command: Any) -> str:
    return escaped(" ".join((command.help or "").split()))
