"""What holds for every kind of the registry alike, by its line in ``cases``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from gradledger.gradient import GENERIC, KINDS, Capture, measure, survey

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES
from harness import assert_close, check, check_routed, mean_square, randomised


def test_every_kind_has_a_case() -> None:
    assert set(CASES) == {kind.name for kind in (*KINDS, GENERIC)}


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_kind_captures_its_case(name: str) -> None:
    model, _ = CASES[name]()
    found = survey(model, model.parameters())
    assert not found.unattributed
    assert [unit.kind.name for unit in found.units] == [name]


@pytest.mark.parametrize("name", sorted(CASES))
def test_gradients_are_those_of_single_rows(name: str) -> None:
    torch.manual_seed(0)
    model, rows = CASES[name]()
    check(randomised(model), rows, mean_square)


@pytest.mark.parametrize("name", sorted(CASES))
def test_depth_weights_are_exact(name: str) -> None:
    torch.manual_seed(1)
    model, rows = CASES[name]()
    check_routed(randomised(model), rows, mean_square)


@pytest.mark.parametrize("name", sorted(CASES))
def test_measures_agree_with_dense_rows(name: str) -> None:
    torch.manual_seed(2)
    model, rows = CASES[name]()
    randomised(model)
    capture = Capture(survey(model, model.parameters()).units)
    capture.attach()
    with capture.micro_batch(len(rows), {}):
        mean_square(model, rows).sum().backward()
    capture.detach()
    for parameter in model.parameters():
        forms = [use.form for use in capture.uses(parameter)]
        assert [form.num_elements for form in forms] == [parameter.numel()]
        assert [form.num_rows for form in forms] == [5]
        dense = forms[0].chunk(0, 5)
        part = torch.cat([forms[0].chunk(0, 2), forms[0].chunk(2, 5)])
        assert_close(part, dense, "rows in two runs")
        directions = torch.randn(2, parameter.numel(), dtype=torch.float64)
        scale, weights = torch.rand(parameter.numel()).double(), torch.rand(5).double()
        measured = measure(forms, weights, directions, scale)
        assert_close(measured.dots, directions @ dense.T, "inner products")
        assert_close(measured.squared_norms, dense.square().sum(1), "norms")
        assert_close(measured.scaled_squared_norms, (dense * scale).square().sum(1), "scaled")
        assert_close(measured.total, weights @ dense, "total")
        assert_close(forms[0].total(weights), weights @ dense, "total of the form")
        assert_close(forms[0].total(None), dense.sum(0), "plain total of the form")
