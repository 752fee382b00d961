"""Attention of torch in all its options, against single rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradledger.errors import GradientError
from gradledger.gradient import survey

sys.path.insert(0, str(Path(__file__).parent))
from cases import Around
from harness import (
    assert_close,
    captured,
    check,
    check_routed,
    mean_square,
    random_input,
    randomised,
)

WIDTH = 4


def attention(seed: int = 0, **options: object) -> nn.MultiheadAttention:
    torch.manual_seed(seed)
    return nn.MultiheadAttention(WIDTH, 2, **options)  # type: ignore[arg-type]


def caller(
    batch_first: bool, sources: str, masks: str, need_weights: bool, average: bool
) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return a use of attention whose every argument is derived from the rows alone."""

    def call(module: nn.Module, x: Tensor) -> Tensor:
        key = {"self": x, "cross": x[:, :2].sin(), "three": x[:, :2].sin()}[sources]
        value = key.cos() if sources == "three" else key
        length, source = x.shape[1], key.shape[1]
        given: dict[str, object] = {"need_weights": need_weights, "average_attn_weights": average}
        if "padding" in masks:
            # The last key is padding wherever the row's first number is positive.
            padding = (x[:, :1, 0] > 0) & (torch.arange(source) == source - 1)
            added = torch.zeros(padding.shape).double().masked_fill(padding, -torch.inf)
            # torch wants both masks of one type.
            given["key_padding_mask"] = added if "numbers" in masks or "each" in masks else padding
        if "truth" in masks:
            given["attn_mask"] = torch.ones(length, source, dtype=torch.bool).triu(1)
        if "numbers" in masks:
            given["attn_mask"] = torch.linspace(-1, 1, length * source).double().view(length, -1)
        if "each" in masks:
            each = x[:, None, :, :1] * key[:, None, None, :, 0] * torch.ones(1, 2, 1, 1)
            given["attn_mask"] = each.double().flatten(0, 1).detach()
        if "causal" in masks:
            given["attn_mask"] = torch.ones(length, source, dtype=torch.bool).triu(1)
            given["is_causal"] = True
        order = (lambda v: v) if batch_first else (lambda v: v.transpose(0, 1))
        query = order(x)
        keys = query if sources == "self" else order(key)
        values = keys if sources != "three" else order(value)
        out, weights = module(query, keys, values, **given)
        out = order(out).flatten(1)
        return out if weights is None else torch.cat([out, weights.flatten(1)], 1)

    return call


@given(
    st.booleans(),
    st.sampled_from(["self", "cross", "three"]),
    st.sampled_from(
        ["", "padding", "truth", "numbers padding", "each", "each padding", "truth padding"]
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([{}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True}]),
    st.integers(1, 4),
    st.integers(0, 2**31),
)
@settings(max_examples=120, deadline=None)
def test_attention(
    batch_first: bool,
    sources: str,
    masks: str,
    need_weights: bool,
    average: bool,
    options: dict[str, bool],
    r: int,
    seed: int,
) -> None:
    module = attention(seed, batch_first=batch_first, **options)
    call = caller(batch_first, sources, masks, need_weights, average)
    model = randomised(Around(module, call))
    x = random_input(seed, r, 3, WIDTH)
    check(model, x, mean_square)
    check_routed(model, x, mean_square)


@pytest.mark.parametrize("masks", ["causal", "causal padding"])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_causal_hint(masks: str, need_weights: bool, bias: bool) -> None:
    module = attention(batch_first=True, add_bias_kv=bias)
    model = randomised(Around(module, caller(True, "self", masks, need_weights, True)))
    check(model, random_input(0, 4, 5, WIDTH), mean_square)


@pytest.mark.parametrize("add_bias_kv", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_keys_and_values_of_other_widths(bias: bool, add_bias_kv: bool) -> None:
    module = attention(kdim=3, vdim=5, batch_first=True, bias=bias, add_bias_kv=add_bias_kv)
    model = Around(module, lambda m, x: m(x, x[..., :3].sin(), torch.cat([x, x[..., :1]], 2))[0])
    check(randomised(model), random_input(1, 4, 3, WIDTH), mean_square)
    check_routed(model, random_input(2, 4, 3, WIDTH), mean_square)


def test_sequence_first_with_as_many_positions_as_rows() -> None:
    """Shapes alone could not tell the axes apart; the module's option does."""
    model = randomised(Around(attention(), caller(False, "self", "padding", True, True)))
    check(model, random_input(3, 4, 4, WIDTH), mean_square)


def test_sequence_first_with_one_position() -> None:
    model = randomised(Around(attention(), caller(False, "self", "", False, True)))
    check(model, random_input(3, 4, 1, WIDTH), mean_square)


def test_windows_folded_into_the_batch() -> None:
    def fold(module: nn.Module, x: Tensor) -> Tensor:
        folded = x.reshape(-1, 3, WIDTH)
        return module(folded, folded, folded)[0].reshape(x.shape)

    check(
        randomised(Around(attention(batch_first=True), fold)), random_input(0, 3, 6, 4), mean_square
    )


def test_evaluation_mode_takes_no_fast_path_past_the_capture() -> None:
    model = randomised(Around(attention(batch_first=True), lambda m, x: m(x, x, x)[0])).eval()
    check(model, random_input(0, 4, 3, WIDTH), mean_square)
    check_routed(model, random_input(0, 4, 3, WIDTH), mean_square)


def test_only_the_output_projection_is_trained() -> None:
    module = attention(batch_first=True).double()
    found = survey(module, [module.out_proj.weight])
    assert [sorted(unit.names) for unit in found.units] == [["out_proj.weight"]]


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_dropout_is_drawn_again_as_it_was(batch_first: bool, need_weights: bool) -> None:
    """The sum over rows is autograd's; each row is what its own loss asks of the same masks."""
    module = attention(batch_first=batch_first, dropout=0.4)
    model = randomised(Around(module, caller(batch_first, "self", "", need_weights, True)))
    x = random_input(5, 4, 3, WIDTH)

    def seeded(m: nn.Module, rows: Tensor) -> Tensor:
        torch.manual_seed(7)
        return mean_square(m, rows)

    found, grads = captured(model, x, seeded)
    for row in range(4):
        model.zero_grad()
        seeded(model, x)[row].backward()
        for name, parameter in model.named_parameters():
            assert_close(found[name][row], parameter.grad.flatten(), f"{name} of row {row}")
    weights = torch.tensor([0.5, 0.0, 1.0, 0.0], dtype=torch.float64)
    routed = captured(model, x, seeded, dict.fromkeys(grads, weights))[1]
    for name, value in routed.items():
        assert_close(value, weights @ found[name], f"routed {name}")


def test_measuring_draws_no_random_numbers_of_the_run() -> None:
    model = randomised(Around(attention(batch_first=True, dropout=0.4), lambda m, x: m(x, x, x)[0]))
    x = random_input(5, 4, 3, WIDTH)
    torch.manual_seed(7)
    mean_square(model, x).sum().backward()
    plain = torch.rand(4)
    torch.manual_seed(7)
    captured(model, x, mean_square)
    assert torch.equal(torch.rand(4), plain)


def test_a_sequence_without_row_axis_is_refused() -> None:
    model = randomised(Around(attention(), lambda m, x: m(x, x, x)[0]))
    with pytest.raises(GradientError) as caught:
        captured(model, random_input(0, 4, WIDTH), mean_square)
    assert caught.value.code == "G101"
