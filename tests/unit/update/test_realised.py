"""The law itself: coefficients, entry weights, what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch


def test_coefficients_share_their_scale(loop, parameters):
    optimizer = torch.optim.AdamW(parameters(), lr=0.1, betas=(0.8, 0.9))
    law = loop().run(optimizer, 3)[0][-1].realised
    for name in ("gradient", "history", "incurred", "inventory"):
        assert getattr(law, name).shape == (4, 3)
    assert torch.allclose(law.gradient, -law.cash_factor * law.incurred, rtol=1e-15)
    assert law.cash_factor == pytest.approx(0.2)
    # C = B intake - A and H = B (retain - 1), whatever the settings.
    assert torch.allclose(law.gradient, law.inventory * law.intake - law.incurred, rtol=1e-13)
    assert torch.allclose(law.history, law.inventory * (law.retain - 1.0), rtol=1e-13)


def test_coefficients_of_sgd_are_numbers(loop, parameters):
    optimizer = torch.optim.SGD(parameters(), lr=0.1, momentum=0.9, nesterov=True)
    law = loop().run(optimizer, 3)[0][-1].realised
    assert law.gradient == pytest.approx(-0.1 * 1.9)
    assert law.history == pytest.approx(-0.1 * 0.81)
    assert law.incurred == pytest.approx(1.0)
    assert law.inventory == pytest.approx(0.81)
    assert law.cash_factor == pytest.approx(0.1 * 1.9)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_entry_weights_give_inner_products_of_entries(loop, parameters, kind):
    step = loop().run(kind(parameters(), lr=0.1, maximize=True), 2)[0][-1]
    delta, law = step.after - step.before, step.realised
    weights = law.entry_weights(delta, kappa=0.5)
    for visit in step.visits:
        entry = -law.incurred * law.sign * 0.5 * visit
        assert float((visit * weights).sum()) == pytest.approx(float((entry * delta).sum()))


def test_entry_weights_leave_the_vector_alone(loop, parameters):
    law = loop().run(torch.optim.Adam(parameters()), 1)[0][-1].realised
    vector = torch.ones(4, 3, dtype=torch.float64)
    law.entry_weights(vector)
    assert torch.equal(vector, torch.ones_like(vector))


def test_two_kinds_of_decay_are_refused(loop, parameters):
    law = loop().run(torch.optim.AdamW(parameters(), weight_decay=0.1), 1)[0][-1].realised
    with pytest.raises(ValueError, match="not both"):
        dataclasses.replace(law, coupled_decay=0.1)
