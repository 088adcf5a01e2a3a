"""What can go wrong, as one tree. Every message states the value, the rule and the remedy.

HeteroakdError (ValueError)
├── ConfigError         a field of a trial, a search space or a study
├── DataError           a data set on disk
├── ModelError          a network that cannot be built, or a pair that does not fit
├── TeacherError        a teacher that cannot be loaded
├── ContractError       a loss, network or data set that breaks a claim of its contract
├── CheckpointError     a checkpoint that is torn or belongs to another trial
├── StudyError          a study folder or storage
├── MissingExtra        a verb whose optional packages are not installed
├── NonFiniteLoss       training diverged: ends the trial, not the sweep
├── RankLost            one of the processes that train a trial together died; the trial can go on from its checkpoint
└── Interrupted         a full disk, storage out of reach, a Ray out of order: ends the sweep; its trials stay resumable
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class HeteroakdError(ValueError):
    """Base of every error a user can cause; the command line prints it as one sentence and exits with 2."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the sentence."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(HeteroakdError):
    pass


class DataError(HeteroakdError):
    pass


class ModelError(HeteroakdError):
    pass


class TeacherError(HeteroakdError):
    pass


class ContractError(HeteroakdError):
    pass


class CheckpointError(HeteroakdError):
    pass


class StudyError(HeteroakdError):
    pass


class MissingExtra(HeteroakdError):
    pass


class NonFiniteLoss(HeteroakdError):
    pass


class RankLost(HeteroakdError):
    pass


class Interrupted(HeteroakdError):
    pass


def unknown(kind: str, name: str, known: Iterable[str], remedy: str = "") -> str:
    """The sentence for a name that is in no table: "Unknown pair 'x'. Nearest: y. `heteroakd pairs` lists all."."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"Nearest: {near[0]}." if near else f"Known: {', '.join(known)}."
    return f"Unknown {kind} {name!r}. {hint} {remedy}".rstrip()


_RULES = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be <= {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "literal_error": "must be {expected}",
}


def from_validation(error: ValidationError, *, known: Iterable[str], where: str = "") -> ConfigError:
    """Turn pydantic's report into our sentences, one per field.

    Args:
        error: what pydantic raised.
        known: the field names, for the nearest match of a misspelt one.
        where: said in front of each sentence, such as a file name.
    """
    known = tuple(known)
    found = {tuple(map(str, item["loc"])): item for item in error.errors(include_url=False)}
    sentences = []
    for place, item in found.items():
        above, leaf = place[:-1], "".join(place[-1:])
        if above and (leaf,) in found:
            continue  # the teacher's recipe repeats what it inherits
        name = ".".join([*above, leaf])
        if item["type"] == "extra_forbidden":
            sentences.append(unknown("field", name, (".".join([*above, field]) for field in known)))
        elif item["type"] == "value_error":
            sentences.append(str(item["ctx"]["error"]))
        else:
            rule = _RULES.get(item["type"], item["msg"][:1].lower() + item["msg"][1:])
            sentences.append(f"{name} {rule.format(**item.get('ctx', {}))}, got {item['input']!r}.")
    return ConfigError(where + " ".join(sentences))
