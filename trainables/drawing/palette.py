"""Colours for classes that have none of their own: far apart for people with and without colour-vision deficiencies."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

Colour = tuple[int, int, int]
"""RGB, 0..255."""

_FIRST: tuple[Colour, ...] = (  # Okabe and Ito, Color Universal Design, 2008; without black, which is "no class"
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (86, 180, 233),
    (213, 94, 0),
)
_LEVELS = (32, 66, 100, 134, 168, 202, 236)  # of each channel of the other candidates
_SEEN_AS = (  # linear RGB with normal vision and without the L, M and S cones; Machado et al. 2009, severity 1.0
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
)
_OKLAB = (  # Ottosson 2020: linear RGB to cones, their cube roots to lightness and two opponent axes
    np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]),
    np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]),
)


@lru_cache
def distinct(count: int) -> tuple[Colour, ...]:
    """`count` different colours, at most 300. Seven come first as Okabe and Ito chose them; then each is, among a grid
    of colours, the one whose nearest chosen neighbour is farthest, in the eyes of whoever sees the least difference.
    """
    chosen = list(_FIRST[:count])
    candidates: list[Colour] = [(red, green, blue) for red in _LEVELS for green in _LEVELS for blue in _LEVELS]
    seen = _seen(candidates)
    nearest = np.min([_distances(seen, _seen([colour])) for colour in _FIRST], axis=0)
    while len(chosen) < count:
        best = int(nearest.argmax())
        chosen.append(candidates[best])
        nearest = np.minimum(nearest, _distances(seen, seen[:, best : best + 1]))
    return tuple(chosen)


def _seen(colours: list[Colour]) -> Float[np.ndarray, "eyes colours 3"]:
    """In OKLab, by each kind of eye."""
    scaled = np.array(colours) / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    views = np.clip(np.einsum("eij,cj->eci", np.array(_SEEN_AS), linear), 0, 1)
    return np.cbrt(views @ _OKLAB[0].T) @ _OKLAB[1].T


def _distances(
    seen: Float[np.ndarray, "eyes colours 3"], one: Float[np.ndarray, "eyes 1 3"]
) -> Float[np.ndarray, " colours"]:
    return np.linalg.norm(seen - one, axis=-1).min(axis=0)
