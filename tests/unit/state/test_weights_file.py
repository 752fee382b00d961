from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from gradledger.errors import StorageError
from gradledger.state import byte_view, model_file_digest, read_arrays, write_arrays
from gradledger.state.torch_items import array_tensor, tensor_array

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = {}
    for dtype in DTYPES:
        width = torch.empty(0, dtype=dtype).element_size()
        bits = torch.randint(
            0, 2 if dtype is torch.bool else 256, (6 * width,), generator=generator
        )
        found[f"t.{dtype}"] = bits.to(torch.uint8).view(dtype).reshape(2, 3)
    return {**found, "scalar": torch.tensor(1.5), "empty": torch.empty(0, 4), "ö": torch.ones(1)}


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, byte_view(tensor_array(tensor, "")).tobytes()


def test_the_reference_implementation_reads_what_we_write(tmp_path: Path) -> None:
    tensors = some_tensors()
    arrays = {name: tensor_array(tensor, name) for name, tensor in tensors.items()}
    sha256 = write_arrays(tmp_path / "m", arrays, {"format": "pt"})
    assert sha256 == hashlib.sha256((tmp_path / "m").read_bytes()).hexdigest()
    with safe_open(tmp_path / "m", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {n: bits(t) for n, t in found.items()} == {n: bits(t) for n, t in tensors.items()}


def test_we_read_what_the_reference_implementation_writes(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_file(tensors, tmp_path / "m", metadata={"a": "b"})
    stored = read_arrays(tmp_path / "m")
    assert stored.metadata == {"a": "b"}
    found = {name: array_tensor(array) for name, array in stored.arrays.items()}
    assert {n: bits(t) for n, t in found.items()} == {n: bits(t) for n, t in tensors.items()}


def test_the_digest_does_not_depend_on_who_wrote_the_file(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_file(tensors, tmp_path / "theirs", metadata={"a": "b"})
    write_arrays(tmp_path / "ours", {n: tensor_array(t, n) for n, t in tensors.items()})
    assert model_file_digest(tmp_path / "ours") == model_file_digest(tmp_path / "theirs")


@settings(deadline=None, max_examples=30)
@given(shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]]) -> None:
    path = tmp_path_factory.mktemp("state") / "m"
    rng = np.random.default_rng(0)
    arrays = {
        f"a{place}": np.asarray(rng.standard_normal(shape), [np.float32, np.float64][place % 2])
        for place, shape in enumerate(shapes)
    }
    write_arrays(path, arrays)
    found = read_arrays(path).arrays
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def _entry(**parts: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **parts}}


HEADERS: list[Any] = [
    _entry(dtype="F31"),
    _entry(shape=[3]),
    _entry(shape=[-2]),
    _entry(shape=[2.0]),
    _entry(shape=2),
    _entry(shape=[2**40, 2**40]),
    _entry(data_offsets=[0, 4]),
    _entry(data_offsets=[4, 12]),
    _entry(data_offsets=[8, 0]),
    _entry(data_offsets=[0]),
    {**_entry(), "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
    {},
    {"a": 3},
    [1],
]


@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_lie_are_refused(tmp_path: Path, header: Any) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "m").write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(StorageError, match="S123"):
        read_arrays(tmp_path / "m")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:7],
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: (2**63).to_bytes(8, "little") + content[8:],
        lambda content: content.replace(b'"a"', b'"b"', 1).replace(b'"c"', b'"b"', 1),
        lambda content: content.replace(b"{", b"[", 1),
    ],
    ids=["empty", "length", "header", "short", "long", "huge header", "name twice", "no JSON"],
)
def test_damaged_files_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_arrays(tmp_path / "m", {"a": np.zeros(2), "c": np.ones(2)})
    (tmp_path / "m").write_bytes(damage((tmp_path / "m").read_bytes()))
    with pytest.raises(StorageError, match="S123"):
        read_arrays(tmp_path / "m")


def test_an_absent_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="S113"):
        read_arrays(tmp_path / "m")


@pytest.mark.parametrize(
    "arrays", [{"a": np.zeros(1, np.complex128)}, {"__metadata__": np.zeros(1, np.float32)}]
)
def test_what_the_format_lacks_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="S124"):
        write_arrays(tmp_path / "m", arrays)
    assert not list(tmp_path.iterdir())
