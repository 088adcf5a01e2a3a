"""The criterion of two students: what each learns, from where, and that neither reaches into the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trainables.errors import ModelError
from trainables.losses.collaborative import Collaborative
from trainables.losses.hfd import Attend, Mimic, Mix
from trainables.losses.task import task_loss
from trainables.models.attention import is_convolutional
from trainables.models.build import build
from trainables.models.segmodel import Features

KINDS = ("task", "hfd", "region", "pixel")
SHARES = {"regions_to_student", "pixels_to_student"}
ONE_TURN = ("region", "pixel")


@pytest.fixture
def networks(network):
    """Of other channels, and logits of other strides."""
    return network(), network(7, stage=3, width=6)


@pytest.fixture
def criterion(small, networks):
    def make(pair=networks, **fields):
        config = small(method="collaborative", region_size=8, **fields)
        torch.manual_seed(0)
        return Collaborative(config, student=pair[0], teacher=pair[1], num_classes=5, ignore_index=255)

    return make


@pytest.fixture
def maps(features, networks):
    """Features of both on a crop of 32 x 48: taps at stride 4, logits at strides 2 and 4."""
    first = features(networks[0], logits=(16, 24), taps=(8, 12), seed=1)
    return first, features(networks[1], logits=(8, 12), taps=(8, 12), seed=2)


def leaves(maps):
    return [maps.logits, *maps.taps.values()]


def moved(term, maps):
    found = torch.autograd.grad(term, leaves(maps), retain_graph=True, allow_unused=True)
    return any(g is not None and g.abs().sum() > 0 for g in found)


def values(terms):
    return {name: term.item() for name, term in terms.items()}


def test_both_have_every_term_and_two_shares_are_only_measured(criterion, maps, random_labels):
    built = criterion(lambda_hfd=2.0, lambda_region=3.0, lambda_pixel=4.0)
    terms = built(*maps, random_labels(2, 32, 48))
    weights = dict(zip(KINDS, (1.0, 2.0, 3.0, 4.0), strict=True))
    expected = {f"{who}_{kind}": weight for who in ("loss", "peer") for kind, weight in weights.items()}
    assert built.weights == expected
    assert terms.keys() == expected.keys() | SHARES
    assert all(term.isfinite() for term in terms.values())
    assert all(0 < terms[name].item() < 1 for name in SHARES)


def test_each_students_task_is_its_own_cross_entropy(criterion, maps, random_labels):
    labels = random_labels(2, 32, 48)
    terms = criterion()(*maps, labels)
    for name, own in zip(("loss_task", "peer_task"), maps, strict=True):
        assert terms[name].item() == pytest.approx(task_loss(own.logits, labels, ignore_index=255).item())


@pytest.mark.parametrize(
    ("field", "kind", "share"),
    [
        ("lambda_hfd", "hfd", None),
        ("lambda_region", "region", "regions_to_student"),
        ("lambda_pixel", "pixel", "pixels_to_student"),
    ],
)
def test_a_weight_of_zero_switches_its_term_off_and_no_other(field, kind, share, criterion, maps, random_labels):
    labels = random_labels(2, 32, 48)
    terms = criterion(**{field: 0.0})(*maps, labels)
    gone = {f"loss_{kind}", f"peer_{kind}", share}
    whole = criterion()(*maps, labels)
    assert whole.keys() - terms.keys() == gone - {None}
    kept = [name for name in terms if "hfd" not in name and "region_" not in name and "_region" not in name]
    assert {name: terms[name].item() for name in kept} == {name: whole[name].item() for name in kept}


def test_with_all_weights_zero_only_the_tasks_and_no_weights_are_left(criterion, maps, random_labels):
    built = criterion(lambda_hfd=0.0, lambda_region=0.0, lambda_pixel=0.0)
    assert built(*maps, random_labels(2, 32, 48)).keys() == {"loss_task", "peer_task"}
    assert not list(built.parameters())


def test_no_term_of_one_student_moves_the_other(criterion, maps, random_labels):
    terms = criterion()(*maps, random_labels(2, 32, 48))
    student, peer = maps
    for kind in KINDS:
        assert moved(terms[f"loss_{kind}"], student)
        assert not moved(terms[f"loss_{kind}"], peer)
        assert moved(terms[f"peer_{kind}"], peer)
        assert not moved(terms[f"peer_{kind}"], student)


def test_each_side_trains_its_own_modules(criterion, maps, random_labels):
    built = criterion()
    terms = built(*maps, random_labels(2, 32, 48))
    theirs = {id(parameter) for parameter in built.peer_parameters()}
    every = list(built.named_parameters())
    assert 0 < len(theirs) < len(every)
    sum(term for name, term in terms.items() if name.startswith("peer_")).backward()
    for name, parameter in every:
        assert (parameter.grad is not None) == (id(parameter) in theirs), name


def test_swapping_the_students_swaps_the_losses(criterion, networks, maps, random_labels):
    labels = random_labels(2, 32, 48)
    one = criterion()
    two = criterion(networks[::-1])
    two.student_side.load_state_dict(one.peer_side.state_dict())
    two.peer_side.load_state_dict(one.student_side.state_dict())
    there, back = one(*maps, labels), two(*maps[::-1], labels)
    for kind in KINDS:
        assert back[f"loss_{kind}"].item() == pytest.approx(there[f"peer_{kind}"].item(), rel=1e-6)
        assert back[f"peer_{kind}"].item() == pytest.approx(there[f"loss_{kind}"].item(), rel=1e-6)
    for name in SHARES:
        assert back[name].item() == pytest.approx(1 - there[name].item())


def test_a_student_better_everywhere_learns_nothing_and_teaches_everything(criterion, maps, random_labels):
    ids = random_labels(2, 8, 12)
    labels = ids.repeat_interleave(4, 1).repeat_interleave(4, 2)
    right = nn.functional.one_hot(ids.clamp(max=4), 5).movedim(-1, 1).float()
    sure = maps[0]._replace(logits=(30 * right).repeat_interleave(2, 2).repeat_interleave(2, 3).requires_grad_())
    unsure = maps[1]._replace(logits=torch.zeros_like(maps[1].logits).requires_grad_())
    terms = criterion()(sure, unsure, labels)
    assert [terms[f"loss_{kind}"].item() for kind in ONE_TURN] == [0, 0]
    assert all(terms[f"peer_{kind}"].item() > 0 for kind in ONE_TURN)
    assert [terms[name].item() for name in sorted(SHARES)] == [0, 0]
    mirrored = Features(unsure.logits, maps[0].taps), Features(sure.logits, maps[1].taps)
    terms = criterion()(*mirrored, labels)
    assert [terms[f"peer_{kind}"].item() for kind in ONE_TURN] == [0, 0]
    assert [terms[name].item() for name in sorted(SHARES)] == [1, 1]


def test_pixels_without_a_label_change_nothing(criterion, features, networks, random_labels):
    """All maps on the labels' grid, so that each cell has a label of its own."""
    grid = {"logits": (16, 24), "taps": (16, 24)}
    maps = [features(each, **grid, seed=seed) for seed, each in enumerate(networks)]
    labels = random_labels(2, 16, 24)
    labels[1] = 255
    noise = torch.Generator().manual_seed(9)

    def disturb(value):
        return torch.where(
            (labels == 255)[:, None], 50 * torch.randn(value.shape, generator=noise), value.detach()
        ).requires_grad_()

    others = [Features(disturb(m.logits), {name: disturb(tap) for name, tap in m.taps.items()}) for m in maps]
    built = criterion()
    terms, disturbed = built(*maps, labels), built(*others, labels)
    assert values(terms) == values(disturbed)
    sum(terms[name] for name in built.weights).backward()
    sum(disturbed[name] for name in built.weights).backward()
    for one, two in zip(maps, others, strict=True):
        for a, b in zip(leaves(one), leaves(two), strict=True):
            if a.grad is None:
                assert b.grad is None
                continue
            torch.testing.assert_close(a.grad, b.grad)
            assert (a.grad * (labels == 255)[:, None] == 0).all()


