"""loss_proj and loss_hakd as two Triton kernels, one for each direction: `hakd_kernel` triton.

The formulas and gradients are those of `lean.py`. Each kernel reads Z_T, Z_S and the labels once; the backward one
computes everything again and writes both gradients once, so that nothing but the inputs is kept between them. A program
takes all classes of some pixels; sums are put together by PyTorch, in a fixed order, so a result is repeatable.

Checked against the plain form in Triton's interpreter, on a CPU, and compiled for compute capability 8.0 and 9.0; on a
GPU it has not been run. So `auto` takes it only where `works` finds, at first use, that it gives on the card at hand
what the lean form gives.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.losses.lean import lean_terms
from trainables.losses.switches import Switches
from trainables.ranks import denominator

TILE, WARPS = 2048, 8
"""Numbers of a map that a program holds, 64 pixels of 19 classes (a block of 32) or 8 of 150 (256): 64 to 93 registers
on compute capability 8.0, none spilt. Not tuned."""
RTOL, ATOL = 1e-3, 1e-6
"""How near kernel and lean form must be for `works`."""


# no_type_check: tests check types as they import; a kernel must stay the plain function that Triton reads.
# Whole numbers are annotated tl.tensor: of an `int` Triton takes the type to be given, and then does not compile a
# stride of 1 in. It would not know which neighbours lie side by side in memory, and read one number at a time.


@triton.jit
@no_type_check
def _softplus_of_minus(size: tl.tensor) -> tl.tensor:
    """log(1 + exp(-size)) for size >= 0, as 2 atanh(x / (2 + x)) of x = exp(-size): relative error 1e-7 near 0 too."""
    x = tl.exp(-size)
    s = x / (2.0 + x)
    q = s * s
    series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q / 15))))))
    return 2.0 * s * series


@triton.jit
@no_type_check
def _bce(z: tl.tensor, is_class: tl.tensor) -> tl.tensor:
    """H(Z)."""
    return tl.maximum(tl.where(is_class, -z, z), 0.0) + _softplus_of_minus(tl.abs(z))


@triton.jit
@no_type_check
def _log_bce(z: tl.tensor, bce: tl.tensor, is_class: tl.tensor) -> tl.tensor:
    """log H(Z), also where H(Z) underflows."""
    against = tl.where(is_class, -z, z)
    rare = against < -15.0
    return tl.where(rare, against - bce / 2.0, tl.log(tl.where(rare, 1.0, bce)))


@triton.jit
@no_type_check
def _sigmoid(z: tl.tensor) -> tl.tensor:
    power = tl.exp(-tl.abs(z))
    return tl.where(z >= 0.0, 1.0, power) / (1.0 + power)


@triton.jit
@no_type_check
def _softmax(z: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """Over classes, axis 0; 0 at the padding of the block."""
    z = tl.where(inside, z, -float("inf"))
    powers = tl.exp(z - tl.max(z, axis=0)[None, :])
    return powers * (1.0 / tl.sum(powers, axis=0))[None, :]


@triton.jit
@no_type_check
def _target(
    teacher: tl.tensor, student: tl.tensor, bce_teacher: tl.tensor, bce_student: tl.tensor, is_class: tl.tensor,
    inside: tl.tensor, sharpness: float, KMM: tl.constexpr, KEM: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """T = W softmax(Z_hyb / tau); `sharpness` is 1 / tau."""
    hybrid = teacher
    if KMM:
        logs = _log_bce(student, bce_student, is_class) - _log_bce(teacher, bce_teacher, is_class)
        share = _sigmoid(logs)
        hybrid = share * teacher + (1.0 - share) * student
    target = _softmax(hybrid * sharpness, inside)
    if KEM:
        gain = tl.maximum(bce_student - _bce(hybrid, is_class), 0.0)
        target *= _softmax(bce_student + gain, inside)
    return target


@triton.jit
@no_type_check
def _forward(
    teacher_at: tl.tensor, student_at: tl.tensor, labels_at: tl.tensor, sums_at: tl.tensor,
    sharpness: float, ignored: tl.tensor, classes: tl.tensor, pixels: tl.tensor,
    t_b: tl.tensor, t_c: tl.tensor, t_p: tl.tensor, s_b: tl.tensor, s_c: tl.tensor, s_p: tl.tensor,
    KMM: tl.constexpr, KEM: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr,
) -> None:  # fmt: skip
    """Each program's sums over its valid pixels: of label errors, of loss_hakd, and their number."""
    image = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, CLASSES)[:, None]
    p = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    label = tl.load(labels_at + image * pixels + p, mask=p < pixels, other=ignored)
    valid = (label != ignored) & (p < pixels)
    inside = (c < classes) & (p < pixels)[None, :]
    teacher = tl.load(teacher_at + image * t_b + c * t_c + p[None, :] * t_p, mask=inside, other=0.0)
    student = tl.load(student_at + image * s_b + c * s_c + p[None, :] * s_p, mask=inside, other=0.0)

    is_class = c == label[None, :]
    bce_teacher, bce_student = _bce(teacher, is_class), _bce(student, is_class)
    real = c < classes
    target = _target(teacher, student, bce_teacher, bce_student, is_class, real, sharpness, KMM, KEM)
    scaled = tl.where(real, student * sharpness, -float("inf"))
    shifted = scaled - tl.max(scaled, axis=0)[None, :]
    log_p = tl.where(real, shifted - tl.log(tl.sum(tl.exp(shifted), axis=0))[None, :], 0.0)

    errors = tl.sum(tl.where(real, bce_teacher + bce_student, 0.0), axis=0)
    hakd = -tl.sum(target * log_p, axis=0)
    program = sums_at + 3 * (image * tl.num_programs(0) + tl.program_id(0))
    tl.store(program, tl.sum(tl.where(valid, errors, 0.0), axis=0))
    tl.store(program + 1, tl.sum(tl.where(valid, hakd, 0.0), axis=0))
    tl.store(program + 2, tl.sum(tl.where(valid, 1.0, 0.0), axis=0))


