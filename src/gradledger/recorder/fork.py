"""Begin a run with what another run stored: model, optimizer, accounts and random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn, optim

from gradledger.errors import InputError
from gradledger.log import describe_fork
from gradledger.recorder.booking import Booker
from gradledger.recorder.states import restore_accounts, state_name
from gradledger.schema import Fork
from gradledger.state.torch_state import load_state, restore_rng


class Parent:
    """The stored state of another run that this one begins with.

    Args:
        given: ``"RUN@STEP"``: the directory of the run, and a step after which it stored its state.
        moment: ISO 8601 UTC, for the record.

    Attributes:
        fork: The record.

    Raises:
        InputError: The text has another form. Code I104.
        LogError: There is no such state in the log of the run. Code L192.
    """

    def __init__(self, given: str, moment: str) -> None:
        place, _, number = given.rpartition("@")
        if not place or not (number.isascii() and number.isdecimal()):
            raise InputError(
                "I104", observed=f"fork={given!r}", expected="'RUN@STEP'", where="gl.record"
            )
        self._run_dir, self._step = Path(place), int(number)
        self.fork: Fork = describe_fork(self._run_dir, self._step, moment)

    @property
    def folder(self) -> Path:
        """The state."""
        return self._run_dir / state_name(self._step)

    def to_dict(self) -> dict[str, Any]:
        """Return what the begin record says of it."""
        return {
            "run_id": self.fork.parent_run_id,
            "origin": self.fork.parent_origin,
            "step": self.fork.step,
            "state_digest": self.fork.state_sha256,
        }

    def opening(self) -> dict[str, Any]:
        """Return the opening balance, where the caller states none."""
        return {"source": f"model state of run {self.fork.parent_run_id} after step {self._step}"}

    def load(self, model: nn.Module, optimizer: optim.Optimizer, booker: Booker) -> None:
        """Bring everything to the state, bit for bit.

        Raises:
            StorageError: It is damaged (S113, S123) or of another model (S122); nothing has been
                changed then.
        """
        loaded = load_state(self.folder, model, optimizer)
        restore_accounts(booker, loaded)
        restore_rng(self.folder)
