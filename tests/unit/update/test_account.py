"""Accounts: opened, carried, saved, refused."""

from __future__ import annotations

import pytest
import torch

from gradledger.errors import UpdateError
from gradledger.update import Account, find_family

CASES = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "dampening": 0.2}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.1}),
    (torch.optim.AdamW, {"lr": 0.1, "amsgrad": True}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_advance_carries_what_measure_carries(loop, parameters, kind, options):
    run = loop(accounts=[Account() for _ in range(3)])
    steps = run.run(kind(parameters(), **options), 5)[0]
    account = Account()
    for step in steps:
        law = step.realised
        # The live momentum has moved on since; give the law what the step had left.
        object.__setattr__(law, "momentum_after", step.momentum_after)
        account.advance(law, step.before)
        assert torch.allclose(account.inventory, step.inventory, rtol=1e-14)
    mine, theirs = account.decay_momentum, run.accounts[0].decay_momentum
    assert (mine is None) == (theirs is None) == ("weight_decay" not in options)
    if mine is not None:
        assert torch.allclose(mine, theirs, rtol=1e-14)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_opening_equals_a_run_that_was_booked_from_its_start(loop, parameters, kind, options):
    """With settings at rest the opening inventory is what the accounts would have held."""
    optimizer = kind(parameters(), **options)
    steps = loop().run(optimizer, 5)
    family = find_family(optimizer)
    group = optimizer.param_groups[0]
    for parameter, history in zip(group["params"], steps, strict=True):
        opened = family.open_account(optimizer, parameter, group)
        assert torch.allclose(opened.inventory, history[-1].inventory, rtol=1e-13)


def test_nothing_is_opened_where_nothing_is_carried(parameters):
    for kind, options in ((torch.optim.SGD, {"momentum": 0.9}), (torch.optim.Adam, {})):
        optimizer = kind(parameters(), **options)
        group = optimizer.param_groups[0]
        account = find_family(optimizer).open_account(optimizer, group["params"][0], group)
        assert account.to_tensors() == {}


def test_tensors_are_copied_on_the_way_in(parameters):
    parameter = parameters()[0]
    tensors = {"inventory": torch.ones(4, 3, dtype=torch.float64)}
    account = Account.from_tensors(tensors, parameter)
    account.inventory.zero_()
    assert float(tensors["inventory"].sum()) == 12.0
    assert account.to_tensors()["inventory"] is account.inventory


@pytest.mark.parametrize("tensors", [{"inventory": torch.ones(3)}, {"other": torch.ones(4, 3)}])
def test_accounts_of_another_parameter_are_refused(parameters, tensors):
    with pytest.raises(UpdateError) as caught:
        Account.from_tensors(tensors, parameters()[0])
    assert caught.value.code == "U106"


def test_layouts_that_are_not_contiguous_are_carried_in_logical_order():
    parameter = torch.nn.Parameter(torch.randn(3, 4, dtype=torch.float64).t())
    held = torch.randn(4, 3, dtype=torch.float64)
    account = Account.from_tensors({"inventory": held}, parameter)
    assert account.inventory.is_contiguous()
    assert torch.equal(account.inventory, held)
