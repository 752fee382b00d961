"""Recurrent layers and bags of embeddings of torch in all their options, against single rows."""

from __future__ import annotations

import sys
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
from harness import captured, check, check_routed, mean_square, random_input, randomised


def last_states(module: nn.Module, x: Tensor) -> Tensor:
    """Use outputs and final states, from first states that depend on the row."""
    order = (lambda v: v) if module.batch_first else (lambda v: v.transpose(0, 1))
    count = module.num_layers * (2 if module.bidirectional else 1)
    width = module.proj_size or module.hidden_size
    first = x[:, 0, :1].expand(-1, width).unsqueeze(0).repeat(count, 1, 1)
    if isinstance(module, nn.LSTM):
        cell = x[:, 0, :1].expand(-1, module.hidden_size).unsqueeze(0).repeat(count, 1, 1)
        out, (hidden, memory) = module(order(x), (first.contiguous(), cell.cos()))
        states = torch.cat(
            [hidden.transpose(0, 1).flatten(1), memory.transpose(0, 1).flatten(1)], 1
        )
    else:
        out, hidden = module(order(x), first.contiguous())
        states = hidden.transpose(0, 1).flatten(1)
    return torch.cat([order(out).flatten(1), states], 1)


@given(
    st.sampled_from([nn.RNN, nn.LSTM, nn.GRU]),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_recurrent(
    kind: type[nn.RNNBase],
    r: int,
    t: int,
    layers: int,
    bidirectional: bool,
    batch_first: bool,
    bias: bool,
    states: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    module = kind(3, 3, layers, bidirectional=bidirectional, batch_first=batch_first, bias=bias)
    order = (lambda v: v) if batch_first else (lambda v: v.transpose(0, 1))
    plain = Around(module, lambda m, x: order(m(order(x))[0]))
    model = randomised(Around(module, last_states) if states else plain)
    check(model, random_input(seed, r, t, 3), mean_square)
    check_routed(model, random_input(seed, r, t, 3), mean_square)


def test_projected_lstm() -> None:
    check(
        randomised(Around(nn.LSTM(3, 4, proj_size=2), last_states)),
        random_input(0, 3, 4, 3),
        mean_square,
    )


def test_recurrent_dropout_is_refused_by_name() -> None:
    module = nn.LSTM(3, 4, num_layers=2, dropout=0.2)
    reasons = [reason for _, reason in survey(module, module.parameters()).unattributed.values()]
    assert len(reasons) == 8
    assert all("dropout=0.2" in reason for reason in reasons)


def test_packed_sequences_are_refused() -> None:
    def packed(module: nn.Module, x: Tensor) -> Tensor:
        lengths = torch.full((len(x),), x.shape[1])
        sequence = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(module(sequence)[0], batch_first=True)[0]

    model = randomised(Around(nn.GRU(3, 4, batch_first=True), packed))
    with pytest.raises(GradientError) as caught:
        captured(model, random_input(0, 4, 3, 3), mean_square)
    assert caught.value.code == "G101"
    assert "packed" in caught.value.observed


@given(
    st.sampled_from(["sum", "mean"]),
    st.sampled_from(["matrix", "offsets", "two bags"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_embedding_bag(mode: str, shape: str, padded: bool, last: bool, seed: int) -> None:
    torch.manual_seed(seed)
    last = last and shape != "matrix"
    module = nn.EmbeddingBag(
        6, 3, mode=mode, padding_idx=0 if padded else None, include_last_offset=last
    )
    scale = torch.rand(6, dtype=torch.float64)

    def call(m: nn.Module, x: Tensor) -> Tensor:
        given = {"per_sample_weights": scale[x].flatten()} if mode == "sum" else {}
        if shape == "matrix":
            if given:
                given["per_sample_weights"] = scale[x]
            return m(x, **given)
        bags = x if shape == "offsets" else x.reshape(-1, x.shape[1] // 2)
        offsets = torch.arange(len(bags) + last) * bags.shape[1]
        return m(bags.flatten(), offsets, **given).reshape(len(x), -1)

    model, x = randomised(Around(module, call)), torch.randint(0, 6, (4, 6))
    check(model, x, mean_square)
    check_routed(model, x, mean_square)


@pytest.mark.parametrize("options", [{"mode": "max"}, {"max_norm": 1.0}, {"sparse": True}])
def test_embedding_bags_that_are_refused(options: dict[str, object]) -> None:
    module = nn.EmbeddingBag(6, 3, **options)  # type: ignore[arg-type]
    [(_, reason)] = survey(module, module.parameters()).unattributed.values()
    assert next(iter(options)) in reason