def test_the_order_of_a_batch_changes_nothing(criterion, maps, random_labels):
    labels = random_labels(2, 32, 48)
    flipped = [Features(m.logits.flip(0), {name: tap.flip(0) for name, tap in m.taps.items()}) for m in maps]
    built = criterion()
    assert values(built(*flipped, labels.flip(0))) == pytest.approx(values(built(*maps, labels)), rel=1e-5)


def test_a_batch_without_labels_costs_zero_and_moves_nothing(criterion, maps):
    terms = criterion()(*maps, torch.full((2, 32, 48), 255))
    assert set(values(terms).values()) == {0}
    assert not any(moved(terms[f"loss_{kind}"], maps[0]) for kind in KINDS)


def test_under_autocast_terms_stay_in_fp32(criterion, maps, random_labels):
    labels = random_labels(2, 32, 48)
    half = [Features(m.logits.bfloat16(), {name: tap.bfloat16() for name, tap in m.taps.items()}) for m in maps]
    whole = values(criterion(lambda_aux=0.4)(*maps, labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = criterion(lambda_aux=0.4)(*half, labels)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert values(terms) == pytest.approx(whole, rel=0.05, abs=0.02)


def test_both_students_get_the_auxiliary_head(criterion, maps, random_labels):
    built = criterion(lambda_aux=0.4)
    terms = built(*maps, random_labels(2, 32, 48))
    assert built.weights["loss_aux"] == built.weights["peer_aux"] == 0.4
    assert terms["loss_aux"] > 0
    assert terms["peer_aux"] > 0


def test_who_is_learnt_from_decides_between_attention_and_mlp(criterion, network):
    class Attention(nn.Identity):
        pass

    attends = network(3)
    attends.encoder.attention = Attention()
    plain = network(4)
    sides = {(a, b): criterion((a, b)) for a in (plain, attends) for b in (plain, attends)}
    for (student, peer), built in sides.items():
        assert isinstance(built.student_side.mimic.transform, Mix if peer is plain else Attend)
        assert isinstance(built.peer_side.mimic.transform, Mix if student is plain else Attend)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fpn:resnet18", True),
        ("fpn:tu-mobilenetv3_small_050", True),
        ("segformer:mit_b0", False),
        ("fpn:tu-pvt_v2_b0", False),
        ("fpn:tu-edgenext_xx_small", False),
    ],
)
def test_a_network_that_attends_is_not_convolutional(name, expected):
    assert is_convolutional(build(name, num_classes=2)) is expected


