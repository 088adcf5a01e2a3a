"""A Bayesian model of mIoU over the search space: which parts of it there are, and how sure one can be.

mIoU = level + sum over blocks (one or two dimensions each) of columns @ coefficients + noise. A block is absent with a
given probability; else its coefficients are normal, with a variance that is one of a few. So a dimension that
does nothing is mostly exactly 0 (spike and slab), and a fit to 30 trials and 100 columns neither
overfits nor shrinks a clear effect. Gibbs sampling, with all chains side by side in one array.

Source: George, McCulloch, "Variable selection via Gibbs sampling", JASA 1993; blocks after Sobol's decomposition.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

_SCALES = np.array([0.03, 0.1, 0.3, 1.0, 3.0])  # variance of a block that is there, in variances of mIoU
_FIXED = np.array([10.0])  # of covariates that are always there
_NOISE_SHAPE, _NOISE_RATE = 1.0, 0.05  # inverse gamma prior of the noise variance, in variances of mIoU


@dataclass(frozen=True)
class Block:
    """Columns that are present or absent together.

    Attributes:
        columns: (trials, columns), or (chains, trials, columns) where chains differ in them.
        weights: (columns,) share of the prior variance.
        absent: prior probability that the block does nothing; 0: it is a covariate, with a wide prior.
    """

    columns: np.ndarray
    weights: np.ndarray
    absent: float


class _Turned:
    """A block in the basis in which its coefficients are independent: the eigenvectors of its Gram matrix."""

    def __init__(self, block: Block, num_chains: int) -> None:
        scaled = block.columns * np.sqrt(block.weights)
        gram = np.swapaxes(scaled, -1, -2) @ scaled
        values, vectors = np.linalg.eigh(gram)
        self.values = np.atleast_2d(np.maximum(values, 0.0))[:, None, :]
        self.columns = scaled @ vectors
        self.back = np.sqrt(block.weights)[:, None] * vectors
        self.scales = np.r_[0.0, _SCALES] if block.absent else _FIXED
        odds = np.r_[block.absent, np.full(len(_SCALES), (1 - block.absent) / len(_SCALES))]
        self.prior = np.log(odds) if block.absent else np.zeros(1)
        self.state = np.zeros((num_chains, len(block.weights)))

    def fitted(self) -> np.ndarray:
        """(chains, trials)"""
        if self.columns.ndim == 2:
            return self.state @ self.columns.T
        return np.matmul(self.columns, self.state[..., None])[..., 0]

    def project(self, residual: np.ndarray) -> np.ndarray:
        """(chains, columns)"""
        if self.columns.ndim == 2:
            return residual @ self.columns
        return np.matmul(residual[:, None, :], self.columns)[:, 0]

    def update(self, residual: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> None:
        """Draw first the block's variance, with the coefficients integrated out, then the coefficients."""
        seen, sigma = self.project(residual), noise[:, None, None]
        scales = self.scales[None, :, None]
        ratio = scales * self.values / sigma
        evidence = seen[:, None, :] ** 2 * scales / (sigma**2 * (1 + ratio)) - np.log1p(ratio)
        scale = self.scales[_pick(0.5 * evidence.sum(axis=-1) + self.prior, rng)][:, None]
        variance = scale / (1 + scale * self.values[:, 0] / noise[:, None])
        self.state = variance * seen / noise[:, None] + np.sqrt(variance) * rng.standard_normal(seen.shape)

    def coefficients(self) -> np.ndarray:
        """(chains, columns) of the block's own columns."""
        return np.matmul(self.back, self.state[..., None])[..., 0]


def sample(
    miou: np.ndarray,
    blocks: Mapping[Hashable, Block],
    rng: np.random.Generator,
    *,
    num_chains: int,
    num_draws: int = 1,
    burn_in: int = 50,
    thin: int = 5,
) -> tuple[np.ndarray, dict[Hashable, np.ndarray]]:
    """Draws from the posterior.

    Args:
        miou: (trials,) in any unit.
        num_draws: kept of each chain.
        burn_in: sweeps over all blocks before the first draw; `thin`: between two.

    Returns:
        levels (num_draws * chains,), and block -> coefficients (num_draws * chains, columns) in miou's unit, the last
        draw's chains last.
    """
    center, unit = miou.mean(), miou.std() or 1.0
    turned = {key: _Turned(block, num_chains) for key, block in blocks.items()}
    residual = np.tile((miou - center) / unit, (num_chains, 1))
    level, noise = np.zeros(num_chains), np.full(num_chains, 0.5)
    levels: list[np.ndarray] = []
    kept: dict[Hashable, list[np.ndarray]] = {key: [] for key in blocks}
    for sweep in range(1, burn_in + thin * (num_draws - 1) + 1):
        residual += level[:, None]
        level = residual.mean(axis=1) + np.sqrt(noise / len(miou)) * rng.standard_normal(num_chains)
        residual -= level[:, None]
        for block in turned.values():
            residual += block.fitted()
            block.update(residual, noise, rng)
            residual -= block.fitted()
        rate = _NOISE_RATE + 0.5 * (residual**2).sum(axis=1)
        noise = rate / rng.standard_gamma(_NOISE_SHAPE + 0.5 * len(miou), num_chains)
        if sweep >= burn_in and (sweep - burn_in) % thin == 0:
            levels.append(center + unit * level)
            for key, block in turned.items():
                kept[key].append(block.coefficients() * unit)
    return np.concatenate(levels), {key: np.concatenate(draws) for key, draws in kept.items()}


def _pick(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(chains,) an option of each row, as likely as its logit says."""
    mass = np.exp(logits - logits.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    return (mass < rng.random((len(mass), 1)) * mass[:, -1:]).sum(axis=-1)
