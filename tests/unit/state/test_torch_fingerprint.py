from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradledger.errors import StorageError
from gradledger.native import compiled_passes
from gradledger.state import fingerprint_arrays
from gradledger.state.fingerprint import Fingerprint
from gradledger.state.lanes import ROW_BYTES, row_lanes
from gradledger.state.torch_copies import Copies
from gradledger.state.torch_fingerprint import (
    _fetch,
    _start_on_device,
    device_lanes,
    fingerprint_tensors,
    training_fingerprint,
)
from gradledger.state.torch_items import tensor_array
from gradledger.update import same_bits


def test_the_device_formula_gives_the_bits_of_numpy() -> None:
    content = np.frombuffer(np.random.default_rng(0).bytes(70 * ROW_BYTES), np.uint8)
    words = torch.from_numpy(content.copy()).view(torch.int64).reshape(70, -1)
    lanes = device_lanes(words).numpy().view(np.uint64)
    assert np.array_equal(lanes, row_lanes(content))


@settings(deadline=None, max_examples=30)
@given(
    counts=st.lists(st.sampled_from([0, 1, 3, 2048, 2049, 5001]), max_size=5),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]),
)
def test_the_device_path_assembles_what_the_host_path_does(
    counts: list[int], dtype: torch.dtype
) -> None:
    """Run the device's code on the CPU: products, rests and heads end up in the same places."""
    tensors = [(f"t{place}", (torch.rand(n) * 9).to(dtype)) for place, n in enumerate(counts)]
    started = [_start_on_device(name, tensor) for name, tensor in tensors]
    fingerprint = Fingerprint()
    for (head, _, _), (lanes, rest) in zip(started, _fetch(started), strict=True):
        fingerprint.add_parts(head, lanes if lanes.size else None, rest)
    assert fingerprint.hexdigest() == fingerprint_tensors(tensors)


def test_slices_at_odd_offsets_on_a_device() -> None:
    whole = torch.arange(20_000, dtype=torch.uint8)
    _, lanes, rest = _start_on_device("a", whole[3:])
    assert np.array_equal(
        lanes.numpy().view(np.uint64), row_lanes(whole[3:].clone()[: 2 * ROW_BYTES].numpy())
    )
    assert torch.equal(rest, whole[3 + 2 * ROW_BYTES :])


@pytest.mark.gpu
def test_a_device_gives_the_fingerprint_of_the_host() -> None:
    tensors = [
        ("a", torch.randn(3000, 70)),
        ("b", torch.randn(7).bfloat16()),
        ("c", torch.arange(5)),
        ("d", torch.randn(64, 64).half().t()),
    ]
    moved = [(name, t.cuda() if name != "c" else t) for name, t in tensors]
    assert fingerprint_tensors(moved) == fingerprint_tensors(tensors)


def test_tensors_and_arrays_agree() -> None:
    tensors = [("a", torch.randn(9, 700)), ("b", torch.randn(3).bfloat16())]
    arrays = [(name, tensor_array(tensor, name)) for name, tensor in tensors]
    assert fingerprint_tensors(tensors) == fingerprint_arrays(arrays)
    assert fingerprint_tensors(arrays) == fingerprint_arrays(arrays)


def test_every_part_of_a_training_state_counts() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    model.register_buffer("hidden", torch.zeros(3), persistent=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    seen = {training_fingerprint(model, optimizer)}
    model(torch.randn(5, 4)).sum().backward()
    seen.add(training_fingerprint(model, optimizer))
    optimizer.step()
    state = optimizer.state[model[0].weight]
    changes = [
        lambda: None,
        lambda: model.get_buffer("hidden")[1].fill_(-0.0),
        lambda: model[1].running_mean[0].add_(1),
        lambda: state["step"].add_(1),
        lambda: state["exp_avg"][0, 0].add_(1e-3),
        lambda: state.update(note="text"),
        lambda: state.update(count=3),
        lambda: state.pop("exp_avg_sq"),
    ]
    with torch.no_grad():
        for change in changes:
            change()
            seen.add(training_fingerprint(model, optimizer))
    # The forward pass moved running statistics, then came the step, then each change.
    assert len(seen) == 2 + len(changes)


def test_a_schedule_between_steps_is_no_change_of_state() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = training_fingerprint(model, optimizer)
    optimizer.param_groups[0]["lr"] = 0.01
    assert training_fingerprint(model, optimizer) == before


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.empty(3, device="meta"), "meta"),
        (nn.LazyLinear(3).weight, "not yet initialised"),
    ],
)
def test_tensors_without_plain_elements_are_refused(tensor: torch.Tensor, kind: str) -> None:
    with pytest.raises(StorageError) as caught:
        fingerprint_tensors([("a", tensor)])
    assert caught.value.code == "S124"
    assert kind in caught.value.observed