def test_a_network_without_the_features_is_refused_with_the_table(criterion, network):
    poor = network()
    del poor.taps["stage4"]
    with pytest.raises(ModelError, match=r"no tap 'stage4'(?s:.*)tap +student"):
        criterion((network(), poor))
    criterion((network(), poor), lambda_region=0.0)


def test_the_mlp_is_learnt_by_mean_squared_error_at_valid_cells(z, random_labels):
    torch.manual_seed(0)
    mimic = Mimic(3, 4, convolutional=True).double().float()
    own, other, labels = z(0, 2, 3, 4, 6), z(1, 2, 4, 4, 6), random_labels(2, 4, 6)
    found = mimic(torch.tensor(own).float(), torch.tensor(other).float(), labels, ignore_index=255).item()
    layers = [mimic.align, mimic.transform.layers[0], mimic.transform.layers[2]]
    (a, c), (w1, b1), (w2, b2) = ((m.weight[:, :, 0, 0].detach().numpy(), m.bias.detach().numpy()) for m in layers)
    errors = []
    for b, i, j in np.argwhere(labels.numpy() != 255):
        hidden = w1 @ (a @ own[b, :, i, j] + c) + b1
        gelu = torch.nn.functional.gelu(torch.tensor(hidden)).numpy()
        errors.append((((w2 @ gelu + b2) - other[b, :, i, j]) ** 2).mean())
    assert found == pytest.approx(np.mean(errors), rel=1e-4)


def test_attention_is_the_formula_over_valid_cells(z, random_labels):
    torch.manual_seed(0)
    attend = Attend(4)
    maps, labels = z(0, 2, 4, 3, 5), random_labels(2, 3, 5)
    found = attend(torch.tensor(maps).float(), labels != 255).detach().numpy()
    q, k, v, o = (m.weight.detach().numpy() for m in (attend.query, attend.key, attend.value, attend.out))
    for b in range(2):
        keys = [maps[b, :, i, j] for i, j in np.argwhere(labels[b].numpy() != 255)]
        for i, j in np.ndindex(3, 5):
            x = maps[b, :, i, j]
            score = np.array([(q @ x) @ (k @ y) / 2 for y in keys])  # sqrt of 4 channels
            share = np.exp(score - score.max()) / np.exp(score - score.max()).sum()
            mixed = sum(s * (v @ y) for s, y in zip(share, keys, strict=True))
            expected = x + o @ mixed + attend.out.bias.detach().numpy()
            np.testing.assert_allclose(found[b, :, i, j], expected, rtol=1e-4, atol=1e-5)


def test_attentions_memory_is_linear_in_cells():
    """Bytes kept for the backward pass; full attention would need 16 times as many for 4 times the cells."""

    def kept(side):
        sizes = []
        attend, maps = Attend(4), torch.randn(1, 4, side, side, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            attend(maps, torch.ones(1, side, side, dtype=torch.bool)).sum()
        return sum(sizes)

    assert kept(64) < 4.5 * kept(32)
