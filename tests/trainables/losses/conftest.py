"""The formulas of HeteroAKD and plain distillation in NumPy float64, pixel by pixel where speed allows."""

from __future__ import annotations

import numpy as np
import pytest

from trainables.contracts import case

IGNORE = 255


class Oracle:
    """Maps are (batch, classes, height, width), labels (batch, height, width)."""

    @staticmethod
    def log_softmax(z, axis=1):
        shifted = z - z.max(axis=axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))

    @classmethod
    def softmax(cls, z, axis=1):
        return np.exp(cls.log_softmax(z, axis))

    @staticmethod
    def bilinear(maps, size):
        """Separable; a result's cell centre falls at (i + 1/2) n_in / n_out - 1/2 of the source, clamped to it."""
        for axis, length in zip((2, 3), size, strict=True):
            n = maps.shape[axis]
            at = np.clip((np.arange(length) + 0.5) * n / length - 0.5, 0, n - 1)
            low = np.floor(at).astype(int)
            share = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
            high = np.minimum(low + 1, n - 1)
            maps = (1 - share) * maps.take(low, axis) + share * maps.take(high, axis)
        return maps

    @classmethod
    def resample(cls, maps, size):
        """Bilinear where no side shrinks; the mean of blocks where both do by whole factors; else, side by side, the
        mean weighed by a triangle that reaches as far as the next cell of the result (as far as the next one of the
        source where that is further)."""
        sides = list(zip(maps.shape[2:], size, strict=True))
        if all(n <= m for n, m in sides):
            return cls.bilinear(maps, size)
        if all(n % m == 0 for n, m in sides):
            (rows, height), (columns, width) = sides
            blocks = maps.reshape(*maps.shape[:2], height, rows // height, width, columns // width)
            return blocks.mean(axis=(3, 5))
        for axis, (n, m) in zip((2, 3), sides, strict=True):
            centres = (np.arange(m) + 0.5)[:, None] * n / m
            weights = np.maximum(0, 1 - np.abs(np.arange(n) + 0.5 - centres) / max(1, n / m))
            weights /= weights.sum(axis=1, keepdims=True)
            maps = np.moveaxis(np.tensordot(weights, maps, (1, axis)), 0, axis)
        return maps

    @staticmethod
    def nearest(labels, size):
        """The label whose cell holds the centre of the result's cell."""
        rows, columns = ((2 * np.arange(m) + 1) * n // (2 * m) for n, m in zip(labels.shape[1:], size, strict=True))
        return labels[:, rows][:, :, columns]

    @staticmethod
    def mean(values, labels):
        valid = labels != IGNORE
        return values[valid].sum() / max(1, valid.sum())

    @classmethod
    def task(cls, logits, labels):
        log_p = cls.log_softmax(cls.bilinear(logits, labels.shape[1:]))
        picked = [-log_p[b, labels[b, i, j], i, j] for b, i, j in np.argwhere(labels != IGNORE)]
        return sum(picked) / max(1, len(picked))

    @classmethod
    def kd(cls, student, teacher, labels, tau):
        size = min(student.shape[2:], teacher.shape[2:])
        log_s = cls.log_softmax(cls.resample(student, size) / tau)
        log_t = cls.log_softmax(cls.resample(teacher, size) / tau)
        divergence = (np.exp(log_t) * (log_t - log_s)).sum(axis=1)
        return tau**2 * cls.mean(divergence, cls.nearest(labels, size))

    @staticmethod
    def bce(z, labels):
        """-log s(z) where the label is the class, -log(1 - s(z)) elsewhere."""
        is_class = labels[:, None] == np.arange(z.shape[1])[None, :, None, None]
        return np.where(is_class, np.logaddexp(0, -z), np.logaddexp(0, z))

    @staticmethod
    def share(bce_teacher, bce_student):
        """S_T; 1/2 where neither errs."""
        total = bce_teacher + bce_student
        return np.where(total > 0, 1 - bce_teacher / np.where(total > 0, total, 1), 0.5)

    @classmethod
    def mix(cls, z_teacher, z_student, bce_teacher, bce_student):
        share = cls.share(bce_teacher, bce_student)
        return share * z_teacher + (1 - share) * z_student

    @classmethod
    def evaluate(cls, bce_student, bce_hybrid, labels, axis):
        urgency = bce_student + np.maximum(0, bce_student - bce_hybrid)
        if axis == "class":
            return cls.softmax(urgency)
        weight = np.zeros_like(urgency)
        for b, c in np.ndindex(urgency.shape[:2]):
            valid = labels[b] != IGNORE
            if valid.any():
                weight[b, c][valid] = cls.softmax(urgency[b, c][valid], axis=0) * valid.sum() / urgency.shape[1]
        return weight

    @classmethod
    def hakd(cls, z_student, hybrid, weight, labels, tau):
        errors = -(weight * cls.softmax(hybrid / tau) * cls.log_softmax(z_student / tau)).sum(axis=1)
        return cls.mean(errors, labels)

    @classmethod
    def hakd_gradient(cls, z_student, hybrid, weight, labels, tau):
        """With hybrid and weight constant: (softmax(Z_S / tau) sum_k (W q)_k - (W q)_c) / (tau N)."""
        wq = weight * cls.softmax(hybrid / tau)
        inside = (labels != IGNORE)[:, None]
        gradient = cls.softmax(z_student / tau) * wq.sum(axis=1, keepdims=True) - wq
        return inside * gradient / (tau * max(1, inside.sum()))


@pytest.fixture(scope="session")
def oracle():
    return Oracle


@pytest.fixture
def z():
    """z(seed, b, c, h, w, scale=...) is a float64 array of normal numbers."""

    def make(seed, *shape, scale=3.0):
        return scale * np.random.default_rng(seed).standard_normal(shape)

    return make


@pytest.fixture(scope="session")
def saved_bytes():
    """saved_bytes(compute): bytes of the distinct tensors that autograd keeps for the backward pass."""

    def measure(compute):
        def result():
            found = compute()
            assert found.requires_grad
            return found

        return case.saved_bytes(result)

    return measure
