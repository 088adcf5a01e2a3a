from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses import cirkd as module
from trainables.losses.cirkd import Cirkd, cirkd_batch_loss, cirkd_memory_loss, draw_pixels, pool_cells


def direction(vector):
    return vector / np.sqrt((vector * vector).sum())


def divergence(teacher, student):
    """KL of two softmaxes, given lists of scores."""
    log_p, log_q = (np.array(s) - np.log(np.exp(s).sum()) for s in (teacher, student))
    return (np.exp(log_p) * (log_p - log_q)).sum()


def batch_formula(student, teacher, valid, tau):
    """Maps are images x channels x cells."""
    rows = []
    for i in range(len(valid)):
        for j in range(len(valid)):
            columns = np.flatnonzero(valid[j])
            for p in np.flatnonzero(valid[i]) if len(columns) else []:
                scores = [
                    [direction(maps[i, :, p]) @ direction(maps[j, :, q]) / tau for q in columns]
                    for maps in (teacher, student)
                ]
                rows.append(divergence(*scores))
    return np.mean(rows)


def memory_formula(student, teacher, valid, entries, tau):
    rows = []
    for i, p in np.argwhere(valid):
        scores = [[direction(maps[i, :, p]) @ e / tau for e in entries] for maps in (teacher, student)]
        rows.append(divergence(*scores))
    return np.mean(rows)


@pytest.fixture
def cells(z):
    """Student of 3 and teacher of 4 channels at 6 cells of 3 images, one without a valid cell."""
    valid = np.random.default_rng(0).random((3, 6)) < 0.7
    valid[1] = False
    return z(0, 3, 3, 6), z(1, 3, 4, 6), valid


@pytest.mark.parametrize("tau", [0.1, 1.0])
def test_the_term_within_the_batch_equals_the_formula(tau, cells):
    found = cirkd_batch_loss(*map(torch.as_tensor, cells), temperature=tau).item()
    assert found == pytest.approx(batch_formula(*cells, tau), rel=1e-9)


def test_two_images_of_one_cell_each_cost_nothing_and_two_cells_by_hand():
    one = torch.randn(2, 3, 1), torch.randn(2, 3, 1), torch.ones(2, 1, dtype=torch.bool)
    assert cirkd_batch_loss(*one, temperature=0.1).item() == pytest.approx(0, abs=1e-6)  # a softmax over one cell
    student, teacher = torch.eye(2)[None], torch.ones(1, 2, 2)  # cosines 1 and 0; 1 and 1
    found = cirkd_batch_loss(student, teacher, torch.ones(1, 2, dtype=torch.bool), temperature=1.0).item()
    share = np.e / (np.e + 1)
    assert found == pytest.approx(0.5 * np.log(0.5 / share) + 0.5 * np.log(0.5 / (1 - share)), rel=1e-5)


def test_the_memory_term_equals_the_formula_over_what_is_filled(cells, z):
    student, teacher, valid = z(2, 3, 4, 6), cells[1], cells[2]
    entries, filled = z(3, 5, 4), np.array([True, False, True, True, False])
    entries = np.stack([direction(entry) for entry in entries])
    tensors = map(torch.as_tensor, (student, teacher, valid, entries, filled))
    found = cirkd_memory_loss(*tensors, temperature=0.5).item()
    assert found == pytest.approx(memory_formula(student, teacher, valid, entries[filled], 0.5), rel=1e-9)


def test_an_empty_memory_costs_nothing_and_moves_nothing():
    student = torch.randn(2, 3, 4, requires_grad=True)
    nothing = torch.zeros(5, 3), torch.zeros(5, dtype=torch.bool)
    loss = cirkd_memory_loss(student, torch.randn(2, 3, 4), torch.ones(2, 4).bool(), *nothing, temperature=0.1)
    loss.backward()
    assert loss.item() == 0
    assert (student.grad == 0).all()


def test_cells_are_pooled_to_the_mean_of_what_is_valid_in_each(z, monkeypatch):
    monkeypatch.setattr(module, "CELLS", (2, 3))
    maps, valid = z(0, 2, 3, 4, 12), np.random.default_rng(1).random((2, 4, 12)) < 0.6
    valid[0, :2, :4] = False
    found, present = pool_cells(torch.tensor(maps), torch.tensor(valid))
    for b in range(2):
        for n, (i, j) in enumerate(np.ndindex(2, 3)):
            block = np.s_[2 * i : 2 * i + 2, 4 * j : 4 * j + 4]
            inside = valid[b][block]
            assert present[b, n].item() == inside.any()
            mean = maps[b][(slice(None), *block)][:, inside].mean(axis=1) if inside.any() else np.zeros(3)
            np.testing.assert_allclose(found[b, :, n].numpy(), mean, rtol=1e-5)


