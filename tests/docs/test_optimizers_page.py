"""The page on optimizers lists the registry, and what it says of remainders and decay is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gradledger.update import FAMILIES, Account, find_family, line_tensors, supported

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))
from lion import Lion

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "optimizers.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}
NAMES = sorted(supported())


def optimizer_of(name: str, **options: object) -> torch.optim.Optimizer:
    kind = Lion if name == "Lion" else getattr(torch.optim, name)
    values = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).view(3, 4)
    return kind([nn.Parameter(values)], lr=0.01, **options)


def lines_of(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Norms of the lines of the second of two steps."""
    family, group = find_family(optimizer), optimizer.param_groups[0]
    parameter, account = group["params"][0], Account()
    norms: dict[str, float] = {}
    for number in range(2):
        parameter.grad = torch.cos(torch.arange(12.0, dtype=torch.float64) + number).view(3, 4)
        before, theta = family.before(optimizer, parameter, group), parameter.detach().clone()
        optimizer.step()
        law = family.after(before, optimizer, parameter)
        tensors = line_tensors(
            law,
            account,
            theta_before=theta,
            theta_after=parameter,
            g_raw=parameter.grad,
            g_used=before.gradient,
            captured=parameter.grad,
        )
        account.prepare(law, theta)
        account.advance(law, theta)
        norms = {line: float(tensor.norm()) for line, tensor in tensors.items()}
    return norms


def test_the_table_lists_every_family_and_optimizer() -> None:
    assert list(ROWS) == sorted(family.name for family in FAMILIES)
    for family in FAMILIES:
        listed = re.findall(r"`(?:torch\.optim\.)?(\w+)`", ROWS[family.name][0])
        assert listed == [*(kind.__name__ for kind in family.classes), *family.class_names]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_table_says_of_a_family(name: str) -> None:
    _, _, carried, decay, remainder = ROWS[find_family(optimizer_of(name)).name]
    norms = lines_of(optimizer_of(name, weight_decay=0.1))
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    moved = lines_of(optimizer_of(name, **options))
    assert (moved["history"] == 0.0) == (carried == "nothing")
    assert (norms["remainder"] == 0.0) == (remainder == "zero")
    kind = "decoupled" if norms["decoupled_decay"] else "coupled"
    assert norms["decay"] > 0
    assert kind in re.findall(r"\w+", decay)


@pytest.mark.parametrize("name", ["NAdam", "RAdam", "Adam"])
def test_decay_that_may_be_either(name: str) -> None:
    for decoupled in (False, True):
        optimizer = optimizer_of(name, weight_decay=0.1, decoupled_weight_decay=decoupled)
        assert (lines_of(optimizer)["decoupled_decay"] > 0) == decoupled


def test_the_page_names_all_of_torch() -> None:
    kinds = {
        name
        for name in dir(torch.optim)
        if isinstance(getattr(torch.optim, name), type) and name != "Optimizer"
    }
    booked = set(supported()) - {"Lion"}
    assert booked <= kinds
    for name in kinds - booked:
        assert f"`{name}`" in PAGE, name
