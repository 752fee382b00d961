from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import StorageError
from gradledger.state.torch_rng import (
    RngState,
    preserved_rng,
    read_rng,
    rng_fingerprint,
    write_rng,
)


def draw() -> list[float]:
    return [
        random.random(),  # noqa: S311
        random.gauss(0, 1),
        float(np.random.random()),  # noqa: NPY002
        float(np.random.standard_normal()),  # noqa: NPY002
        torch.rand(()).item(),
        torch.randn(3).sum().item(),
    ]


@given(st.integers(0, 7))
def test_a_state_brings_back_what_follows(num_before: int) -> None:
    for _ in range(num_before):
        draw()
    state, fingerprint = read_rng(), rng_fingerprint()
    expected = [draw() for _ in range(3)]
    assert rng_fingerprint() != fingerprint
    write_rng(state)
    assert rng_fingerprint() == fingerprint
    assert [draw() for _ in range(3)] == expected


def test_preserved_even_after_an_error() -> None:
    before = rng_fingerprint()
    with pytest.raises(KeyError), preserved_rng():
        raise KeyError(draw())
    assert rng_fingerprint() == before


@pytest.mark.parametrize(
    "advance",
    [
        random.random,  # noqa: S311
        lambda: random.gauss(0, 1),
        np.random.random,
        np.random.standard_normal,
        lambda: torch.rand(()),
    ],
    ids=["python", "python normal", "numpy", "numpy normal", "torch"],
)
def test_every_generator_counts(advance) -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = rng_fingerprint()
    advance()
    assert rng_fingerprint() != before


@pytest.mark.parametrize("name", ["python", "numpy", "torch"])
def test_a_state_of_another_kind_changes_nothing(name: str) -> None:
    state = read_rng()
    before = rng_fingerprint()
    arrays = {**state.arrays, name: state.arrays[name][:-1]}
    with pytest.raises(StorageError) as caught:
        write_rng(RngState(arrays, state.values))
    assert caught.value.code == "S122"
    with pytest.raises(StorageError, match="S122"):
        write_rng(RngState(state.arrays, {}))
    assert rng_fingerprint() == before


@pytest.mark.skipif(torch.cuda.device_count() > 8, reason="needs fewer devices")
def test_states_of_devices_that_are_not_here_are_refused() -> None:
    state = read_rng()
    words = state.arrays["torch"]
    arrays = {**state.arrays, **{f"cuda.{number}": words for number in range(9)}}
    with pytest.raises(StorageError, match="9 devices"):
        write_rng(RngState(arrays, state.values))
