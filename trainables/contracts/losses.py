"""What every method promises the loop."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from trainables.contracts import tiny
from trainables.contracts.case import Case, Loss, leaves, warmed
from trainables.contracts.claim import Claim, ensure

HUGE = 1e4
_VANISHED = 1e-6
_ROUNDING = 0.05  # what bf16 maps may change a term by, as a share
_PEER, _STUDENT = "peer_", "loss_"


def terms_are_named_scalars(loss: Loss) -> None:
    case = loss.case()
    terms = case.terms()
    ensure("loss_task" in terms, f"forward must give loss_task beside its own terms, got {', '.join(terms)}.")
    missing = case.criterion.weights.keys() - terms
    ensure(not missing, f"weights names {', '.join(sorted(missing))}, which forward does not give.")
    for name, term in terms.items():
        ensure(term.shape == (), f"{name} must be a scalar, got shape {tuple(term.shape)}.")
        ensure(term.dtype == torch.float32, f"{name} must be float32, got {term.dtype}.")
        if name in case.criterion.weights:
            prefixes = (_STUDENT, _PEER) if loss.kind.needs_peer else (_STUDENT,)
            ensure(name.startswith(prefixes), f"A weighted term is named {' or '.join(prefixes)}*, got {name}.")


def terms_are_finite_and_not_negative(loss: Loss) -> None:
    for name, value in loss.case().values().items():
        ensure(0 <= value < math.inf, f"{name} is {value}.")


def every_term_moves_its_network(loss: Loss) -> None:
    case = loss.case()
    for name, term in case.trained(case.terms()).items():
        moved = case.guide if name.startswith(_PEER) else case.student
        assert moved is not None
        ensure(_moves(term, leaves(moved)), f"{name} has no gradient on the maps of the network it is to train.")


def no_gradient_reaches_the_teacher(loss: Loss) -> None:
    """Of two students, neither is moved by the other's terms."""
    case = loss.case()
    for name, term in case.trained(case.terms()).items():
        other = case.student if name.startswith(_PEER) else case.guide
        if other is not None:
            ensure(not _moves(term, leaves(other)), f"{name} sends a gradient to the teacher. Detach its maps.")


def every_weight_is_trained(loss: Loss) -> None:
    case = loss.case()
    criterion, terms = case.call()
    case.total(terms).backward()
    for name, parameter in criterion.named_parameters():
        if not parameter.requires_grad:
            continue
        gradient = parameter.grad
        ensure(gradient is not None, f"The criterion's parameter {name} gets no gradient. Use it, or make it a buffer.")
        ensure(_finite(gradient), f"The gradient of the criterion's parameter {name} is not finite.")


def ignored_pixels_are_inert(loss: Loss) -> None:
    """The maps at ignored pixels are replaced by loud noise, before the criterion remembers anything of them."""
    plain = loss.case()
    ignored = (plain.labels == tiny.IGNORE)[:, None]
    noise = torch.Generator().manual_seed(9)

    def disturb(maps: Tensor) -> Tensor:
        return torch.where(ignored, 50 * torch.randn(maps.shape, generator=noise), maps)

    other = warmed(replace(plain.changed(disturb), criterion=loss.build(*loss.networks())))
    _same_values(plain, other, "what stands at ignored pixels")
    for one, two in zip(plain.gradients(), other.gradients(), strict=True):
        ensure(torch.equal(one, two), "The gradient changes with what stands at ignored pixels.")
        ensure(not (one * ignored).any(), "Ignored pixels get a gradient.")


def batch_order_is_inert(loss: Loss) -> None:
    case = loss.case()
    other = case.changed(lambda maps: maps.flip(0), labels=case.labels.flip(0))
    values = case.values()
    for name, second in other.values().items():
        first = values[name]
        ensure(math.isclose(first, second, rel_tol=1e-5, abs_tol=1e-6), f"{name} is {first}, or {second} in reverse.")
    for one, two in zip(case.gradients(), other.gradients(), strict=True):
        ensure(torch.allclose(one, two.flip(0), rtol=1e-5, atol=1e-5), "The gradient changes with the batch's order.")


