from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.losses import diffkd as module
from trainables.losses.diffkd import DENOISED_AT, Diffkd, Diffusion, ddim_step, kept_shares, noisy

SHARES = np.cumprod([1 - (1e-4 + t * (0.02 - 1e-4) / 999) for t in range(1000)])


def test_what_is_kept_falls_with_a_linearly_rising_noise():
    assert kept_shares().double().numpy() == pytest.approx(SHARES, rel=1e-4)


def test_told_the_noise_a_step_goes_along_the_noised_features_and_the_last_gives_the_clean_one(z):
    """What the forward process makes of a feature at an earlier time, of the same noise."""
    clean, noise = z(0, 2, 3, 4, 4), z(1, 3, 4, 4)
    for at, to in ((400, 300), (0, None)):
        there = np.sqrt(SHARES[at]) * clean + np.sqrt(1 - SHARES[at]) * noise
        earlier = 1.0 if to is None else SHARES[to]
        expected = np.sqrt(earlier) * clean + np.sqrt(1 - earlier) * noise
        steps = SHARES[at], earlier
        found = ddim_step(torch.tensor(there), torch.tensor(noise).expand(2, -1, -1, -1), *steps).numpy()
        assert found == pytest.approx(expected, rel=1e-9)
        mixed = noisy(torch.tensor(clean), torch.tensor(noise), torch.tensor([SHARES[at]])).numpy()
        assert mixed == pytest.approx(there, rel=1e-9)


class Zero(torch.nn.Module):
    """Says that there is no noise."""

    def forward(self, noised, time):
        return torch.zeros_like(noised)


def test_the_three_terms_equal_the_formula_where_the_denoiser_finds_nothing(z, monkeypatch):
    """Then a cleaned feature is the noisy one over sqrt(abar_400), and the noise's own mean square is the last term."""
    torch.manual_seed(0)
    made = Diffusion(3, 4).eval()  # BatchNorms as at birth: over sqrt(1 + 1e-5)
    made.denoiser = Zero()
    made.adapted.weight.data.zero_()
    made.adapted.bias.data = torch.tensor([3.0, 1.0]).log()  # so that 3/4 are the student's
    student, teacher = z(0, 2, 3, 4, 4), z(1, 2, 4, 4, 4)
    valid = np.random.default_rng(0).random((2, 4, 4)) < 0.6
    noises = [torch.tensor(z(seed, 2, 4, 4)) for seed in (2, 3)]
    left = iter(noises)
    monkeypatch.setattr(module.torch, "randn", lambda *_, **__: next(left).float())

    def conv(layer, maps):
        weight, bias = layer.weight.detach().double().numpy()[..., 0, 0], layer.bias.detach().double().numpy()
        return np.einsum("kc,bchw->bkhw", weight, maps) + bias[:, None, None]

    def mean_square(maps):
        return (maps**2).mean(axis=1)[valid].mean()

    seen = [maps * valid[:, None] for maps in (student, teacher)]
    code = conv(made.encoder[0], seen[1]) / np.sqrt(1 + 1e-5)
    rebuilt = mean_square(conv(made.decoder, code) - teacher)
    mixed = 0.75 * conv(made.project, seen[0]) + 0.25 * noises[0].numpy()
    matched = mean_square(conv(made.last, mixed / np.sqrt(SHARES[DENOISED_AT[0]])) - code)
    unnoised = mean_square(np.broadcast_to(noises[1].numpy(), code.shape))
    found = made(*(torch.tensor(maps).float() for maps in (student, teacher)), torch.tensor(valid))
    assert found.item() == pytest.approx(rebuilt + matched + unnoised, rel=1e-4)


def test_only_what_matches_reaches_the_student_and_the_code_is_not_drawn_towards_it(small, network, teacher, features):
    torch.manual_seed(0)
    config = small(method="diffkd", projector_tap="stage3")
    criterion = Diffkd(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)
    student = features(network(), logits=(8, 8), taps=(8, 8), seed=1)
    guide = features(teacher, logits=(8, 8), taps=(8, 8), seed=2)
    code = criterion.diffusion.encoder[0].weight
    labels = torch.zeros(2, 8, 8, dtype=torch.long)

    def gradients(scale):
        torch.manual_seed(1)
        taps = {name: scale * tap.detach() for name, tap in student.taps.items()}
        moved = {name: tap.requires_grad_() for name, tap in taps.items()}
        loss = criterion(student._replace(taps=moved), guide, labels)["loss_diffkd"]
        return torch.autograd.grad(loss, [code, moved["stage3"]])

    (one, moved), (other, _) = gradients(1.0), gradients(3.0)
    assert torch.equal(one, other)
    assert moved.any()
