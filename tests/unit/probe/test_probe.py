"""What a probe is: a name, inputs whose digest counts, a loss, and the steps it is due at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import InputError
from gradledger.probe import Probe, check_probes


def loss(model: Any, inputs: Any) -> torch.Tensor:
    return model(inputs).mean()


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "../a", "a\n", "x" * 65, 3, "a'b", "é"])
def test_names_are_plain(name: Any) -> None:
    with pytest.raises(InputError) as caught:
        Probe(name, torch.zeros(1), loss)
    assert caught.value.code == "I131"


@pytest.mark.parametrize(
    "settings",
    [{"every": -1}, {"every": 1.5}, {"every": True}, {"also_at": (-1,)}, {"also_at": ("3",)}],
)
def test_steps_are_whole_numbers(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        Probe("a", torch.zeros(1), loss, **settings)
    assert caught.value.code == "I131"


@pytest.mark.parametrize("inputs", [object(), {"a": [object()]}, np.array(["text"], dtype=object)])
def test_inputs_without_bytes_are_refused(inputs: Any) -> None:
    with pytest.raises(InputError) as caught:
        Probe("a", inputs, loss)
    assert caught.value.code == "I131"


def test_a_loss_is_a_function() -> None:
    with pytest.raises(InputError) as caught:
        Probe("a", torch.zeros(1), 3)  # type: ignore[arg-type]
    assert caught.value.code == "I131"


def test_two_probes_do_not_share_a_name() -> None:
    probe = Probe("a", torch.zeros(1), loss)
    assert check_probes([probe, Probe("b", torch.zeros(1), loss)])[0] is probe
    for bad in ([probe, probe], ["a"]):
        with pytest.raises(InputError) as caught:
            check_probes(bad)  # type: ignore[arg-type]
        assert caught.value.code == "I131"


@given(st.integers(0, 12), st.lists(st.integers(0, 40), max_size=4), st.integers(0, 60))
def test_due_at_multiples_and_named_steps(every: int, also_at: list[int], step: int) -> None:
    probe = Probe("a", torch.zeros(1), loss, every=every, also_at=also_at)
    due = step == 0 or step in also_at or (every > 0 and step % every == 0)
    assert probe.is_due(step) == due
    assert probe.record()["also_at"] == sorted(set(also_at))


@dataclass
class Batch:
    tokens: torch.Tensor
    words: list[str]


def test_the_digest_covers_every_leaf() -> None:
    base = {"x": torch.arange(4), "y": [torch.ones(2), 1.5], "z": Batch(torch.ones(1), ["a", "b"])}
    digest = Probe("a", base, loss).digest
    assert len(digest) == 64
    assert Probe("other name", dict(reversed(base.items())), loss).digest == digest
    for changed in (
        {**base, "x": torch.tensor([0, 1, 2, 4])},
        {**base, "x": torch.arange(4).int()},
        {**base, "x": torch.arange(4).reshape(2, 2)},
        {**base, "y": [torch.ones(2), 1.6]},
        {**base, "z": Batch(torch.ones(1), ["ab", ""])},
        {**base, "w": None},
    ):
        assert Probe("a", changed, loss).digest != digest