@triton.jit
@no_type_check
def _backward(
    teacher_at: tl.tensor, student_at: tl.tensor, labels_at: tl.tensor, scales_at: tl.tensor,
    to_teacher_at: tl.tensor, to_student_at: tl.tensor,
    sharpness: float, ignored: tl.tensor, classes: tl.tensor, pixels: tl.tensor,
    t_b: tl.tensor, t_c: tl.tensor, t_p: tl.tensor, s_b: tl.tensor, s_c: tl.tensor, s_p: tl.tensor,
    u_b: tl.tensor, u_c: tl.tensor, u_p: tl.tensor, v_b: tl.tensor, v_c: tl.tensor, v_p: tl.tensor,
    KMM: tl.constexpr, KEM: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr,
    PROJ: tl.constexpr, HAKD: tl.constexpr,
) -> None:  # fmt: skip
    """Gradients of scales[0] * (label errors) + scales[1] * loss_hakd on Z_T, if PROJ, and on Z_S."""
    image = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, CLASSES)[:, None]
    p = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    label = tl.load(labels_at + image * pixels + p, mask=p < pixels, other=ignored)
    valid = ((label != ignored) & (p < pixels))[None, :]
    inside = (c < classes) & (p < pixels)[None, :]
    teacher = tl.load(teacher_at + image * t_b + c * t_c + p[None, :] * t_p, mask=inside, other=0.0)
    student = tl.load(student_at + image * s_b + c * s_c + p[None, :] * s_p, mask=inside, other=0.0)

    is_class = c == label[None, :]
    to_student = tl.zeros((CLASSES, PIXELS), tl.float32)
    if PROJ:
        scale = tl.load(scales_at)
        to_teacher = scale * (_sigmoid(teacher) - tl.where(is_class, 1.0, 0.0))
        to_student = scale * (_sigmoid(student) - tl.where(is_class, 1.0, 0.0))
        at = to_teacher_at + image * u_b + c * u_c + p[None, :] * u_p
        tl.store(at, tl.where(valid, to_teacher, 0.0), mask=inside)
    if HAKD:
        real = c < classes
        bce_teacher, bce_student = _bce(teacher, is_class), _bce(student, is_class)
        target = _target(teacher, student, bce_teacher, bce_student, is_class, real, sharpness, KMM, KEM)
        power = _softmax(student * sharpness, real)
        to_student += tl.load(scales_at + 1) * (power * tl.sum(target, axis=0)[None, :] - target)
    at = to_student_at + image * v_b + c * v_c + p[None, :] * v_p
    tl.store(at, tl.where(valid, to_student, 0.0), mask=inside)


