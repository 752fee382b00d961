"""Model states of a run: what is stored with each, and how a recorder is brought back to one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gradledger.recorder.booking import Booker
from gradledger.state.torch_state import LoadedState, load_state, restore_rng, save_state
from gradledger.update import Account

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder


def state_name(step: int) -> str:
    """Return the folder of the state after a step, below the run."""
    return f"states/step={step}"


def store(run_dir: Path, recorder: Recorder, position: Mapping[str, Any]) -> None:
    """Store everything that training goes on from.

    Args:
        run_dir: The run.
        recorder: Between two steps.
        position: What the journal adds: totals, fingerprint after the last step.

    Raises:
        StorageError: The disk refuses (S112), or a value cannot be stored (S124).
    """
    accounts = {
        f"{entry.name}/{name}": tensor
        for entries in recorder.booker.tracked
        for entry in entries
        for name, tensor in entry.account.to_tensors().items()
    }
    passes, pass_tensors = recorder.passes.read()
    objects, object_tensors = recorder.objects.read()
    gradients = [
        name for name, value in recorder.model.named_parameters() if value.grad is not None
    ]
    save_state(
        run_dir / state_name(recorder.num_steps),
        recorder.model,
        recorder.optimizer,
        {**accounts, **pass_tensors, **object_tensors},
        {
            **position,
            "step": recorder.num_steps,
            "passes": passes,
            "objects": objects,
            "gradients": gradients,
        },
    )


def restore(folder: Path, recorder: Recorder) -> LoadedState:
    """Bring model, optimizer, accounts, gradients and tracked objects to a stored state.

    Raises:
        StorageError: The state is damaged (S113, S123) or of another model (S122); nothing has
            been changed then.
    """
    loaded = load_state(folder, recorder.model, recorder.optimizer)
    restore_accounts(recorder.booker, loaded)
    _restore_gradients(recorder, set(loaded.position.get("gradients", ())))
    recorder.objects.expect(loaded.position.get("objects", {}), loaded.extra, folder)
    return loaded


def restore_accounts(booker: Booker, loaded: LoadedState) -> None:
    """Give every parameter the accounts that were stored with a state."""
    for entries in booker.tracked:
        for entry in entries:
            kept = {
                name: loaded.extra[f"{entry.name}/{name}"]
                for name in ("inventory", "decay_momentum")
                if f"{entry.name}/{name}" in loaded.extra
            }
            entry.account = Account.from_tensors(kept, entry.parameter)
            entry.before = None


def proceed(folder: Path, recorder: Recorder) -> None:
    """Restore once more at the place where training goes on, random numbers included.

    What the script did since it was started again (built a scheduler, ended passes that are over)
    is undone by this.

    Raises:
        StorageError: Objects that were tracked are not tracked again. Code S103.
    """
    loaded = restore(folder, recorder)
    recorder.objects.write(loaded.position["objects"], loaded.extra, folder, every=True)
    restore_rng(folder)


def _restore_gradients(recorder: Recorder, names: set[str]) -> None:
    """A gradient of zeros is not the same as none: the optimizer steps on it."""
    for name, value in recorder.model.named_parameters():
        grad: Tensor | None = torch.zeros_like(value) if name in names else None
        value.grad = grad
