"""Random number generators: their states as plain arrays, and back, without pickle."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch

from gradledger.errors import StorageError
from gradledger.state.arrays import Array
from gradledger.state.fingerprint import fingerprint_arrays
from gradledger.state.torch_items import array_tensor

_PYTHON: Final = "python"
_NUMPY: Final = "numpy"
_TORCH: Final = "torch"
_DEVICE: Final = "cuda."
_NUMPY_GENERATOR: Final = "MT19937"


@dataclass(frozen=True)
class RngState:
    """States of the global generators of Python, NumPy and torch.

    Attributes:
        arrays: ``python``, ``numpy``, ``torch``, and ``cuda.N`` for each device in use.
        values: What the generators keep besides their words: version, positions, spare normals.
    """

    arrays: dict[str, Array]
    values: dict[str, Any] = field(default_factory=dict)


def read_rng() -> RngState:
    """Return the states of all global generators; nothing advances.

    Raises:
        StorageError: NumPy's global generator is not the one it ships with. Code S124.
    """
    version, words, spare = random.getstate()
    generator, keys, position, has_spare, cached = np.random.get_state()  # noqa: NPY002
    if generator != _NUMPY_GENERATOR:
        raise StorageError(
            "S124",
            observed=f"NumPy's global generator {generator}",
            expected=_NUMPY_GENERATOR,
            where="rng",
            hint="use numpy.random.default_rng for other generators",
        )
    arrays: dict[str, Array] = {
        _PYTHON: np.asarray(words, np.uint32),
        _NUMPY: np.asarray(keys, np.uint32),
        _TORCH: torch.get_rng_state().numpy(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            arrays[f"{_DEVICE}{number}"] = state.numpy()
    values = {
        "python_version": version,
        "python_spare": None if spare is None else spare.hex(),
        "numpy_position": int(position),
        "numpy_has_spare": int(has_spare),
        "numpy_spare": float(cached).hex(),
    }
    return RngState(arrays, values)


def write_rng(state: RngState) -> None:
    """Set all global generators to a state.

    Raises:
        StorageError: The state is of another kind of machine or library. Code S122.
    """
    try:
        python, numpy, cpu = (_setters(state)[name] for name in (_PYTHON, _NUMPY, _TORCH))
        devices = _device_states(state.arrays)
        before = read_rng()
    except (KeyError, TypeError, ValueError) as error:
        raise _misfit(f"{type(error).__name__}: {error}") from error
    if devices and torch.cuda.device_count() < len(devices):
        raise _misfit(f"states of {len(devices)} devices, {torch.cuda.device_count()} here")
    try:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        for number, device in enumerate(devices):
            torch.cuda.set_rng_state(device, number)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        if before is not state:
            write_rng(before)
        raise _misfit(f"{type(error).__name__}: {error}") from error


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Leave all global generators as they were, whatever happens inside."""
    state = read_rng()
    try:
        yield
    finally:
        write_rng(state)


def rng_fingerprint() -> str:
    """Return the fingerprint of all global generators: 16 hex digits."""
    state = read_rng()
    values = repr(sorted(state.values.items())).encode()
    items = tuple((name, array.dtype.str, array.tobytes()) for name, array in state.arrays.items())
    return _fingerprint((*items, ("values", "|u1", values)))


@lru_cache(maxsize=1)
def _fingerprint(items: tuple[tuple[str, str, bytes], ...]) -> str:
    """Return the fingerprint of named content: between most steps nobody draws a number."""
    return fingerprint_arrays((name, np.frombuffer(part, kind)) for name, kind, part in items)


def _setters(state: RngState) -> dict[str, Any]:
    """Return what each library's own setter takes."""
    arrays, values = state.arrays, state.values
    spare = values["python_spare"]
    return {
        _PYTHON: (
            int(values["python_version"]),
            tuple(arrays[_PYTHON].tolist()),
            None if spare is None else float.fromhex(spare),
        ),
        _NUMPY: (
            _NUMPY_GENERATOR,
            arrays[_NUMPY],
            int(values["numpy_position"]),
            int(values["numpy_has_spare"]),
            float.fromhex(values["numpy_spare"]),
        ),
        _TORCH: array_tensor(arrays[_TORCH]),
    }


def _device_states(arrays: Mapping[str, Array]) -> list[torch.Tensor]:
    count = sum(name.startswith(_DEVICE) for name in arrays)
    return [array_tensor(arrays[f"{_DEVICE}{number}"]) for number in range(count)]


def _misfit(observed: str) -> StorageError:
    return StorageError(
        "S122",
        observed=observed,
        expected="generator states of this kind of machine and these libraries",
        where="rng",
        hint="restore on a machine like the one that recorded",
    )
