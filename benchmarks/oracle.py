"""The oracle of the tests: plain autograd, one example at a time, loaded from where it lives.

The figures and the tests are held to the same reference, ``tests/oracle/harness.py``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

from torch import Tensor, nn

_HARNESS = Path(__file__).resolve().parent.parent / "tests" / "oracle" / "harness.py"

Gradients = dict[str, Tensor]


def gradients(model: nn.Module, rows: Tensor) -> tuple[Gradients, Gradients]:
    """Differentiate the harness' loss of each row: captured in one batch, and row by row.

    Returns:
        Captured gradients and the reference, each as name -> (rows, elements).
    """
    harness = _harness()
    captured = harness.captured(model, rows, harness.mean_square)[0]
    reference = harness.reference(model, rows, harness.mean_square)
    return cast("Gradients", captured), cast("Gradients", reference)


def randomised(model: nn.Module) -> nn.Module:
    """Move parameters off their symmetric initial values, in float64."""
    return cast("nn.Module", _harness().randomised(model))


def _harness() -> ModuleType:
    # By its path: a top-level name such as ``tests`` may belong to any installed package.
    name = "gradledger_oracle_harness"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _HARNESS)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {_HARNESS}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
