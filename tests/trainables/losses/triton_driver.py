"""Run in a process of its own, since Triton reads TRITON_INTERPRET when it is imported. Prints JSON.

`interpret`: the kernels on the CPU; how far each case is from the plain form, values and gradients, in shares of the
largest number. `compile`: what a launch of each kernel compiles to for a GPU that need not be there.
"""

from __future__ import annotations

import json
import re
import sys

import torch
from jaxtyping import install_import_hook

for name in [*sys.modules]:
    if name.startswith(("trainables.losses", "triton")) and not name.startswith("triton._C"):
        del sys.modules[name]
install_import_hook(["trainables.losses"], "beartype.beartype")  # as in the tests' own process


from trainables.losses import triton_hakd  # noqa: E402
from trainables.losses.heteroakd import plain_terms  # noqa: E402
from trainables.losses.switches import Switches  # noqa: E402

CASES = {  # classes, size of Z, temperature, kmm, kem
    "2 classes": (2, 3, 1.0, True, True),
    "no KEM": (7, 3, 4.0, True, False),
    "no KMM": (19, 3, 1.0, False, True),
    "underflow": (19, 200, 4.0, True, True),
    "huge": (19, 1e4, 4.0, True, True),
    "150 classes": (150, 3, 4.0, True, True),
    "huge, neither": (150, 1e4, 1.0, False, False),
}


def maps(classes, scale):
    """Of more pixels than a program takes."""
    rng = torch.Generator().manual_seed(classes)
    z = [(scale * torch.randn(2, classes, 9, 8, generator=rng)).requires_grad_() for _ in range(2)]
    labels = torch.randint(0, classes, (2, 9, 8), generator=rng)
    labels[torch.rand(labels.shape, generator=rng) < 0.2] = 255
    return *z, labels


def found(terms, teacher, student, labels, switches):
    proj, hakd = terms(teacher, student, labels, switches)
    of_proj = torch.autograd.grad(proj, (teacher, student), retain_graph=True)
    to_teacher, to_student = torch.autograd.grad(hakd, (teacher, student), retain_graph=True, allow_unused=True)
    assert to_teacher is None or (to_teacher == 0).all()
    both = torch.autograd.grad(proj + 2 * hakd, (teacher, student))
    return [proj.detach(), hakd.detach(), *of_proj, to_student, *both]


def distance(inputs, switches, *, mine=None):
    pairs = zip(
        found(triton_hakd.triton_terms, *(mine or inputs), switches),
        found(plain_terms, *inputs, switches),
        strict=True,
    )
    return max(((one - plain).abs().max() / plain.abs().max()).item() for one, plain in pairs)


def interpret():
    distances = {}
    for name, (classes, scale, *rest) in CASES.items():
        distances[name] = distance(maps(classes, scale), Switches(255, *rest))
    switches, inputs = Switches(255, 2.0, True, True), maps(7, 3)
    last = [each.detach().to(memory_format=torch.channels_last).requires_grad_() for each in inputs[:2]]
    distances["channels_last"] = distance(inputs, switches, mine=(last[0], last[1], inputs[2]))
    wide = torch.zeros(2, 7, 9, 16)
    wide[..., ::2] = inputs[0].detach()
    strided = wide[..., ::2].requires_grad_()
    distances["strided"] = distance(inputs, switches, mine=(strided, inputs[1], inputs[2]))
    terms = triton_hakd.triton_terms(*inputs[:2], torch.full_like(inputs[2], 255), switches)
    gradients = torch.autograd.grad(terms[0] + terms[1], inputs[:2])
    unlabelled = [abs(each).max().item() for each in (*terms, *gradients)]
    return {"distances": distances, "unlabelled": unlabelled, "works": triton_hakd.works(torch.device("cpu"))}


class NoDriver:
    """Stands for a driver: enough to come from a launch to what would be launched."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def compiled():
    """Of each kernel: bytes of machine code, loads and stores of four numbers at once, and along which axis of
    (classes, pixels) the lanes of a warp go first."""
    from triton.runtime import driver

    driver.set_active(NoDriver())
    apart, last = (
        torch.zeros(2, 19, 16, 32).contiguous(memory_format=layout).flatten(2)
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    grid, blocks = triton_hakd._shape(apart)
    labels, sums = torch.zeros(2, 512, dtype=torch.int64), torch.zeros(grid[0] * grid[1], 3)
    scalars = triton_hakd._scalars(apart, Switches(255, 2.0, True, True))
    fixed = {"KMM": True, "KEM": True, "grid": grid, "warmup": True, **blocks}

    def forward(maps):
        return triton_hakd._forward.run(maps, maps, labels, sums, *scalars, *2 * maps.stride(), **fixed)

    def backward(maps):
        tensors = maps, maps, labels, sums, maps, maps
        return triton_hakd._backward.run(*tensors, *scalars, *4 * maps.stride(), PROJ=True, HAKD=True, **fixed)

    kernels = {"forward": forward(apart), "backward": backward(apart), "forward, channels_last": forward(last)}
    return {name: described(kernel.asm) for name, kernel in kernels.items()}


def described(asm):
    wide = re.findall(r"(?:ld|st)\.global\.v4", asm["ptx"])
    lanes = re.search(r"#blocked = .*order = \[(\d), \d\]", asm["ttgir"])
    return {"bytes": len(asm["cubin"]), "wide": len(wide), "lanes": int(lanes[1])}


if __name__ == "__main__":
    print(json.dumps(interpret() if sys.argv[1] == "interpret" else compiled()))
