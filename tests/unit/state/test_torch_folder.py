from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from gradledger.errors import StorageError
from gradledger.segment import read_json
from gradledger.state import model_file_digest
from gradledger.state.torch_state import (
    load_state,
    model_digest,
    restore_rng,
    save_state,
    training_fingerprint,
)

Optimizer = torch.optim.Optimizer


class Tied(nn.Module):
    """Tied weights, dropout, running statistics, a buffer that torch does not save."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 16)
        self.body = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.3), nn.Linear(32, 16))
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 40, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("seen", torch.zeros(40), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.get_buffer("seen").index_add_(0, tokens, torch.ones(len(tokens)))
        return self.head(self.norm(self.body(self.embed(tokens))))


OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, amsgrad=True),
    "tensor lr": lambda p: torch.optim.AdamW(p, lr=torch.tensor(1e-2), foreach=False),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=2, history_size=3),
}


def build(kind: str, seed: int = 0) -> tuple[Tied, Optimizer]:
    torch.manual_seed(seed)
    model = Tied()
    if kind == "lbfgs":
        return model, OPTIMIZERS[kind](model.parameters())
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    return model, OPTIMIZERS[kind]([{"params": decayed}, {"params": rest, "lr": 0.02}])


def train(model: Tied, optimizer: Optimizer, num_steps: int) -> list[str]:
    """Train on batches drawn from all three generators; return the fingerprint of every step."""

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model(tokens), tokens)
        value.backward()
        return value

    found = []
    for _ in range(num_steps):
        numbers = [random.randrange(40) for _ in range(8)]  # noqa: S311
        numbers += np.random.randint(0, 40, 8).tolist()  # noqa: NPY002
        tokens = torch.cat([torch.tensor(numbers), torch.randint(0, 40, (8,))])
        optimizer.step(loss)  # type: ignore[arg-type]
        found.append(training_fingerprint(model, optimizer))
    return found


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("num_before", [0, 3])
def test_training_goes_on_bit_for_bit(tmp_path: Path, kind: str, num_before: int) -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    model, optimizer = build(kind)
    train(model, optimizer, num_before)
    random.gauss(0, 1)  # leaves a spare normal in the generator
    np.random.standard_normal()  # noqa: NPY002
    folder = tmp_path / "states" / "step=3"
    stored = save_state(folder, model, optimizer, position={"epoch": 1})
    expected = [*train(model, optimizer, 4), random.gauss(0, 1), np.random.standard_normal()]  # noqa: NPY002

    other, resumed = build(kind, seed=9)
    train(other, resumed, 2)
    loaded = load_state(folder, other, resumed)
    restore_rng(folder)
    assert loaded.position == {"epoch": 1}
    assert training_fingerprint(other, resumed) == stored.fingerprint
    found = [*train(other, resumed, 4), random.gauss(0, 1), np.random.standard_normal()]  # noqa: NPY002
    assert found == expected
    assert other.head.weight is other.embed.weight


def test_what_is_in_the_folder(tmp_path: Path) -> None:
    model, optimizer = build("adamw")
    train(model, optimizer, 1)
    extra = {"embed.weight/inventory": torch.randn(40, 16), "odd": torch.randn(3).bfloat16()}
    folder = tmp_path / "states" / "step=1"
    stored = save_state(folder, model, optimizer, extra, {"step": 1})
    assert [path.name for path in folder.parent.iterdir()] == ["step=1"]
    assert stored.model_digest == model_digest(model)
    assert stored.model_digest == model_file_digest(folder / "model.safetensors")
    assert stored.aliases == {"head.weight": "embed.weight"}
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
        assert torch.equal(file.get_tensor("seen"), model.get_buffer("seen"))
    assert "embed.weight" in names
    assert "head.weight" not in names
    with safe_open(folder / "optimizer.safetensors", framework="pt") as file:
        state = optimizer.state[model.embed.weight]
        assert torch.equal(file.get_tensor("embed.weight/exp_avg"), state["exp_avg"])
    assert read_json(folder / "state.json")["position"] == {"step": 1}
    loaded = load_state(folder, model, optimizer)
    assert loaded.extra.keys() == extra.keys()
    assert all(torch.equal(loaded.extra[name], tensor) for name, tensor in extra.items())


def test_settings_come_back_with_their_types(tmp_path: Path) -> None:
    model, optimizer = build("adamw")
    group = optimizer.param_groups[0]
    group.update(betas=(0.8, 0.99), lr=0.1 + 0.2, note="x", odd=[1, (2.0, None)], low=-float("inf"))
    before = {key: value for key, value in group.items() if key != "params"}
    save_state(tmp_path / "s", model, optimizer)
    group.update(betas=[0, 0], lr=1, note=None, odd=None, low=0)
    load_state(tmp_path / "s", model, optimizer)
    assert repr({key: value for key, value in group.items() if key != "params"}) == repr(before)


def test_half_precision_and_nan_come_back(tmp_path: Path) -> None:
    model = nn.Linear(3, 3, bias=False).to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.no_grad():
        model.weight.view(torch.int16).copy_(torch.randint(-(2**15), 2**15, (3, 3)))
        model.weight[0, 0] = float("nan")
    before = model_digest(model)
    save_state(tmp_path / "s", model, optimizer)
    nn.init.zeros_(model.weight)
    load_state(tmp_path / "s", model, optimizer)
    assert model_digest(model) == before


def test_strides_of_the_parameter_are_kept(tmp_path: Path) -> None:
    model = nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 4, 8, 8)).sum().backward()
    optimizer.step()
    save_state(tmp_path / "s", model, optimizer)
    before = training_fingerprint(model, optimizer)
    load_state(tmp_path / "s", model, optimizer)
    assert training_fingerprint(model, optimizer) == before
    state = optimizer.state[model.weight]["exp_avg"]
    assert state.stride() == model.weight.stride() == (36, 1, 12, 4)


def test_states_are_never_overwritten(tmp_path: Path) -> None:
    model, optimizer = build("sgd")
    save_state(tmp_path / "s", model, optimizer)
    with pytest.raises(StorageError, match="S121"):
        save_state(tmp_path / "s", model, optimizer)


@pytest.mark.parametrize("name", ["model", "optimizer", "rng", "settings", "state"])
def test_damage_is_found_and_nothing_is_changed(tmp_path: Path, name: str) -> None:
    model, optimizer = build("adamw")
    train(model, optimizer, 1)
    save_state(tmp_path / "s", model, optimizer)
    train(model, optimizer, 1)
    before = training_fingerprint(model, optimizer)
    file = {"settings": "optimizer.json", "state": "state.json"}.get(name, f"{name}.safetensors")
    content = bytearray((tmp_path / "s" / file).read_bytes())
    content[-3] ^= 1
    (tmp_path / "s" / file).write_bytes(content)

    def restore() -> None:
        if name == "rng":
            restore_rng(tmp_path / "s")
        load_state(tmp_path / "s", model, optimizer)

    with pytest.raises(StorageError, match="S123"):
        restore()
    (tmp_path / "s" / file).unlink()
    with pytest.raises(StorageError, match="S113"):
        restore()
    assert training_fingerprint(model, optimizer) == before


def _other_dtype(model: Tied) -> nn.Module:
    return model.double()


def _other_shape(model: Tied) -> nn.Module:
    model.body[0] = nn.Linear(16, 31)
    return model


def _more(model: Tied) -> nn.Module:
    model.add_module("more", nn.Linear(1, 1))
    return model


def _less(model: Tied) -> nn.Module:
    model.norm = nn.Identity()  # type: ignore[assignment]
    return model


@pytest.mark.parametrize("change", [_other_dtype, _other_shape, _more, _less])
def test_another_model_is_refused(tmp_path: Path, change: Callable[[Tied], nn.Module]) -> None:
    model, optimizer = build("adamw")
    save_state(tmp_path / "s", model, optimizer)
    other = change(build("adamw", seed=1)[0])
    before = model_digest(other)
    with pytest.raises(StorageError) as caught:
        load_state(tmp_path / "s", other, torch.optim.AdamW(other.parameters()))
    assert caught.value.code == "S122"
    assert model_digest(other) == before


@pytest.mark.parametrize(
    "rebuild",
    [
        lambda model: torch.optim.Adam(model.parameters()),
        lambda model: torch.optim.AdamW(model.parameters()),
        lambda model: torch.optim.AdamW(list(model.parameters())[:-1]),
    ],
    ids=["another class", "one group", "fewer parameters"],
)
def test_another_optimizer_is_refused(tmp_path: Path, rebuild: Callable[[Tied], Optimizer]) -> None:
    model, optimizer = build("adamw")
    save_state(tmp_path / "s", model, optimizer)
    before = model_digest(model)
    with pytest.raises(StorageError, match="S122"):
        load_state(tmp_path / "s", model, rebuild(model))
    assert model_digest(model) == before


def test_settings_that_are_code_are_refused(tmp_path: Path) -> None:
    model, optimizer = build("sgd")
    optimizer.param_groups[0]["schedule"] = lambda step: step
    with pytest.raises(StorageError, match="S124"):
        save_state(tmp_path / "s", model, optimizer)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "rename"])
def test_a_failing_disk_leaves_no_part_of_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Each call fails once, at every place where it is made."""
    model, optimizer = build("adamw")
    real, place, codes = getattr(os, call), 0, []
    while True:
        counts = {"calls": 0}

        def counted(*args: Any, _place: int = place, _counts: Any = counts, **kwargs: Any) -> Any:
            _counts["calls"] += 1
            if _counts["calls"] - 1 == _place:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **kwargs)

        folder = tmp_path / f"{place}"
        monkeypatch.setattr(os, call, counted)
        try:
            save_state(folder, model, optimizer)
        except StorageError as error:
            codes.append(error.code)
        monkeypatch.setattr(os, call, real)
        if folder.exists():
            load_state(folder, model, optimizer)
            restore_rng(folder)
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        if counts["calls"] <= place:
            break
        place += 1
    assert codes == ["S112"] * place
    assert codes
