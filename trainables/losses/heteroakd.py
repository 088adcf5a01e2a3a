"""HeteroAKD as recovered from public sources: distillation in the logits space of projected features.

No official code exists; each `Deviation:` names what the public sources do not fix and how it is read here.

Source: Huang, Hu, Zhang, Chen, Gao: "Distilling knowledge from heterogeneous architectures for semantic segmentation",
AAAI 2025, arXiv 2504.07691. Equation numbers are theirs.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from trainables.config import TrialConfig
from trainables.losses.grids import labels_on_grid, mean_over_valid, to_grid
from trainables.losses.kd import Kd
from trainables.losses.kernel import check_kernel, pick_kernel
from trainables.losses.lean import lean_terms
from trainables.losses.switches import RARE, Switches
from trainables.models.projector import projector
from trainables.models.segmodel import Features, SegModel
from trainables.models.taps import check_tap

Z = Float[Tensor, "b c h w"]


def label_bce(proj: Z, labels: Int[Tensor, "b h w"]) -> Z:
    """H(Z): the one-vs-rest error of every pixel and class; low means reliable (Eq. 5).

    H(Z)_{c,i} = -[Y log s(Z) + (1 - Y) log(1 - s(Z))], Y the one-hot label. At ignored pixels, whose id is no class, Y
    is 0; callers mask them. Computed as -log s(Z) or -log s(-Z): finite at |Z| = 1e4, and exact where the error is
    small (PyTorch's own form cancels: 0 instead of 3e-7 at Z = -15).
    """
    return -F.logsigmoid(_towards_label(proj, labels))


def log_bce(proj: Z, labels: Int[Tensor, "b h w"]) -> Z:
    """log H(Z), also where H(Z) is less than the smallest number: about -|Z| at a right Z of any size.

    With u = Z at the label's class and -Z elsewhere, H = log(1 + e^-u); above RARE its logarithm is -u - e^-u / 2, to
    within e^-2u / 4.
    """
    towards = _towards_label(proj, labels)
    common = (-F.logsigmoid(towards.clamp(max=RARE))).log()
    rare = towards.clamp(min=RARE)
    return torch.where(towards > RARE, -rare - (-rare).exp() / 2, common)


def _towards_label(proj: Z, labels: Int[Tensor, "b h w"]) -> Z:
    classes = torch.arange(proj.shape[1], device=proj.device).view(1, -1, 1, 1)
    return torch.where(labels[:, None] == classes, proj, -proj)


def knowledge_mixing(proj_teacher: Z, proj_student: Z, labels: Int[Tensor, "b h w"]) -> Z:
    """Z_hyb: per pixel and class, the more of the teacher the less it errs (KMM, Eq. 7).

    Z_hyb = S_T Z_T + (1 - S_T) Z_S
    """
    share = teacher_share(proj_teacher, proj_student, labels)
    return share * proj_teacher + (1 - share) * proj_student


def teacher_share(proj_teacher: Z, proj_student: Z, labels: Int[Tensor, "b h w"]) -> Z:
    """S_T, in [0, 1]; 1/2 where both err alike (KMM, Eq. 6).

    S_T = 1 - H(Z_T) / (H(Z_T) + H(Z_S)) = s(log H(Z_S) - log H(Z_T))

    By logarithms, since a ratio of errors has no value where both underflow: in fp32 from a right Z of 104 on, and it
    loses digits from 88 on.
    """
    return torch.sigmoid(log_bce(proj_student, labels) - log_bce(proj_teacher, labels))


def knowledge_evaluation(
    bce_student: Z, bce_hybrid: Z, valid: Bool[Tensor, "b h w"], *, axis: str
) -> Float[Tensor, "b c h w"]:
    """W: where the student errs and the hybrid would help most (KEM, Eq. 8-9).

    dH = max(0, H(Z_S) - H(Z_hyb));  W = softmax(H(Z_S) + dH)

    Args:
        axis: "class": the softmax runs over classes at each pixel, W sums to 1 there. "space": over each image's valid
            pixels for each class, scaled by pixels / classes so that the weights' total is that of "class".

    Deviation: the two public sources differ in the axis; "class" is the default.
    """
    urgency = bce_student + (bce_student - bce_hybrid).clamp(min=0)
    if axis == "class":
        return urgency.softmax(dim=1)
    batch, classes, height, width = urgency.shape
    inside = valid[:, None].expand_as(urgency)
    spread = urgency.masked_fill(~inside, torch.finfo(urgency.dtype).min).flatten(2).softmax(dim=2)
    pixels = valid.sum(dim=(1, 2)).view(batch, 1, 1, 1)
    return spread.view(batch, classes, height, width) * pixels / classes


def hakd_loss(
    proj_student: Z, hybrid: Z, weight: Z, valid: Bool[Tensor, "b h w"], *, temperature: float
) -> Float[Tensor, ""]:
    """Weighted cross-entropy from the hybrid to the student's projected logits (Eq. 10).

    L_hakd = -(1/N) sum_i sum_c W_{c,i} softmax_c(Z_hyb,i / tau) log softmax_c(Z_S,i / tau)

    Sum over classes, mean over valid pixels; no tau^2, since the source has none. Gradient to `proj_student` alone.

    Deviation: the sources do not state the reduction.
    """
    target = (weight * F.softmax(hybrid / temperature, dim=1)).detach()
    log_student = F.log_softmax(proj_student / temperature, dim=1)
    return mean_over_valid(-(target * log_student).sum(dim=1), valid)


class HeteroAkd(Kd):
    """loss_task + lambda_kd loss_kd + lambda_hakd loss_hakd (Eq. 11) + lambda_proj loss_proj.

    Deviation: the hybrid target is a constant, so G_T would never train; both projectors therefore get the label BCE
    as `loss_proj` (mean over valid pixels and classes, summed over the two), the teacher's feature detached. The
    student's is not, so `loss_proj` also supervises the student by labels at the tap; lambda_kd = lambda_hakd = 0 is
    the control that shows how much of a gain that alone is.

    Deviation: under `distil_on: all`, KMM, KEM and both projectors take the teacher's class for the label where there
    is none and the teacher is certain; loss_kd needs none.
    """

    needs_label = "class"

    def __init__(self, *args: Any, student: SegModel, teacher: SegModel, **kwargs: Any) -> None:
        super().__init__(*args, student=student, teacher=teacher, **kwargs)
        config = self.config
        check_kernel(config, config.device)
        check_tap(config, student=student, teacher=teacher)
        self.weights |= {"loss_hakd": config.lambda_hakd, "loss_proj": config.lambda_proj}
        shape = {"depth": config.projector_depth, "width": config.projector_width, "kernel": config.projector_kernel}
        tap = config.projector_tap
        self.student_projector = projector(student.taps[tap].channels, self.num_classes, **shape)
        self.teacher_projector = projector(teacher.taps[tap].channels, self.num_classes, **shape)

    def forward(
        self,
        student: Features,
        teacher: Features | None,
        labels: Int[Tensor, "batch H W"],
        real: Bool[Tensor, "batch H W"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        assert teacher is not None
        terms = super().forward(student, teacher, labels, real)
        tap = self.config.projector_tap
        proj_student = self.student_projector(student.taps[tap]).float()
        grid = (proj_student.shape[-2], proj_student.shape[-1])
        proj_teacher = to_grid(self.teacher_projector(teacher.taps[tap].detach()), grid)
        projected = proj_teacher, proj_student, labels_on_grid(self.taught(labels, teacher, real), grid)
        terms["loss_proj"], terms["loss_hakd"] = self._projected(*projected)
        return terms

    @classmethod
    def reads_logits(cls, config: TrialConfig) -> bool:
        return config.lambda_kd > 0

    def _projected(
        self, proj_teacher: Z, proj_student: Z, labels: Int[Tensor, "b h w"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """loss_proj and loss_hakd, by the kernel that the config asks for."""
        config = self.config
        switches = Switches(self.ignore_index, config.temperature, config.kmm, config.kem)
        kernel = pick_kernel(config, num_classes=self.num_classes, device=proj_student.device)
        if kernel == "plain":
            return plain_terms(proj_teacher, proj_student, labels, switches, kem_axis=config.kem_axis)
        if kernel == "lean":
            return lean_terms(proj_teacher, proj_student, labels, switches)
        from trainables.losses.triton_hakd import triton_terms

        return triton_terms(proj_teacher, proj_student, labels, switches)


def plain_terms(
    proj_teacher: Z, proj_student: Z, labels: Int[Tensor, "b h w"], switches: Switches, *, kem_axis: str = "class"
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """loss_proj and loss_hakd term by term: the oracle of the kernels."""
    valid = labels != switches.ignore_index
    bce_teacher, bce_student = label_bce(proj_teacher, labels), label_bce(proj_student, labels)
    loss_proj = mean_over_valid((bce_teacher + bce_student).mean(dim=1), valid)
    with torch.no_grad():
        hybrid, weight = proj_teacher, torch.ones_like(bce_student)  # without KEM: plain cross-entropy
        if switches.kmm:
            hybrid = knowledge_mixing(proj_teacher, proj_student, labels)
        if switches.kem:
            weight = knowledge_evaluation(bce_student, label_bce(hybrid, labels), valid, axis=kem_axis)
    return loss_proj, hakd_loss(proj_student, hybrid, weight, valid, temperature=switches.temperature)
