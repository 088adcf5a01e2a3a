"""Columns of dimensions, orthonormal over the space."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.statistics.basis import Axis, design


@pytest.mark.parametrize(
    ("axis", "places"),
    [
        (Axis("number"), (np.arange(20000) + 0.5) / 20000),
        (Axis("level", choices=(1, 2, 3)), np.arange(3)),
        (Axis("category", choices=("a", "b", "c", "d", "e")), np.arange(5)),
    ],
)
def test_columns_are_orthonormal_over_the_space(axis, places):
    columns = axis.columns(places)
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(columns.T @ columns / len(places), np.eye(columns.shape[1]), atol=1e-5)


def test_products_are_orthonormal_too():
    points = np.stack(np.meshgrid((np.arange(400) + 0.5) / 400, np.arange(3)), axis=-1).reshape(-1, 2)
    axes = {"x": Axis("number"), "y": Axis("level", choices=(1, 2, 3))}
    places = {"x": points[:, 0], "y": points[:, 1].astype(int)}
    blocks = design(axes, places, {name: np.ones(len(points), bool) for name in axes})
    columns = np.concatenate(list(blocks.values()), axis=1)
    np.testing.assert_allclose(columns.T @ columns / len(points), np.eye(columns.shape[1]), atol=1e-3)
