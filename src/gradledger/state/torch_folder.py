"""Store a model state in a folder and restore it, bit for bit.

model.safetensors        parameters and all buffers, each tensor once
optimizer.safetensors    the optimizer's tensors, named parameter/key
optimizer.json           settings of the param groups, other state, which tensor belongs where
extra.safetensors        what the caller keeps besides, where there is any
rng.safetensors          words of the random number generators
state.json               digests of the other files, ties, generators, position in the data
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn, optim

from gradledger.canon import digest_hex, parse_json
from gradledger.errors import InputError, StorageError
from gradledger.segment import (
    cannot_read,
    cannot_write,
    make_folder,
    sync_folder,
    temporary_path,
    write_json,
)
from gradledger.state.digest import digest_arrays
from gradledger.state.torch_fingerprint import training_fingerprint
from gradledger.state.torch_items import (
    array_tensor,
    model_aliases,
    model_items,
    model_tensors,
    tensor_array,
)
from gradledger.state.torch_optimizer import misfit, read_optimizer, restore_optimizer
from gradledger.state.torch_rng import RngState, read_rng, write_rng
from gradledger.state.weights_file import StoredArrays, damaged, read_arrays, write_arrays

STATE_FORMAT: Final = "gradledger.state/1"

MODEL: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
SETTINGS: Final = "optimizer.json"
EXTRA: Final = "extra.safetensors"
RNG: Final = "rng.safetensors"
STATE: Final = "state.json"


@dataclass(frozen=True)
class StoredState:
    """What ``state.json`` says of a model state.

    Attributes:
        format: Version of the layout.
        model_digest: SHA-256 of the model's arrays (``digest_arrays``), 64 hex digits.
        fingerprint: Fingerprint of model and optimizer, 16 hex digits.
        files: SHA-256 of every other file, by name.
        aliases: Further names of tied tensors -> the name that they are stored under.
        rng: Values of the random number generators besides their words.
        position: Where in the data training stood, as the caller gave it.
    """

    format: str
    model_digest: str
    fingerprint: str
    files: dict[str, str]
    aliases: dict[str, str]
    rng: dict[str, Any]
    position: dict[str, Any]


@dataclass(frozen=True)
class LoadedState:
    """What a folder held besides model and optimizer.

    Attributes:
        position: Where in the data training stood.
        extra: The caller's further tensors, on the CPU.
        stored: All of ``state.json``.
    """

    position: dict[str, Any]
    extra: dict[str, Tensor]
    stored: StoredState


def model_digest(model: nn.Module) -> str:
    """Return the SHA-256 of a model's parameters and buffers, 64 hex digits.

    Equals ``model_file_digest`` of the file that ``save_state`` writes.
    """
    return digest_arrays(model_items(model))


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    extra_tensors: Mapping[str, Tensor] | None = None,
    position: Mapping[str, Any] | None = None,
) -> StoredState:
    """Store model, optimizer and random number generators; the folder appears complete or not.

    Args:
        folder: Must not exist.
        model: The model.
        optimizer: Its optimizer.
        extra_tensors: Further tensors to keep, by name.
        position: Where in the data training stands; values that JSON knows.

    Returns:
        What was written to ``state.json``.

    Raises:
        StorageError: The folder exists (S121), the disk refuses (S112), or a value cannot be
            stored (S124).
    """
    folder = Path(folder)
    if folder.exists():
        raise StorageError(
            "S121",
            observed=f"{folder.name} with content",
            expected="a folder that does not exist yet",
            where=str(folder),
            hint="model states are never overwritten; choose another folder",
        )
    temporary = temporary_path(folder)
    try:
        make_folder(temporary)
        stored = _write(temporary, model, optimizer, extra_tensors or {}, position or {})
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        with contextlib.suppress(OSError):
            if temporary.exists():
                shutil.rmtree(temporary)
    return stored


def load_state(folder: Path, model: nn.Module, optimizer: optim.Optimizer) -> LoadedState:
    """Bring model and optimizer to a stored state, bit for bit.

    Everything is read and checked first: after an error, model and optimizer are as they were.
    Random number generators are left alone; see ``restore_rng``.

    Args:
        folder: What ``save_state`` wrote.
        model: Built as the stored one was.
        optimizer: Built as the stored one was, over the same parameters.

    Raises:
        StorageError: A file is missing (S113) or damaged (S123), or tensors or param groups are
            not those of this model and optimizer (S122).
    """
    folder = Path(folder)
    stored = read_state(folder)
    arrays = {
        name: _checked(folder, name, stored)
        for name in (MODEL, OPTIMIZER, EXTRA)
        if name in stored.files
    }
    settings = _document(folder / SETTINGS, stored.files[SETTINGS])
    copies = _match_model(folder, model, arrays[MODEL])
    apply = restore_optimizer(settings, arrays[OPTIMIZER].arrays, model, optimizer, folder)
    with torch.no_grad():
        for target, source in copies:
            target.copy_(source)
    apply()
    extra = arrays[EXTRA].arrays if EXTRA in arrays else {}
    tensors = {name: array_tensor(array) for name, array in extra.items()}
    return LoadedState(stored.position, tensors, stored)


def restore_rng(folder: Path) -> None:
    """Set the random number generators of Python, NumPy and torch to a stored state.

    Raises:
        StorageError: A file is missing (S113) or damaged (S123), or the state is of another kind
            of machine (S122).
    """
    stored = read_state(Path(folder))
    write_rng(RngState(_checked(Path(folder), RNG, stored).arrays, stored.rng))


def read_state(folder: Path) -> StoredState:
    """Return what ``state.json`` says.

    Raises:
        StorageError: It is missing (S113), damaged or of a format that is not known (S123).
    """
    record = _document(Path(folder) / STATE)
    try:
        stored = StoredState(**record)
    except TypeError as error:
        raise damaged(str(error), "the fields of a model state", Path(folder) / STATE) from error
    names = set(record["files"]) if isinstance(record["files"], dict) else set()
    if stored.format != STATE_FORMAT or not names >= {MODEL, OPTIMIZER, SETTINGS, RNG}:
        raise damaged(
            f"format {stored.format!r} with {', '.join(sorted(names)) or 'no files'}",
            f"{STATE_FORMAT} with model, optimizer and generators",
            Path(folder) / STATE,
        )
    return stored


def _write(
    folder: Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    extra_tensors: Mapping[str, Tensor],
    position: Mapping[str, Any],
) -> StoredState:
    items, rng = model_items(model), read_rng()
    state = read_optimizer(optimizer, model)
    files = {
        MODEL: write_arrays(folder / MODEL, dict(items), {"format": "pt"}),
        OPTIMIZER: write_arrays(folder / OPTIMIZER, state.arrays),
        SETTINGS: write_json(folder / SETTINGS, state.settings),
        RNG: write_arrays(folder / RNG, rng.arrays),
    }
    if extra_tensors:
        extra = {name: tensor_array(tensor, name) for name, tensor in extra_tensors.items()}
        files[EXTRA] = write_arrays(folder / EXTRA, extra)
    stored = StoredState(
        format=STATE_FORMAT,
        model_digest=digest_arrays(items),
        fingerprint=training_fingerprint(model, optimizer),
        files=files,
        aliases=model_aliases(model),
        rng=rng.values,
        position=dict(position),
    )
    write_json(folder / STATE, asdict(stored))
    return stored


def _match_model(
    folder: Path, model: nn.Module, stored: StoredArrays
) -> list[tuple[Tensor, Tensor]]:
    """Pair every tensor of the model with its stored bits."""
    live = model_tensors(model)
    if odd := sorted(live.keys() ^ stored.arrays.keys()):
        side = "not in the model" if odd[0] in stored.arrays else "not stored"
        raise misfit(f"{odd[0]} {side}", "the same tensors on both sides", folder)
    pairs = []
    for name, target in live.items():
        source = array_tensor(stored.arrays[name])
        found, wanted = (f"{t.dtype} {tuple(t.shape)}" for t in (source, target))
        if found != wanted:
            raise misfit(f"{name} as {found}", wanted, folder)
        pairs.append((target, source))
    return pairs


def _checked(folder: Path, name: str, stored: StoredState) -> StoredArrays:
    """Read a file of arrays; the bytes that are used are those that were digested."""
    arrays = read_arrays(folder / name)
    if arrays.sha256 != stored.files[name]:
        raise damaged(f"digest {arrays.sha256}", f"{stored.files[name]}", folder / name)
    return arrays


def _document(path: Path, sha256: str | None = None) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    found = digest_hex(content)
    if sha256 is not None and found != sha256:
        raise damaged(f"digest {found}", sha256, path)
    try:
        record = parse_json(content, str(path))
    except InputError as error:
        raise damaged(error.observed, error.expected, path) from error
    if not isinstance(record, dict):
        raise damaged(f"a {type(record).__name__}", "an object", path)
    return record
