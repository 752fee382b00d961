"""Double-entry bookkeeping for neural-network training.

Two functions carry the package: ``record`` joins a training loop, ``open`` asks what was recorded.
Names are loaded when they are first used, so that a machine without torch can audit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradledger import errors
    from gradledger.examine import doctor
    from gradledger.ledger import Ledger
    from gradledger.ledger import open_ledger as open
    from gradledger.probe import Probe
    from gradledger.recorder import Recorder, record

__version__ = "0.1.0"

__all__ = ["Ledger", "Probe", "Recorder", "__version__", "doctor", "errors", "open", "record"]

#: Public name -> where it lives: a module, or a module and a name in it.
_HOMES = {
    "Ledger": "gradledger.ledger:Ledger",
    "Probe": "gradledger.probe:Probe",
    "Recorder": "gradledger.recorder:Recorder",
    "doctor": "gradledger.examine:doctor",
    "errors": "gradledger.errors",
    "open": "gradledger.ledger:open_ledger",
    "record": "gradledger.recorder:record",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        message = f"module 'gradledger' has no attribute {name!r}"
        raise AttributeError(message)
    module, _, member = _HOMES[name].partition(":")
    loaded = import_module(module)
    found: object = getattr(loaded, member) if member else loaded
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