def test_drawn_pixels_are_distinct_directions_of_their_class(z):
    ids = np.random.default_rng(0).integers(0, 3, (2, 40))
    ids[ids == 2] = 1
    member = torch.tensor(np.stack([ids == c for c in range(3)], axis=1)).float()
    features = torch.tensor(z(0, 2, 4, 40)).float()
    vectors, present = draw_pixels(features, member)
    assert present.sum(dim=1).tolist() == [16, 16, 0]
    for c in (0, 1):
        own = {tuple(np.round(direction(features[b, :, p].numpy()), 4)) for b, p in np.argwhere(ids == c)}
        drawn = [tuple(np.round(vector.numpy(), 4)) for vector in vectors[c]]
        assert len(set(drawn)) == 16
        assert set(drawn) <= own


@pytest.fixture
def criterion(small, network, teacher):
    def make(**fields):
        config = small(method="cirkd", projector_tap="stage3", cirkd_temperature=0.5, **fields)
        torch.manual_seed(0)
        return Cirkd(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)

    return make


@pytest.fixture
def guides(features, network, teacher):
    def make(seed):
        grid = {"logits": (6, 8), "taps": (6, 8)}
        return features(network(), **grid, seed=seed), features(teacher, **grid, seed=seed + 1)

    return make


def test_a_step_is_compared_with_the_class_means_of_the_steps_before(criterion, guides, random_labels):
    built, labels = criterion(), random_labels(2, 6, 8)
    first, second = guides(1), guides(3)
    assert built(*first, labels)["loss_cirkd_region"].item() == 0
    earlier = first[1].taps["stage3"].detach().double().numpy()
    ids = labels.numpy()
    regions = [
        direction(earlier[b][:, ids[b] == c].mean(axis=1)) for c in range(5) for b in range(2) if (ids[b] == c).any()
    ]
    weight = built.head.weight.detach().double().numpy()[..., 0, 0]
    student, guide = (found.taps["stage3"].detach().double().flatten(2).numpy() for found in second)
    projected = np.einsum("kc,bcn->bkn", weight, student)
    expected = memory_formula(projected, guide, ids.reshape(2, -1) != 255, regions, 0.5)
    assert built(*second, labels)["loss_cirkd_region"].item() == pytest.approx(expected, rel=1e-4)


def test_a_memory_that_is_restored_gives_the_same_terms(criterion, guides, random_labels):
    labels, one, other = random_labels(2, 6, 8), criterion(), criterion()
    one(*guides(1), labels)
    other.load_state_dict(one.state_dict())
    terms = [built(*guides(3), labels) for built in (one, other)]
    assert terms[0]["loss_cirkd_pixel"].item() > 0
    assert {k: v.item() for k, v in terms[0].items()} == {k: v.item() for k, v in terms[1].items()}


def test_the_memories_hold_about_as_many_vectors_for_any_number_of_classes(small, network, teacher):
    for classes in (5, 19, 150):
        config = small(method="cirkd", projector_tap="stage3")
        built = Cirkd(config, student=network(), teacher=teacher, num_classes=classes, ignore_index=255)
        assert 4096 <= built.pixels.entries.shape[:2].numel() <= 4096 + classes
        assert 1024 <= built.regions.entries.shape[:2].numel() <= 1024 + classes


def test_memory_is_bounded_once_cells_are_pooled(criterion, network, teacher, features, saved_bytes):
    """Beyond 16 x 32 cells only the features themselves grow; unpooled, 4 times the cells need 16 times the memory."""

    def loss(grid):
        built = criterion(lambda_cirkd_pixel=0.0, lambda_cirkd_region=0.0)
        maps = [features(each, logits=(4, 4), taps=grid, seed=1) for each in (network(), teacher)]
        return built(*maps, torch.zeros(2, *grid).long())["loss_cirkd_batch"]

    assert saved_bytes(lambda: loss((32, 64))) < 1.5 * saved_bytes(lambda: loss((16, 32)))
