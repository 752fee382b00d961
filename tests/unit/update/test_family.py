"""Which optimizers are booked, and how the others are refused."""

from __future__ import annotations

import pytest
import torch

from gradledger.errors import UpdateError
from gradledger.update import FAMILIES, GroupLines, find_family, supported


class Inherits(torch.optim.AdamW):
    """Adds nothing to the step."""


class Overrides(torch.optim.AdamW):
    """Might do anything."""

    def step(self, closure=None):
        return super().step(closure)


def refused(code):
    return pytest.raises(UpdateError, match=rf"\[{code}\]")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (torch.optim.SGD, "sgd"),
        (torch.optim.Adam, "adam"),
        (torch.optim.AdamW, "adam"),
        (Inherits, "adam"),
    ],
)
def test_known_classes_and_plain_subclasses_are_found(parameters, kind, name):
    # Twice: torch wraps `step` on the class when its first instance is made.
    for _ in range(2):
        assert find_family(kind(parameters(), lr=0.1)).name == name


def test_a_scheduler_on_the_instance_changes_nothing(parameters):
    optimizer = torch.optim.AdamW(parameters())
    torch.optim.lr_scheduler.ConstantLR(optimizer)
    assert find_family(optimizer).name == "adam"


@pytest.mark.parametrize(
    "kind", [torch.optim.Rprop, torch.optim.ASGD, torch.optim.LBFGS, Overrides]
)
def test_other_optimizers_are_refused_by_name(parameters, kind):
    with refused("U101") as caught:
        find_family(kind(parameters(), lr=0.1))
    assert kind.__name__ in caught.value.observed
    for name in supported():
        assert name in caught.value.expected


def test_the_overridden_parent_is_named(parameters):
    with refused("U101") as caught:
        find_family(Overrides(parameters()))
    assert "overrides the step of Adam" in caught.value.observed


def test_family_names_are_distinct():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) >= 2


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"]
)
def test_differentiable_is_refused(parameters, name):
    optimizer = getattr(torch.optim, name)(parameters(), lr=0.1, differentiable=True)
    with refused("U102"):
        find_family(optimizer).check(optimizer)


def test_momentum_of_one_is_refused_even_when_a_schedule_sets_it(parameters):
    tensors = parameters()
    optimizer = torch.optim.SGD(tensors, lr=0.1, momentum=0.9)
    family = find_family(optimizer)
    family.check(optimizer)
    group = optimizer.param_groups[0]
    group["momentum"] = 1.0
    tensors[0].grad = torch.ones_like(tensors[0])
    with refused("U102"):
        family.check(optimizer)
    with refused("U102"):
        family.before(optimizer, tensors[0], group)


def test_betas_out_of_range_are_refused(parameters):
    optimizer = torch.optim.Adam(parameters())
    optimizer.param_groups[0]["betas"] = (1.0, 0.9)
    with refused("U102"):
        find_family(optimizer).check(optimizer)


def test_complex_parameters_are_refused():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))])
    with refused("U103"):
        find_family(optimizer).check(optimizer)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "Adafactor", "RMSprop", "Muon"])
def test_sparse_gradients_are_refused(name):
    table = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = getattr(torch.optim, name)(table.parameters(), lr=0.1)
    family = find_family(optimizer)
    family.check(optimizer)
    table(torch.tensor([1, 2])).sum().backward()
    with refused("U103"):
        family.before(optimizer, table.weight, optimizer.param_groups[0])


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_parameter_without_gradient_has_no_before(parameters, kind):
    optimizer = kind(parameters(), lr=0.1)
    group = optimizer.param_groups[0]
    assert find_family(optimizer).before(optimizer, group["params"][0], group) is None


def test_a_loss_scale_is_refused_where_no_fused_kernel_divides_by_it(parameters):
    tensors = parameters(torch.float32)
    optimizer = torch.optim.AdamW(tensors)
    tensors[0].grad = torch.ones_like(tensors[0])
    optimizer.grad_scale = torch.tensor(2.0)
    with refused("U105"):
        find_family(optimizer).before(optimizer, tensors[0], optimizer.param_groups[0])


FUSED = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad]


@pytest.mark.parametrize("scale", [2.0**16, 1000.0])
@pytest.mark.parametrize("kind", FUSED)
def test_a_fused_kernel_consumes_the_gradient_without_its_loss_scale(parameters, kind, scale):
    tensors = parameters(torch.float32)
    optimizer = kind(tensors, lr=0.1, fused=True)
    tensors[0].grad = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(2))
    scaled = tensors[0].grad.clone()
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.tensor(0.0)
    before = find_family(optimizer).before(optimizer, tensors[0], optimizer.param_groups[0])
    optimizer.step()
    assert torch.equal(before.gradient, tensors[0].grad)  # The kernel writes back what it used.
    assert torch.allclose(before.gradient, scaled / scale, rtol=1e-6)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.RAdam])