def no_labels_cost_nothing(loss: Loss) -> None:
    case = loss.case(labels=torch.full((2, *loss.grid), tiny.IGNORE))
    for name, value in case.trained(case.values()).items():
        ensure(value == 0, f"{name} is {value} on a batch without labels; it must be 0.")
    ensure(not any(g.any() for g in case.gradients()), "A batch without labels has a gradient.")


def huge_maps_stay_finite(loss: Loss) -> None:
    _stays_finite(loss.case(change=lambda maps: maps * HUGE), f"maps times {HUGE:g}")


def constant_maps_stay_finite(loss: Loss) -> None:
    _stays_finite(loss.case(change=torch.zeros_like), "maps of zeros")
    _stays_finite(loss.case(change=torch.ones_like), "maps of ones")


def a_lone_class_stays_finite(loss: Loss) -> None:
    _stays_finite(loss.case(labels=torch.zeros(2, *loss.grid, dtype=torch.long)), "labels of one class")


def autocast_gives_fp32(loss: Loss) -> None:
    for scale in (1.0, HUGE):
        case = loss.case(change=lambda maps, scale=scale: maps * scale)  # type: ignore[misc]
        half = case.changed(lambda maps: maps.bfloat16())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            terms = half.terms()
        for name, term in terms.items():
            ensure(term.dtype == torch.float32, f"Under bf16 autocast {name} is {term.dtype}; it must be float32.")
            ensure(_finite(term), f"Under bf16 autocast {name} is {term.item()} on maps times {scale:g}.")
        if scale == 1.0:
            for name, value in case.trained(case.values()).items():
                near = math.isclose(terms[name].item(), value, rel_tol=_ROUNDING)
                ensure(near, f"{name} is {value}, but {terms[name].item()} under bf16 autocast.")


def a_second_call_gives_the_same(loss: Loss) -> None:
    case = loss.case()
    _same_values(case, case, "nothing but a second call of the same state")


def maps_are_left_alone(loss: Loss) -> None:
    case = loss.case()
    before = [leaf.detach().clone() for leaf in (*case.leaves(), case.labels)]
    case.terms()
    same = all(torch.equal(one, two) for one, two in zip((*case.leaves(), case.labels), before, strict=True))
    ensure(same, "forward writes into the maps or labels that it is given.")


def building_changes_nothing(loss: Loss) -> None:
    config = loss.config.model_dump()
    student, guide = loss.networks()
    networks = [student] if guide is None else [student, guide]
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    loss.build(student, guide)
    ensure(loss.config.model_dump() == config, "Building the criterion changes the config.")
    for network, values in zip(networks, before, strict=True):
        same = all(torch.equal(value, values[name]) for name, value in network.state_dict().items())
        ensure(same, "Building the criterion changes the weights of a network.")


def weights_are_each_criterions_own(loss: Loss) -> None:
    first, second = (loss.build(*loss.networks()) for _ in range(2))
    ensure(first.weights == second.weights, "Two criteria of one config have different weights.")
    shared = "weights is shared between criteria, so a second trial of one process inherits it. Set it in __init__."
    ensure(first.weights is not second.weights, shared)


def real_networks_are_taken(loss: Loss) -> None:
    """Student logits at stride 4, teacher logits at stride 8, taps of all strides, labels at stride 1."""
    student, guide = loss.networks()
    criterion = loss.build(student, guide)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    terms = criterion(student(images), guide(images) if guide else None, tiny.random_labels(2, 64, 96))
    for name, term in terms.items():
        ensure(_finite(term), f"{name} is {term.item()} where the grids differ.")
    torch.stack([terms[name] for name in criterion.weights]).sum().backward()
    learning = [student, guide] if guide is not None and loss.kind.needs_peer else [student]
    for network in learning:
        gradient = next(network.parameters()).grad
        ensure(gradient is not None and bool(gradient.any()), "No gradient arrives at a network's first layer.")