@pytest.mark.parametrize("compiled", [True, False])
def test_copies_on_the_way(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    """Whole rows, rests, none of either, odd places and half formats arrive bit for bit."""
    if not compiled:
        monkeypatch.setattr("gradledger.state.lanes.compiled_passes", lambda: None)
    torch.manual_seed(0)
    whole = torch.randn(9 * 2048)
    tensors = {
        "large": torch.randn(1100, 2048),
        "rows": torch.randn(3, 2048),
        "rest": torch.randn(5001),
        "small": torch.tensor(float("nan")),
        "empty": torch.empty(0, 3),
        "odd": whole[3 : 3 + 2 * 2048],
        "half": torch.randn(4099).bfloat16(),
        "wide": torch.randn(3000).double(),
    }
    expected = fingerprint_tensors(tensors.items())
    into = {name: torch.full_like(value, 7.0) for name, value in tensors.items() if name != "rows"}
    copies = Copies({id(tensors[name]): copy for name, copy in into.items()})
    before = {name: value.clone() for name, value in tensors.items()}
    assert fingerprint_tensors(tensors.items(), copies) == expected
    copied = {name for name, value in tensors.items() if value in copies}
    assert copied == (set(into) - {"odd", "empty"} if compiled else set())
    for name, value in tensors.items():
        assert same_bits(value, before[name])
        assert name == "rows" or same_bits(into[name], value if name in copied else into[name])
        if name in into and name not in copied:
            assert (into[name] == 7.0).all()


def test_what_cannot_be_copied_on_the_way_is_left() -> None:
    value = torch.randn(40, 600)
    for tensor, copy in (
        (value.t(), torch.empty(600, 40)),
        (value, torch.empty(600, 40).t()),
        (value, torch.empty(24_001)[1:].view(40, 600)),
        (value, torch.empty(40, 600).half()),
        (value, torch.empty(600, 40)),
    ):
        copies = Copies({id(tensor): copy})
        found = fingerprint_tensors([("a", tensor)], copies)
        assert tensor not in copies
        assert copies.stand([tensor]) == [tensor]
        assert found == fingerprint_tensors([("a", tensor)])


@pytest.mark.skipif(compiled_passes() is None, reason="no C compiler")
def test_whether_what_was_copied_stands() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(1100, 2048), torch.randn(7), torch.randn(5001), torch.randn(3, 2048)]
    copies = Copies({id(value): torch.empty_like(value) for value in tensors})
    fingerprint_tensors([(str(place), value) for place, value in enumerate(tensors)], copies)
    assert all(value in copies for value in tensors)
    assert copies.stand(tensors) == []
    other = torch.randn(3)
    assert copies.stand([*tensors, other]) == [other]
    for value in tensors:
        for place in (0, value.numel() // 2, value.numel() - 1):
            kept = value.reshape(-1)[place].item()
            value.data.reshape(-1)[place] = -kept
            assert copies.stand(tensors) is None
            value.data.reshape(-1)[place] = kept
    assert copies.stand(tensors) == []
    kept = tensors[0].clone()
    for change in (lambda x: x.mul_(-1), lambda x: x.mul_(2), lambda x: x.copy_(x.flip(0))):
        change(tensors[0])
        assert copies.stand(tensors) is None
        tensors[0].copy_(kept)
    tensors[0].data = kept
    assert copies.stand(tensors) == [tensors[0]]


def test_where_a_tensor_lies_does_not_show() -> None:
    values = [torch.randn(70, 90).t(), torch.randn(9001)[1:], torch.randn(3000).bfloat16()[1:]]
    tensors = [(str(place), value) for place, value in enumerate(values)]
    moved = [(name, value.clone(memory_format=torch.contiguous_format)) for name, value in tensors]
    arrays = [(name, tensor_array(value, name)) for name, value in tensors]
    assert fingerprint_tensors(tensors) == fingerprint_tensors(moved) == fingerprint_arrays(arrays)
    imaginary = torch.view_as_complex(torch.randn(2000, 2)).conj().imag
    assert imaginary.is_neg()
    assert fingerprint_tensors([("a", imaginary)]) == fingerprint_tensors(
        [("a", imaginary.resolve_neg().contiguous())]
    )