def test_capturable_on_a_cpu_is_refused_before_the_first_step(parameters, kind):
    optimizer = kind(parameters(torch.float32), lr=0.1, capturable=True)
    with refused("U102"):
        find_family(optimizer).check(optimizer)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_step_that_overflow_skipped_has_no_law(parameters, kind):
    tensors = parameters(torch.float32)[:1]
    optimizer = kind(tensors, lr=0.1, fused=True)
    family, group = find_family(optimizer), optimizer.param_groups[0]
    for flag, skipped in ((0.0, False), (1.0, True)):
        tensors[0].grad = torch.ones_like(tensors[0])
        optimizer.found_inf = torch.tensor(flag)
        before, theta = family.before(optimizer, tensors[0], group), tensors[0].detach().clone()
        optimizer.step()
        assert (family.after(before, optimizer, tensors[0]) is None) == skipped
        assert torch.equal(tensors[0].detach(), theta) == skipped


def test_two_steps_in_one_are_noticed(parameters):
    tensors = parameters()[:1]
    optimizer = torch.optim.Adam(tensors)
    family, group = find_family(optimizer), optimizer.param_groups[0]
    tensors[0].grad = torch.ones_like(tensors[0])
    before = family.before(optimizer, tensors[0], group)
    optimizer.step()
    optimizer.step()
    with refused("U104") as caught:
        family.after(before, optimizer, tensors[0])
    assert caught.value.observed == "step count 2"


@pytest.mark.parametrize("name", ["RMSprop", "Muon"])
def test_momentum_of_one_is_refused_in_every_family_that_has_it(name):
    optimizer = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(2, 2))], momentum=1.0)
    with refused("U102") as caught:
        find_family(optimizer).check(optimizer)
    assert caught.value.observed == "momentum 1"


@pytest.mark.parametrize("name", ["Adamax", "NAdam", "RAdam"])
def test_betas_of_one_are_refused_in_every_family_that_has_them(name):
    optimizer = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(2))])
    optimizer.param_groups[0]["betas"] = (0.9, 1.0)
    with refused("U102"):
        find_family(optimizer).check(optimizer)


def test_adafactor_with_several_formats_in_one_group_is_refused():
    """torch takes the epsilon of the first tensor's format for all of them."""
    tensors = [torch.nn.Parameter(torch.zeros(2, dtype=d)) for d in (torch.float32, torch.float64)]
    with refused("U102"):
        find_family(torch.optim.Adafactor(tensors)).check(torch.optim.Adafactor(tensors))
    optimizer = torch.optim.Adafactor(tensors, eps=(1e-7, 1e-3))
    find_family(optimizer).check(optimizer)


@pytest.mark.parametrize("name", ["RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"])
def test_two_steps_in_one_are_noticed_in_every_family_that_counts(parameters, name):
    tensor = parameters()[0]
    optimizer = getattr(torch.optim, name)([tensor])
    family, group = find_family(optimizer), optimizer.param_groups[0]
    tensor.grad = torch.ones_like(tensor)
    before = family.before(optimizer, tensor, group)
    optimizer.step()
    optimizer.step()
    with refused("U104"):
        family.after(before, optimizer, tensor)


def test_memory_of_an_earlier_step_is_reused(parameters):
    tensors = parameters()[:1]
    optimizer = torch.optim.SGD(tensors, lr=0.1, momentum=0.9)
    family, group = find_family(optimizer), optimizer.param_groups[0]
    before = None
    places = []
    for _ in range(3):
        tensors[0].grad = torch.ones_like(tensors[0])
        before = family.before(optimizer, tensors[0], group, reuse=before)
        places.append(None if before.momentum is None else before.momentum.data_ptr())
        kept = None if before.momentum is None else before.momentum.clone()
        optimizer.step()
        if kept is not None:
            assert torch.equal(before.momentum, kept)
    assert places[0] is None
    assert places[1] == places[2]


def test_frozen_parameters_and_momentum_of_others_do_not_mix(parameters):
    """Each tensor has its own first step: torch creates buffers tensor by tensor."""
    tensors = parameters()[:2]
    optimizer = torch.optim.SGD(tensors, lr=0.1, momentum=0.9, dampening=0.5)
    family, group = find_family(optimizer), optimizer.param_groups[0]
    tensors[0].grad = torch.ones_like(tensors[0])
    optimizer.step()
    tensors[1].grad = torch.ones_like(tensors[1])
    first = [family.before(optimizer, tensor, group).first for tensor in tensors]
    assert first == [False, True]


def test_fused_adagrad_has_the_same_law(loop):
    found = []
    for fused in (False, True):
        parameter = torch.nn.Parameter(torch.ones(5))
        optimizer = torch.optim.Adagrad([parameter], lr=0.1, weight_decay=0.1, fused=fused)
        found.append(loop(seed=6).run(optimizer, 3)[0][-1])
    assert torch.allclose(found[0].realised.incurred, found[1].realised.incurred, rtol=1e-6)
    for step in found:
        group = GroupLines()
        group.add(step.lines)
        assert group.verdict() == "balanced"