def identical_networks_cost_nothing(loss: Loss) -> None:
    """For the terms of `zero_when_identical`."""
    values = loss.case(alike=True).values()
    for name in loss.kind.zero_when_identical & values.keys():
        ensure(abs(values[name]) <= _VANISHED, f"{name} is {values[name]} where teacher and student are the same.")


def state_goes_through_a_checkpoint(loss: Loss) -> None:
    """What a criterion remembers is in its state_dict, so that a resumed trial equals the uninterrupted one."""
    case = loss.case()
    other = loss.build(*loss.networks(), seed=1)
    other.load_state_dict({name: value.clone() for name, value in case.criterion.state_dict().items()})
    restored = replace(case, criterion=other)
    _same_values(case, restored, "a checkpoint in between: keep what is remembered in buffers,")
    _same_values(warmed(case), warmed(restored), "a checkpoint one step before: keep what is remembered in buffers,")


def memory_is_linear_in_pixels(loss: Loss) -> None:
    """What is saved for the backward pass, at 4 times the pixels: at most twice 4 times as much."""
    if not loss.kind.is_linear:
        return
    small, large = (loss.case(times=times).saved_bytes() for times in (1, 2))
    ratio = large / small
    ensure(ratio <= 8, f"4 times the pixels save {ratio:.1f} times the bytes for the backward pass; linear is 4.")


CLAIMS = (
    Claim("its terms are named scalars in float32, loss_task among them", terms_are_named_scalars),
    Claim("its terms are finite and not negative", terms_are_finite_and_not_negative),
    Claim("every weighted term moves the network it trains", every_term_moves_its_network),
    Claim("no gradient reaches the teacher", no_gradient_reaches_the_teacher),
    Claim("every weight of its own is trained", every_weight_is_trained),
    Claim("ignored pixels change neither value nor gradient", ignored_pixels_are_inert),
    Claim("the order of a batch changes nothing", batch_order_is_inert),
    Claim("a batch without labels costs zero and moves nothing", no_labels_cost_nothing),
    Claim("huge maps stay finite", huge_maps_stay_finite),
    Claim("constant maps stay finite", constant_maps_stay_finite),
    Claim("labels of one class stay finite", a_lone_class_stays_finite),
    Claim("under bf16 autocast its terms are finite and in float32", autocast_gives_fp32),
    Claim("a second call gives the same terms", a_second_call_gives_the_same),
    Claim("maps and labels are left alone", maps_are_left_alone),
    Claim("building it leaves config and networks alone", building_changes_nothing),
    Claim("its weights are its own", weights_are_each_criterions_own),
    Claim("networks of different grids and channels are taken", real_networks_are_taken),
    Claim("identical teacher and student cost nothing where it says so", identical_networks_cost_nothing),
    Claim("a checkpoint holds all that it remembers", state_goes_through_a_checkpoint),
    Claim("its memory is linear in pixels", memory_is_linear_in_pixels),
)


def _same_values(one: Case, two: Case, after: str) -> None:
    others = two.values()
    for name, value in one.values().items():
        ensure(others[name] == value, f"{name} is {value}, and {others[name]} after {after}.")


def _stays_finite(case: Case, of: str) -> None:
    for name, term in case.terms().items():
        ensure(_finite(term), f"{name} is {term.item()} on {of}.")
    ensure(all(_finite(gradient) for gradient in case.gradients()), f"A gradient is not finite on {of}.")


def _moves(term: Tensor, on: list[Tensor]) -> bool:
    if not term.requires_grad:
        return False
    found = torch.autograd.grad(term, on, retain_graph=True, allow_unused=True)
    return any(gradient is not None and bool(gradient.any()) for gradient in found)


def _finite(values: Tensor | None) -> bool:
    return values is not None and bool(values.isfinite().all())