def triton_terms(
    proj_teacher: Float[Tensor, "b c h w"],
    proj_student: Float[Tensor, "b c h w"],
    labels: Int[Tensor, "b h w"],
    switches: Switches,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """loss_proj and loss_hakd, of maps in fp32 of any strides. Gradients as `lean_terms`; the inputs are kept for them.

    In other precisions the maps are computed in fp32.
    """
    maps = proj_teacher.float().flatten(2), proj_student.float().flatten(2)
    proj, hakd = _Triton.apply(*maps, labels.flatten(1), switches)
    return proj, hakd


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, teacher: Tensor, student: Tensor, labels: Tensor, switches: Switches
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        labels = labels.contiguous()
        grid, blocks = _shape(student)
        sums = student.new_empty((grid[0] * grid[1], 3))
        with torch.cuda.device_of(student):
            _forward[grid](
                teacher, student, labels, sums, *_scalars(student, switches), *teacher.stride(), *student.stride(),
                KMM=switches.kmm, KEM=switches.kem, **blocks,
            )  # fmt: skip
        errors, hakd, count = sums.sum(dim=0, dtype=torch.float64)
        count = denominator(count)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(teacher, student, labels, count)
        ctx.switches = switches
        return (errors / (count * student.shape[1])).float(), (hakd / count).float()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, up_proj: Tensor | None, up_hakd: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        teacher, student, labels, count = ctx.saved_tensors
        switches: Switches = ctx.switches
        grid, blocks = _shape(student)
        zero = count.new_zeros(())
        scales = torch.stack([
            (zero if up_proj is None else up_proj) / (count * student.shape[1]),
            (zero if up_hakd is None else up_hakd) / (count * switches.temperature),
        ]).float()  # fmt: skip
        to_student = torch.empty_like(student)
        to_teacher = torch.empty_like(teacher) if up_proj is not None else to_student
        with torch.cuda.device_of(student):
            _backward[grid](
                teacher, student, labels, scales, to_teacher, to_student, *_scalars(student, switches),
                *teacher.stride(), *student.stride(), *to_teacher.stride(), *to_student.stride(),
                KMM=switches.kmm, KEM=switches.kem, PROJ=up_proj is not None, HAKD=up_hakd is not None, **blocks,
            )  # fmt: skip
        return to_teacher if up_proj is not None else None, to_student, None, None


def _scalars(maps: Float[Tensor, "b c p"], switches: Switches) -> tuple[float, int, int, int]:
    return 1 / switches.temperature, switches.ignore_index, maps.shape[1], maps.shape[2]


def _shape(maps: Float[Tensor, "b c p"]) -> tuple[tuple[int, int], dict[str, int]]:
    """The grid of programs, and what each takes."""
    classes = triton.next_power_of_2(maps.shape[1])
    pixels = max(1, TILE // classes)
    grid = (triton.cdiv(maps.shape[2], pixels), maps.shape[0])
    return grid, {"CLASSES": classes, "PIXELS": pixels, "num_warps": WARPS, "enable_fp_fusion": True}


@functools.cache
def works(device: torch.device) -> bool:
    """Whether the kernels compile on this device and give what the lean form gives; tried once a process.

    Waits for the device. Where it does not, a warning says why.
    """
    try:
        _compare(device)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"hakd_kernel auto: lean, since the Triton kernel failed here: {reason}.", stacklevel=2)
        return False
    return True


@torch.enable_grad()
def _compare(device: torch.device) -> None:
    rng = torch.Generator().manual_seed(0)
    maps = [(4 * torch.randn(2, 19, 8, 16, generator=rng)).to(device) for _ in range(2)]
    labels = torch.randint(0, 20, (2, 8, 16), generator=rng).to(device)
    found = []
    for terms in (lean_terms, triton_terms):
        teacher, student = (each.clone().requires_grad_() for each in maps)
        proj, hakd = terms(teacher, student, labels, Switches(19, 2.0, True, True))
        found.append([proj, hakd, *torch.autograd.grad(proj + 2 * hakd, (teacher, student))])
    torch.testing.assert_close(found[1], found[0], rtol=RTOL, atol=ATOL)
