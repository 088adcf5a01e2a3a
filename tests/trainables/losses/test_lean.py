"""The one-pass form against the plain one, which has the formulas in NumPy for its oracle (test_heteroakd.py)."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from trainables.errors import ConfigError
from trainables.losses import kernel, lean
from trainables.losses.heteroakd import HeteroAkd, plain_terms
from trainables.losses.kernel import pick_kernel
from trainables.losses.lean import lean_terms
from trainables.losses.switches import Switches

FORMS = list(itertools.product((1.0, 4.0), (True, False), (True, False)))
"""Temperature, kmm, kem."""
TOLERANCE = {3.0: 1e-5, 30.0: 1e-3, 200.0: 1e-4, 1e4: 1e-5}
"""By the size of Z, of the largest number, where fp32 has all its digits. Differences of logits of 30 round to 1e-6."""


@pytest.fixture
def maps():
    """Z_T, Z_S and labels of which a fifth is ignored; leaves."""

    def make(classes, scale=3.0, *, grid=(5, 7), batch=3, dtype=torch.float32):
        rng = torch.Generator().manual_seed(classes)
        z = [scale * torch.randn(batch, classes, *grid, generator=rng, dtype=dtype) for _ in range(2)]
        labels = torch.randint(0, classes, (batch, *grid), generator=rng)
        labels[torch.rand(labels.shape, generator=rng) < 0.2] = 255
        return *(each.requires_grad_() for each in z), labels

    return make


def found(terms, teacher, student, labels, switches):
    """Both values, the gradients of loss_proj and that of loss_hakd."""
    proj, hakd = terms(teacher, student, labels, switches)
    of_proj = torch.autograd.grad(proj, (teacher, student), retain_graph=True)
    to_teacher, to_student = torch.autograd.grad(hakd, (teacher, student), allow_unused=True)
    assert to_teacher is None
    return [proj.detach(), hakd.detach(), *of_proj, to_student]


@pytest.mark.parametrize("block", [1, 40, 2**16], ids=["row by row", "some rows", "all at once"])
@pytest.mark.parametrize("scale", TOLERANCE)
@pytest.mark.parametrize("classes", [2, 7, 19, 150])
def test_values_and_gradients_are_those_of_the_plain_form(classes, scale, block, maps, monkeypatch):
    monkeypatch.setitem(lean.BLOCK, "cpu", classes * block)
    inputs = maps(classes, scale)
    for temperature, kmm, kem in FORMS:
        switches = Switches(255, temperature, kmm, kem)
        pairs = zip(found(lean_terms, *inputs, switches), found(plain_terms, *inputs, switches), strict=True)
        for mine, plain in pairs:
            assert (mine - plain).abs().max() <= TOLERANCE[scale] * plain.abs().max().clamp(min=1e-30)


@pytest.mark.parametrize("terms", [plain_terms, lean_terms])
def test_a_pixel_that_both_get_right_by_far_is_mixed_by_how_right_they_are(terms):
    """One pixel of class 0 of 2: Z_T = (200, -199), Z_S = (198, -200). d is 2 and -1 (see test_mixing.py), so that
    Z_hyb = 198 + 2 s(2) and -200 + s(-1); by halves it would be 199 and -199.5. At tau = 100 the cross-entropy to
    softmax(1.98, -2.0) tells them apart.
    """
    z_hyb = [198 + 2 / (1 + math.exp(-2)), -200 + 1 / (1 + math.exp(1))]
    target = 1 / (1 + math.exp(-(z_hyb[0] - z_hyb[1]) / 100))
    log_p = -math.log1p(math.exp(-3.98))
    expected = -(target * log_p + (1 - target) * (log_p - 3.98))
    teacher, student = (torch.tensor(z).view(1, 2, 1, 1) for z in ([200.0, -199.0], [198.0, -200.0]))
    _, hakd = terms(teacher, student, torch.zeros(1, 1, 1, dtype=torch.int64), Switches(255, 100.0, True, False))
    assert hakd.item() == pytest.approx(expected, rel=2e-6)


def test_gradients_are_those_of_finite_differences_where_the_target_is_a_constant(maps):
    teacher, student, labels = maps(3, grid=(2, 3), dtype=torch.float64)
    switches = Switches(255, 2.0, False, False)
    assert torch.autograd.gradcheck(lambda t, s: lean_terms(t, s, labels, switches)[0], (teacher, student))
    assert torch.autograd.gradcheck(lambda s: lean_terms(teacher, s, labels, switches)[1], (student,))


def test_both_terms_together_have_the_sum_of_their_gradients(maps):
    teacher, student, labels = maps(7)
    switches = Switches(255, 1.0, True, True)
    _, _, teacher_proj, student_proj, student_hakd = found(lean_terms, teacher, student, labels, switches)
    proj, hakd = lean_terms(teacher, student, labels, switches)
    (0.5 * proj + 3 * hakd).backward()
    torch.testing.assert_close(teacher.grad, 0.5 * teacher_proj)
    torch.testing.assert_close(student.grad, 0.5 * student_proj + 3 * student_hakd)


def test_a_batch_without_a_label_costs_zero_and_moves_nothing(maps):
    teacher, student, labels = maps(7)
    proj, hakd = lean_terms(teacher, student, torch.full_like(labels, 255), Switches(255, 1.0, True, True))
    assert (proj.item(), hakd.item()) == (0, 0)
    (proj + hakd).backward()
    assert (teacher.grad == 0).all()
    assert (student.grad == 0).all()


def test_one_map_is_kept_beside_the_inputs(maps, saved_bytes):
    teacher, student, labels = maps(19)
    switches = Switches(255, 1.0, True, True)
    one = student.nbytes
    kept = saved_bytes(lambda: sum(lean_terms(teacher, student, labels, switches)))
    assert kept <= 3 * one + labels.nbytes + 64
    assert saved_bytes(lambda: sum(plain_terms(teacher, student, labels, switches))) > 2 * kept


def test_maps_in_channels_last_have_the_same_gradients(maps):
    *z, labels = maps(7)
    switches = Switches(255, 1.0, True, True)
    last = [each.detach().to(memory_format=torch.channels_last).requires_grad_() for each in z]
    for one, other in zip(
        found(lean_terms, *z, labels, switches), found(lean_terms, *last, labels, switches), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.fixture
def criterion(small, network, teacher):
    def make(**fields):
        config = small(method="heteroakd", projector_tap="stage3", **fields)
        torch.manual_seed(0)
        return HeteroAkd(config, student=network(), teacher=teacher, num_classes=5, ignore_index=255)

    return make


@pytest.mark.parametrize("hakd_kernel", ["plain", "lean"])
def test_terms_are_fp32_under_autocast(hakd_kernel, criterion, network, teacher, features, random_labels):
    guides = (
        features(network(), logits=(6, 8), taps=(6, 8), seed=1),
        features(teacher, logits=(6, 8), taps=(6, 8), seed=2),
    )
    labels = random_labels(2, 6, 8)
    built = criterion(hakd_kernel=hakd_kernel)
    exact = built(*guides, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = built(*guides, labels)
    for name in ("loss_proj", "loss_hakd"):
        assert terms[name].dtype == torch.float32
        assert terms[name].item() == pytest.approx(exact[name].item(), rel=0.02)  # the projectors are in bf16


def test_auto_is_lean_on_a_cpu_and_weights_over_space_are_always_plain(small):
    cpu = {"num_classes": 5, "device": torch.device("cpu")}
    assert pick_kernel(small(method="heteroakd"), **cpu) == "lean"
    assert pick_kernel(small(method="heteroakd", hakd_kernel="plain"), **cpu) == "plain"
    for kind in ("auto", "lean", "triton"):
        assert pick_kernel(small(method="heteroakd", hakd_kernel=kind, kem_axis="space"), **cpu) == "plain"
        assert pick_kernel(small(method="heteroakd", hakd_kernel="lean", kem=False, kem_axis="space"), **cpu) == "lean"


@pytest.mark.parametrize(
    ("here", "device", "kernel_taken"), [(True, "cuda", "triton"), (True, "cpu", "lean"), (False, "cuda", "lean")]
)
def test_auto_is_triton_on_cuda_where_it_is_installed_and_works(here, device, kernel_taken, small, monkeypatch):
    config, device = small(method="heteroakd"), torch.device(device)
    monkeypatch.setattr(kernel, "has_triton", lambda: here)
    monkeypatch.setattr(kernel, "_triton_works", lambda _: True)
    assert pick_kernel(config, num_classes=150, device=device) == kernel_taken
    assert pick_kernel(config, num_classes=5000, device=device) == "lean"
    monkeypatch.setattr(kernel, "_triton_works", lambda _: False)
    assert pick_kernel(config, num_classes=150, device=device) == "lean"


@pytest.mark.parametrize(
    ("here", "message"), [(True, r"the device is a CPU\. Use auto or lean"), (False, "triton is not installed here")]
)
def test_triton_is_refused_where_it_cannot_run(here, message, criterion, monkeypatch):
    monkeypatch.setattr(kernel, "has_triton", lambda: here)
    with pytest.raises(ConfigError, match=message):
        criterion(hakd_kernel="triton", device="cpu")
