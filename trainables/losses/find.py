"""From the name in a config to the criterion it trains with."""

from __future__ import annotations

from contextlib import nullcontext

from trainables import own
from trainables.config import TrialConfig
from trainables.errors import ConfigError, unknown
from trainables.losses import LOSSES
from trainables.losses.criterion import Criterion
from trainables.models.segmodel import SegModel


def find_method(name: str) -> type[Criterion]:
    """A class of LOSSES, or your own by `package.module:name`.

    Raises:
        ConfigError: neither; or your own cannot be imported, or is no Criterion.
    """
    if name in LOSSES:
        return LOSSES[name]
    if ":" not in name:
        raise ConfigError(unknown("method", name, LOSSES, "Your own is named package.module:name."))
    found: type[Criterion] = own.load(
        name,
        wanted="a subclass of Criterion (trainables/losses/criterion.py)",
        accepts=lambda found: own.is_subclass(found, Criterion),
        error=ConfigError,
    )
    if found.needs_peer:
        raise ConfigError(f"{name!r} needs another student, but a method of your own trains one. Set needs_peer False.")
    return found


def make_criterion(
    config: TrialConfig, *, student: SegModel, teacher: SegModel | None, num_classes: int, ignore_index: int
) -> Criterion:
    """The config's method, built.

    Raises:
        ConfigError, ModelError: as `find_method`; it cannot compare the networks, or has no feature to begin with; or
            your own raises.
    """
    method = find_method(config.method)
    with nullcontext() if method in LOSSES.values() else own.in_words(config.method, "while it was built", ConfigError):
        made = method(config, student=student, teacher=teacher, num_classes=num_classes, ignore_index=ignore_index)
    if config.feature_steps and not made.weights_at(0):
        raise ConfigError(
            f"feature_share is {config.feature_share}, but no term of {config.method} on features has a weight. Give "
            "one a weight above 0, name it in feature_terms of a method of your own, or leave feature_share out."
        )
    return made
