"""Further objects with a state: schedulers, gradient scalers, averages, generators.

Their states are stored with every model state, as JSON and named tensors, never as pickle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradledger.errors import InputError, StorageError
from gradledger.state.torch_state import array_tensor, decode, encode, tensor_array

_PREFIX = "~objects"
_CPU = torch.device("cpu")


class StatefulObjects:
    """Objects that ``run.track`` was given, by name."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}
        self._stored: tuple[Mapping[str, Any], Mapping[str, Tensor], Path] | None = None

    def add(self, objects: Mapping[str, Any]) -> None:
        """Track objects from now on.

        Raises:
            InputError: An object has no state that can be read and written, or its name is taken
                by another. Code I104.
        """
        for name, value in objects.items():
            usual = all(hasattr(value, part) for part in ("state_dict", "load_state_dict"))
            if not usual and not isinstance(value, torch.Generator):
                raise InputError(
                    "I104",
                    observed=f"{name} of type {type(value).__name__}",
                    expected="an object with state_dict and load_state_dict, or a torch.Generator",
                    where="run.track",
                )
            if self._objects.get(name, value) is not value:
                raise InputError(
                    "I104",
                    observed=f"a second object named {name!r}",
                    expected="one name per object",
                    where="run.track",
                )
            self._objects[name] = value
        if self._stored is not None:
            self.write(*self._stored)

    def values(self) -> list[Any]:
        """Return the objects themselves."""
        return list(self._objects.values())

    def expect(self, values: Mapping[str, Any], extra: Mapping[str, Tensor], folder: Path) -> None:
        """Bring objects to these stored states as soon as they are tracked."""
        kept = {name: value for name, value in extra.items() if name.startswith(f"{_PREFIX}/")}
        self._stored = (values, kept, folder)
        self.write(*self._stored)

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the states as values that JSON knows, and the tensors in them.

        Raises:
            StorageError: A state holds a value of another kind. Code S124.
        """
        arrays: dict[str, Any] = {}
        values = {
            name: encode(_state(value), f"{_PREFIX}/{name}", arrays, _CPU)
            for name, value in self._objects.items()
        }
        return values, {name: array_tensor(array) for name, array in arrays.items()}

    def write(
        self,
        values: Mapping[str, Any],
        extra: Mapping[str, Tensor],
        folder: Path,
        *,
        every: bool = False,
    ) -> None:
        """Bring the objects to stored states.

        Args:
            values: What ``read`` returned.
            extra: Tensors of the model state.
            folder: Where they were stored.
            every: Whether each stored object must be tracked by now.

        Raises:
            StorageError: Stored objects are not tracked, or a state does not fit. Code S103, S122.
        """
        if every:
            self._stored = None
        if every and (missing := sorted(values.keys() - self._objects.keys())):
            raise StorageError(
                "S103",
                observed=f"{missing[0]!r} not tracked",
                expected=f"run.track with {', '.join(sorted(values))}, as recorded",
                where=str(folder),
                hint=f"call run.track({missing[0]}=...) before the first batch",
            )
        arrays = {
            name: tensor_array(value, name)
            for name, value in extra.items()
            if name.startswith(f"{_PREFIX}/")
        }
        for name in self._objects.keys() & values.keys():
            try:
                _load(self._objects[name], decode(values[name], arrays, None, _CPU))
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise StorageError(
                    "S122",
                    observed=f"{name}: {type(error).__name__}: {error}"[:300],
                    expected="the state of the object that was tracked",
                    where=str(folder),
                    hint="build the object as it was when the state was stored",
                ) from error


def _state(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    return dict(value.state_dict())


def _load(target: Any, state: Any) -> None:
    if isinstance(target, torch.Generator):
        target.set_state(state)
        return
    live = target.state_dict()
    for key, value in state.items():
        if isinstance(live.get(key), Counter):
            state[key] = Counter(value)  # MultiStepLR asks for more than a mapping.
    target.load_state_dict(state)
