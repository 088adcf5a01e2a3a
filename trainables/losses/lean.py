"""loss_proj and loss_hakd together, in one pass over Z_T and Z_S a block of pixels at a time: `hakd_kernel` lean.

The formulas are those of `heteroakd.py`, which is the oracle, with the gradients worked out:

    d loss_proj / d Z      = (s(Z) - Y) / (N C)                              Z_T and Z_S
    d loss_hakd / d Z_S    = (p_c sum_k t_k - t_c) / (tau N),   t = W softmax(Z_hyb / tau),  p = softmax(Z_S / tau)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trainables.losses.switches import RARE, Switches
from trainables.ranks import denominator

Z = Float[Tensor, "b c h w"]
Labels = Int[Tensor, "b h w"]
Term = Float[Tensor, ""]

BLOCK = {"cpu": 2**16, "cuda": 2**25}
"""Most numbers of a map in a block, 256 KiB and 128 MiB: on a CPU what the cache holds, on a GPU few launches."""


def lean_terms(proj_teacher: Z, proj_student: Z, labels: Labels, switches: Switches) -> tuple[Term, Term]:
    """loss_proj and loss_hakd. Gradients: of both to Z_S, of loss_proj alone to Z_T; none of gradients.

    Kept for the backward pass, beside the two maps and the labels: one map, the gradient of loss_hakd. All else lives
    as long as a block.
    """
    with torch.autocast(proj_student.device.type, enabled=False):
        proj, hakd = _Lean.apply(proj_teacher, proj_student, labels, switches)
    return proj, hakd


class _Lean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, proj_teacher: Z, proj_student: Z, labels: Labels, switches: Switches
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        valid = labels != switches.ignore_index
        count = denominator(valid.sum()).to(proj_student.dtype)
        proj, hakd = proj_student.new_zeros(()), proj_student.new_zeros(())
        gradient = torch.empty_like(proj_student) if ctx.needs_input_grad[1] else None
        for block in _blocks(proj_student):
            sums, grad = _block(proj_teacher[block], proj_student[block], _pixels(labels, block), switches)
            outside = ~_pixels(valid, block)
            proj += sums[0].masked_fill_(outside, 0.0).sum()
            hakd += sums[1].masked_fill_(outside, 0.0).sum()
            if gradient is not None:
                gradient[block] = grad.mul_((~outside / (count * switches.temperature))[:, None])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(proj_teacher, proj_student, labels, count, gradient)
        ctx.switches = switches
        return proj / (count * proj_student.shape[1]), hakd / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, up_proj: Term | None, up_hakd: Term | None) -> tuple[Z | None, Z | None, None, None]:
        proj_teacher, proj_student, labels, count, gradient = ctx.saved_tensors
        to_teacher = to_student = None
        if up_proj is not None:
            valid = labels != ctx.switches.ignore_index
            scale = valid * (up_proj / (count * proj_student.shape[1]))
            own = labels.masked_fill(~valid, 0)
            to_teacher = _error(proj_teacher, own, scale) if ctx.needs_input_grad[0] else None
            to_student = _error(proj_student, own, scale) if ctx.needs_input_grad[1] else None
        if up_hakd is not None and gradient is not None:
            to_student = gradient * up_hakd if to_student is None else to_student.addcmul_(gradient, up_hakd)
        return to_teacher, to_student, None, None


Block = tuple[slice, slice, slice]


def _blocks(maps: Z) -> Iterator[Block]:
    """Rows of an image, some at a time; all images at once where they are small enough."""
    batch, classes, height, width = maps.shape
    most = BLOCK.get(maps.device.type, BLOCK["cpu"])
    rows = min(height, max(1, most // (classes * width)))
    images = max(1, most // (classes * width * height))
    for image in range(0, batch, images):
        for row in range(0, height, rows):
            yield slice(image, image + images), slice(None), slice(row, row + rows)


def _pixels(maps: Bool[Tensor, "b h w"] | Labels, block: Block) -> Tensor:
    """The block of a map without classes."""
    return maps[block[0], block[2]]


def _block(
    teacher: Z, student: Z, labels: Labels, switches: Switches
) -> tuple[tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w"]], Z]:
    """Each pixel's share of the two losses, and p_c sum_k t_k - t_c."""
    classes = torch.arange(student.shape[1], device=student.device).view(1, -1, 1, 1)
    sign = torch.where(labels[:, None] == classes, 1.0, -1.0).to(student.dtype)
    bce_teacher, bce_student = _bce(teacher, sign), _bce(student, sign)
    target = _target(teacher, student, sign, bce_teacher, bce_student, switches)
    log_p = F.log_softmax(student / switches.temperature, dim=1)
    errors = bce_teacher.add_(bce_student).sum(dim=1), -(target * log_p).sum(dim=1)
    return errors, log_p.exp_().mul_(target.sum(dim=1, keepdim=True)).sub_(target)


def _bce(proj: Z, sign: Z) -> Z:
    """H(Z), `sign` being 1 at the label's class and -1 elsewhere."""
    return F.logsigmoid(proj * sign).neg_()


def _log_bce(proj: Z, sign: Z, bce: Z) -> Z:
    """log H(Z), also where H(Z) underflows."""
    against = -proj * sign
    return torch.where(against < -RARE, against - bce / 2, bce.log())


def _target(teacher: Z, student: Z, sign: Z, bce_teacher: Z, bce_student: Z, switches: Switches) -> Z:
    """T = W softmax(Z_hyb / tau): KMM, then KEM."""
    hybrid = teacher
    if switches.kmm:
        share = _log_bce(student, sign, bce_student).sub_(_log_bce(teacher, sign, bce_teacher)).sigmoid_()
        hybrid = torch.lerp(student, teacher, share)
    target = F.softmax(hybrid / switches.temperature, dim=1)
    if switches.kem:
        urgency = (bce_student - _bce(hybrid, sign)).clamp_(min=0).add_(bce_student)
        target.mul_(F.softmax(urgency, dim=1))
    return target


def _error(proj: Z, own: Labels, scale: Float[Tensor, "b h w"]) -> Z:
    """(s(Z) - Y) times each pixel's scale."""
    error = proj.sigmoid()
    place = own[:, None].long()
    error.scatter_add_(1, place, error.new_full((), -1.0).expand_as(place))
    return error.mul_(scale[:, None])
