"""A Bayesian model of mIoU over the search space: which parts of it there are, and how sure one can be.

mIoU = level + sum over blocks (one or two dimensions each) of columns @ coefficients + noise. A block is absent with a
given probability; else its coefficients are normal, with a variance that is one of a few. So a dimension that
does nothing is mostly exactly 0 (spike and slab), and a fit to 30 trials and 100 columns neither
overfits nor shrinks a clear effect. What two dimensions do together is likelier where each does something (heredity).
Gibbs sampling, with all chains side by side in one array.

Source: George, McCulloch, "Variable selection via Gibbs sampling", JASA 1993; blocks after Sobol's decomposition;
heredity: Chipman, "Bayesian variable selection with related predictors", Canadian Journal of Statistics 1996.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
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
        absent: prior probability that the block does nothing, by how many of its parents do something; 0: it is a
            covariate, with a wide prior.
        parents: keys of the blocks on which that depends.
    """

    columns: np.ndarray
    weights: np.ndarray
    absent: Sequence[float]
    parents: tuple[Hashable, ...] = ()


class _Turned:
    """A block in the basis in which its coefficients are independent: the eigenvectors of its Gram matrix."""

    def __init__(self, block: Block, num_chains: int) -> None:
        scaled = block.columns * np.sqrt(block.weights)
        gram = np.swapaxes(scaled, -1, -2) @ scaled
        values, vectors = np.linalg.eigh(gram)
        self.values = np.atleast_2d(np.maximum(values, 0.0))[:, None, :]
        self.columns = scaled @ vectors
        self.back = np.sqrt(block.weights)[:, None] * vectors
        self.is_fixed = not block.absent[0]
        self.scales = _FIXED if self.is_fixed else np.r_[0.0, _SCALES]
        self.parents = block.parents
        self.absent = np.asarray(block.absent)
        self.state = np.zeros((num_chains, len(block.weights)))
        self.is_there = np.full(num_chains, self.is_fixed)

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

    def odds(self, num_parents: np.ndarray) -> np.ndarray:
        """(chains,) log odds that the block does something, where so many of its parents do."""
        absent = self.absent[num_parents]
        return np.log1p(-absent) - np.log(absent)

    def chance(self, num_parents: np.ndarray) -> np.ndarray:
        """(chains,) log probability that the block is as it is: there or absent."""
        absent = self.absent[num_parents]
        return np.log(np.where(self.is_there, 1 - absent, absent))

    def update(self, residual: np.ndarray, noise: np.ndarray, odds: np.ndarray, rng: np.random.Generator) -> None:
        """Draw first the block's variance, with the coefficients integrated out, then the coefficients.

        Args:
            odds: (chains,) log odds that it does something, before its columns are looked at.
        """
        seen, sigma = self.project(residual), noise[:, None, None]
        scales = self.scales[None, :, None]
        ratio = scales * self.values / sigma
        evidence = seen[:, None, :] ** 2 * scales / (sigma**2 * (1 + ratio)) - np.log1p(ratio)
        prior = np.where(self.scales > 0, odds[:, None] - np.log(len(_SCALES)), 0.0)
        scale = self.scales[_pick(0.5 * evidence.sum(axis=-1) + prior, rng)][:, None]
        self.is_there = scale[:, 0] > 0
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
    children = {key: [other for other in turned.values() if key in other.parents] for key in turned}
    residual = np.tile((miou - center) / unit, (num_chains, 1))
    level, noise = np.zeros(num_chains), np.full(num_chains, 0.5)
    levels: list[np.ndarray] = []
    kept: dict[Hashable, list[np.ndarray]] = {key: [] for key in blocks}
    for sweep in range(1, burn_in + thin * (num_draws - 1) + 1):
        residual += level[:, None]
        level = residual.mean(axis=1) + np.sqrt(noise / len(miou)) * rng.standard_normal(num_chains)
        residual -= level[:, None]
        for key, block in turned.items():
            residual += block.fitted()
            block.update(residual, noise, _odds(block, children[key], turned), rng)
            residual -= block.fitted()
        rate = _NOISE_RATE + 0.5 * (residual**2).sum(axis=1)
        noise = rate / rng.standard_gamma(_NOISE_SHAPE + 0.5 * len(miou), num_chains)
        if sweep >= burn_in and (sweep - burn_in) % thin == 0:
            levels.append(center + unit * level)
            for key, block in turned.items():
                kept[key].append(block.coefficients() * unit)
    return np.concatenate(levels), {key: np.concatenate(draws) for key, draws in kept.items()}


def _odds(block: _Turned, children: Iterable[_Turned], turned: Mapping[Hashable, _Turned]) -> np.ndarray:
    """(chains,) log odds that a block does something, given what its parents and its children do."""

    none = np.zeros(len(block.state), int)

    def others(one: _Turned) -> np.ndarray:
        return sum((turned[key].is_there for key in one.parents if turned[key] is not block), start=none)

    found = none.astype(float) if block.is_fixed else block.odds(others(block))
    for child in children:
        found = found + child.chance(others(child) + 1) - child.chance(others(child))
    return found


def _pick(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(chains,) an option of each row, as likely as its logit says."""
    mass = np.exp(logits - logits.max(axis=-1, keepdims=True)).cumsum(axis=-1)
    return (mass < rng.random((len(mass), 1)) * mass[:, -1:]).sum(axis=-1)
