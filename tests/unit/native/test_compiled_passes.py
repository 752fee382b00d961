"""The compiled passes against torch: the same figures and accounts, and none where none can be."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradledger.gradient import row_pass
from gradledger.native import build, compiled_passes
from gradledger.native.passes import PASSES
from gradledger.update import Account, compiled, entry_weights_of_change, find_family, measure

pytestmark = pytest.mark.skipif(compiled_passes() is None, reason="no C compiler")

MAKERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9, weight_decay=0.01),
    "adadelta": lambda p: torch.optim.Adadelta(p, weight_decay=0.01),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01, weight_decay=0.01),
}


def train(name: str, dtype: torch.dtype, size: int, clip: float, *, captured: bool) -> list:
    """Return lines and accounts of three steps."""
    torch.manual_seed(size)
    parameter = torch.nn.Parameter(torch.randn(size, dtype=dtype))
    optimizer = MAKERS[name]([parameter])
    family, account, found = find_family(optimizer), Account(), []
    for _ in range(3):
        raw = torch.randn(size, dtype=dtype)
        parameter.grad = raw * clip
        visits = raw + 1e-3 * torch.randn(size, dtype=dtype) if captured else None
        before, theta = family.before(optimizer, parameter, optimizer.param_groups[0]), parameter
        theta_before, used = theta.detach().clone(), parameter.grad.clone()
        optimizer.step()
        law = family.after(before, optimizer, parameter)
        weights = entry_weights_of_change(law, parameter.detach(), theta_before)
        lines = measure(
            law,
            account,
            theta_before=theta_before,
            theta_after=parameter.detach(),
            g_raw=raw,
            g_used=raw if clip == 1.0 else used,
            captured=visits,
        )
        accounts = {key: value.clone() for key, value in account.to_tensors().items()}
        found.append((lines, accounts, weights))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("clip", "captured"), [(1.0, True), (0.3, True), (0.3, False)])
def test_lines_are_those_of_torch(monkeypatch, name, dtype, clip, captured):
    fast = train(name, dtype, 2500, clip, captured=captured)
    monkeypatch.setattr(compiled, "compiled_passes", lambda: None)
    slow = train(name, dtype, 2500, clip, captured=captured)
    near = 1e-12 if dtype is torch.float64 else 2e-5
    for (first, accounts, weights), (second, others, plain) in zip(fast, slow, strict=True):
        assert first.kappa == pytest.approx(second.kappa, rel=near)
        assert first.two_ulp_square == pytest.approx(second.two_ulp_square, rel=near)
        size = math.sqrt(second.delta_square)
        for line, square in second.squares.items():
            if line.endswith(("rounding", "residual")) or line in ("edits", "accrued_edits"):
                continue  # Rounding itself: as large as the two may differ.
            assert first.squares[line] == pytest.approx(square, rel=near, abs=near * size**2), line
            bound = near * max(size, math.sqrt(square)) * size
            assert first.dots[line] == pytest.approx(second.dots[line], abs=bound), line
        for line in ("residual", "accrual_residual"):
            assert math.sqrt(first.squares[line]) <= near * size
        for key, value in others.items():
            assert torch.allclose(accounts[key], value, rtol=near, atol=near), key
        assert torch.allclose(weights, plain, rtol=near, atol=0)


@given(
    rows=st.integers(1, 5),
    extra=st.integers(0, 3000),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=25, deadline=None)
def test_rows_are_measured_as_torch_measures_them(rows, extra, seed, dtype):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype, generator=generator)

    length = row_pass.LONG_ROW + extra
    values, direction, weights, total = (
        draw(rows, length),
        draw(1, length),
        draw(rows),
        draw(length),
    )
    expected = total.double() + weights.double() @ values.double()
    dots, squares = row_pass.measure_rows(values, direction, weights, total)
    near = 1e-12 if dtype is torch.float64 else 1e-5
    assert torch.allclose(total.double(), expected, rtol=near, atol=near)
    wide = values.double()
    assert torch.allclose(squares.double(), wide.square().sum(1), rtol=near)
    bound = near * float(wide.norm() * direction.double().norm())
    assert torch.allclose(dots.double(), direction.double() @ wide.T, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_roots_are_those_of_torch(monkeypatch, dtype):
    """Torch's own root is not always the nearest number: a few units in the last place."""
    torch.manual_seed(0)
    values = torch.cat([torch.rand(3000, dtype=dtype) ** 9, torch.zeros(3, dtype=dtype)])
    fast = compiled.inverse_root(values, 1e-8)
    monkeypatch.setattr(compiled, "compiled_passes", lambda: None)
    slow = compiled.inverse_root(values, 1e-8)
    assert torch.allclose(fast, slow, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_two_threads_give_what_one_gives(monkeypatch):
    """Halves meet at a block, and no account is carried twice."""
    size = 3 * (1 << 17) + 5
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = train("adamw", torch.float64, size, 0.3, captured=True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    both = train("adamw", torch.float64, size, 0.3, captured=True)
    for (first, accounts, _), (second, others, _) in zip(alone, both, strict=True):
        assert first.squares == pytest.approx(second.squares, rel=1e-12)
        assert torch.equal(accounts["inventory"], others["inventory"])


def test_a_machine_without_a_compiler_has_no_passes(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert build.load(PASSES, tmp_path) is None


def test_a_compiler_that_fails_is_no_error(monkeypatch, tmp_path):
    def fail(*_args: object, **_kwargs: object) -> None:
        raise subprocess.CalledProcessError(1, "cc")

    monkeypatch.setattr(build, "_build", fail)
    assert build.load(PASSES, tmp_path / "kept") is None


def test_what_others_may_write_is_not_loaded(tmp_path):
    kept = tmp_path / "kept"
    assert build.load(PASSES, kept) is not None
    (built,) = kept.glob("*.so")
    built.chmod(0o722)
    assert build.load(PASSES, kept) is None
    built.chmod(0o500)
    assert build.load(PASSES, kept) is not None
    kept.chmod(0o777)
    assert build.load(PASSES, kept) is None


def test_another_source_is_another_file(monkeypatch, tmp_path):
    assert build.load(PASSES, tmp_path / "kept") is not None
    copied = tmp_path / "source"
    copied.mkdir()
    for name in ("passes.c", "passes.h"):
        (copied / name).write_text((Path(build.__file__).parent / name).read_text() + "\n")
    monkeypatch.setattr(build, "_HERE", copied)
    assert build.load(PASSES, tmp_path / "kept") is not None
    assert len(list((tmp_path / "kept").glob("*.so"))) == 2


def test_the_switch_leaves_everything_uncompiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(build.SWITCH, "0")
    assert build.load(PASSES, tmp_path) is None
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv(build.SWITCH)
    tmp_path.chmod(0o700)
    assert build.load(PASSES, tmp_path) is not None
