"""HeteroAKD in a plain loop, in the style of the field's public code: what ours is compared with.

Written as such code is (CIRKD's and Af-DCD's training scripts): fp32 throughout (PyTorch's own defaults, so TF32 in
convolutions on cards that have it), the whole image decoded and resized by PIL at each reading, crops normalised on the
CPU and copied as float32, the teacher run in full at each step, losses term by term at the student's grids, every
loss read by `.item()` at every step, a new DataLoader for each epoch. No autocast, no channels_last, no torch.compile,
no folding, no cache. Networks, loss weights, optimiser, crops and batch are those of our loop.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from trainables.config import TrialConfig
from trainables.data.dataset import SegDataset
from trainables.models.build import build

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


class Crops(Dataset):
    """Random views of the training images: normalised float32, and int64 classes."""

    def __init__(self, dataset: SegDataset, config: TrialConfig) -> None:
        self.dataset, self.config, self.samples = dataset, config, dataset.samples("train")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        config, sample = self.config, self.samples[index]
        image, label = Image.open(sample.image).convert("RGB"), Image.open(sample.label)
        scale = np.random.uniform(config.scale_min, config.scale_max)
        size = (round(scale * image.width), round(scale * image.height))
        image = np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
        label = np.asarray(label.resize(size, Image.Resampling.NEAREST), dtype=np.int64)
        image = (image / 255 - MEAN) / STD
        rows, columns = max(0, config.crop_height - size[1]), max(0, config.crop_width - size[0])
        image = np.pad(image, ((0, rows), (0, columns), (0, 0)))
        label = np.pad(label, ((0, rows), (0, columns)), constant_values=self.dataset.ignore_index)
        top = np.random.randint(image.shape[0] - config.crop_height + 1)
        left = np.random.randint(image.shape[1] - config.crop_width + 1)
        image = image[top : top + config.crop_height, left : left + config.crop_width]
        label = label[top : top + config.crop_height, left : left + config.crop_width]
        if np.random.rand() < config.flip_horizontal:
            image, label = image[:, ::-1], label[:, ::-1]
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(label.copy())


def batches(dataset: SegDataset, config: TrialConfig) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from DataLoader(
            Crops(dataset, config),
            batch_size=config.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=config.num_workers,
            pin_memory=torch.cuda.is_available(),
        )


def steps(config: TrialConfig, dataset: SegDataset, device: torch.device) -> Iterator[dict[str, float]]:
    """Each `next` is one optimiser step; gives its losses."""
    torch.set_num_threads(config.num_threads)
    student = build(config.student, num_classes=dataset.num_classes).to(device).train()
    teacher = build(config.teacher, num_classes=dataset.num_classes).to(device).eval()
    tap = config.projector_tap
    project_student = nn.Conv2d(student.taps[tap].channels, dataset.num_classes, 1).to(device)
    project_teacher = nn.Conv2d(teacher.taps[tap].channels, dataset.num_classes, 1).to(device)
    trained = [*student.parameters(), *project_student.parameters(), *project_teacher.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay)
    for step, (images, labels) in enumerate(batches(dataset, config)):
        images, labels = images.to(device), labels.to(device)
        for group in optimizer.param_groups:
            group["lr"] = config.lr * (1 - step / config.steps) ** config.poly_power
        with torch.no_grad():
            taught = teacher(images)
        learnt = student(images)
        z_teacher, z_student = project_teacher(taught.taps[tap]), project_student(learnt.taps[tap])
        terms = {
            "task": task(learnt.logits, labels, dataset.ignore_index),
            "kd": config.lambda_kd * kd(learnt.logits, taught.logits, config.temperature),
            **hakd(z_student, z_teacher, labels, dataset.ignore_index, config),
        }
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield {name: term.item() for name, term in terms.items()}


def resized(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def task(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    return F.cross_entropy(resized(logits, labels), labels, ignore_index=ignore_index)


def kd(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    log_student = F.log_softmax(student / tau, dim=1)
    target = F.softmax(resized(teacher, student) / tau, dim=1)
    return tau**2 * F.kl_div(log_student, target, reduction="none").sum(dim=1).mean()


def hakd(
    z_student: Tensor, z_teacher: Tensor, labels: Tensor, ignore_index: int, config: TrialConfig
) -> dict[str, Tensor]:
    """loss_hakd and loss_proj as the equations read, one map for each symbol."""
    z_teacher = resized(z_teacher, z_student)
    y = F.interpolate(labels[:, None].float(), size=z_student.shape[-2:], mode="nearest")[:, 0].long()
    valid = (y != ignore_index).float()
    classes = z_student.shape[1]
    one_hot = F.one_hot(y.clamp(max=classes - 1), classes).permute(0, 3, 1, 2).float()
    h_teacher = F.binary_cross_entropy_with_logits(z_teacher, one_hot, reduction="none")
    h_student = F.binary_cross_entropy_with_logits(z_student, one_hot, reduction="none")
    share = 1 - h_teacher / (h_teacher + h_student + 1e-8)
    z_hybrid = (share * z_teacher + (1 - share) * z_student).detach()
    h_hybrid = F.binary_cross_entropy_with_logits(z_hybrid, one_hot, reduction="none")
    weight = F.softmax(h_student + F.relu(h_student - h_hybrid), dim=1).detach()
    target = F.softmax(z_hybrid / config.temperature, dim=1)
    loss = -(weight * target * F.log_softmax(z_student / config.temperature, dim=1)).sum(dim=1)
    errors = (h_teacher + h_student).mean(dim=1)
    mean = {"hakd": loss, "proj": errors}
    weights = {"hakd": config.lambda_hakd, "proj": config.lambda_proj}
    return {name: weights[name] * (term * valid).sum() / valid.sum().clamp(min=1) for name, term in mean.items()}
