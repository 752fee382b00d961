"""Examine what a named function returns: model and optimizer, and maybe batch and loss."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

from torch import nn, optim

from gradledger.errors import InputError
from gradledger.examine.doctor import doctor
from gradledger.query import Answer

#: Lengths of what the function may return.
_LENGTHS: Final = (2, 4)


def examine_named(name: str, *, steps: int | None, rounds: int) -> Answer:
    """Call ``package.module:function`` and examine what it returns.

    Args:
        name: Importable from the working directory; the function takes no arguments and returns
            ``(model, optimizer)`` or ``(model, optimizer, batch, loss)``.
        steps: Steps of the whole run.
        rounds: Measured steps of each arm.

    Raises:
        InputError: The function cannot be loaded or returns something else. Code I142.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        function: Callable[[], Any] = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _refused(f"{type(error).__name__}: {error}", "an importable name", name) from error
    if not callable(function):
        raise _refused(f"a {type(function).__name__}", "a function without arguments", name)
    parts = function()
    if not isinstance(parts, tuple) or len(parts) not in _LENGTHS:
        count = f" of {len(parts)}" if isinstance(parts, tuple) else ""
        raise _refused(f"a {type(parts).__name__}{count}", _EXPECTED, name)
    if not isinstance(parts[0], nn.Module) or not isinstance(parts[1], optim.Optimizer):
        found = ", ".join(type(part).__name__ for part in parts[:2])
        raise _refused(found, _EXPECTED, name)
    return doctor(*parts, steps=steps, rounds=rounds)


_EXPECTED: Final = "(model, optimizer) or (model, optimizer, batch, loss)"


def _refused(observed: str, expected: str, where: str) -> InputError:
    return InputError(
        "I142",
        observed=observed,
        expected=expected,
        where=where,
        hint="write a function that builds them and returns the tuple",
    )
