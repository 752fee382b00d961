"""The scripts of the group ``books``: what each claims, and that a planted fault costs the bar."""

from __future__ import annotations

import ast
import dataclasses
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "benchmarks").glob("bench_*_*.py"))
sys.path.insert(0, str(ROOT))

from benchmarks import (  # noqa: E402
    bench_books_demo,
    bench_books_gradients,
    bench_books_identities,
    bench_books_non_interference,
    bench_log_verify,
    optimizer_table,
)
from benchmarks.layer_draws import DRAWS  # noqa: E402

from gradledger.gradient import GENERIC, KINDS  # noqa: E402
from gradledger.gradient.bias import bias_form  # noqa: E402
from gradledger.schema import ACCRUAL_LINES  # noqa: E402


@pytest.fixture(autouse=True)
def _threads_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts set two threads for themselves; tests share their process."""
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


def by_key(figures: list) -> dict:
    return {figure.key: figure for figure in figures}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_script_says_its_claim_and_its_caveat(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    claim, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    assert claim.endswith(".")
    assert len(claim) >= 20
    assert rest.strip().startswith("Caveat: ")
    assert "measure" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_gradients_of_every_kind_reach_the_bar() -> None:
    figures = by_key(bench_books_gradients.measure(num_draws=2))
    names = {kind.name for kind in (*KINDS, GENERIC)}
    assert set(figures) == {"books.gradients", *(f"books.gradients_{name}" for name in names)}
    assert all(figure.ok for figure in figures.values())


def test_a_wrong_bias_gradient_costs_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gradledger.gradient.linear.bias_form", lambda grads: bias_form(grads * (1 + 1e-9))
    )
    figures = by_key(bench_books_gradients.measure(num_draws=4))
    missed = {key for key, figure in figures.items() if not figure.ok}
    assert missed == {"books.gradients", "books.gradients_linear"}


def test_a_kind_without_draws_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DRAWS, "embedding")
    with pytest.raises(LookupError, match="embedding"):
        bench_books_gradients.measure(num_draws=1)


def test_relative_errors_are_per_row_and_gradients_that_vanish_have_a_floor() -> None:
    expected = torch.tensor([[1e3, 0.0], [1e-3, 0.0], [0.0, 0.0]], dtype=torch.float64)
    found = expected.clone()
    found[1, 1] = 1e-9
    assert bench_books_gradients.relative_error(found, expected) == pytest.approx(1e-6)
    found[1, 1], found[2, 0] = 0.0, 1e-15
    assert bench_books_gradients.relative_error(found, expected) == 0.0
    for wrong in (1e-13, math.nan):
        found[2, 0] = wrong
        assert bench_books_gradients.relative_error(found, expected) == math.inf


def test_identities_reach_the_bar() -> None:
    figures = by_key(bench_books_identities.measure(num_seeds=1))
    assert all(figure.ok is not False for figure in figures.values())
    assert figures["books.identities"].bar == 1e-12
    # Real steps round: an error of exactly zero everywhere would be no measurement.
    assert figures["books.identities_before_rounding"].value > 0.0
    assert figures["books.identities_adjoint"].value > 0.0


@pytest.mark.parametrize(
    ("field", "missed"),
    [
        ("gradient", {"cash", "adjoint", "coefficients"}),
        ("history", {"cash", "adjoint", "coefficients"}),
        ("incurred", {"accrual", "displacement", "coefficients"}),
        ("inventory", {"accrual", "displacement", "coefficients"}),
        ("retain", {"adjoint"}),
        ("decoupled", {"cash", "accrual", "displacement", "adjoint", "coefficients"}),
    ],
)
def test_a_wrong_coefficient_costs_the_bar(
    monkeypatch: pytest.MonkeyPatch, field: str, missed: set[str]
) -> None:
    """Off by a billionth, far above rounding: in what it enters, and nowhere else."""
    right = optimizer_table._adam

    def wrong(*given):
        row = right(*given)
        return dataclasses.replace(row, **{field: getattr(row, field) * (1 + 1e-9)})

    monkeypatch.setattr(optimizer_table, "_adam", wrong)
    adamw = next(case for case in bench_books_identities.CASES if case[0] is torch.optim.AdamW)
    monkeypatch.setattr(bench_books_identities, "CASES", (adamw,))
    figures = by_key(bench_books_identities.measure(num_seeds=1))
    names = {key.removeprefix("books.identities_") for key, f in figures.items() if f.ok is False}
    assert names == {"books.identities", *missed}


def test_changed_content_stays_out_of_protected_blocks() -> None:
    (figure,) = bench_books_non_interference.measure(num_trials=4, num_states=1)
    assert (figure.value, figure.bar, figure.ok) == (4.0, 4.0, True)


def test_a_weight_that_is_only_small_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    leaky = bench_books_non_interference.POLICY.replace(
        '"model.layers.1", weight: 0}', '"model.layers.1", weight: 0.001}'
    )
    assert leaky != bench_books_non_interference.POLICY
    monkeypatch.setattr(bench_books_non_interference, "POLICY", leaky)
    (figure,) = bench_books_non_interference.measure(num_trials=4, num_states=1)
    assert (figure.value, figure.ok) == (0.0, False)


def test_a_change_that_reaches_nothing_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_books_non_interference, "change_content", lambda row, random: None)
    with pytest.raises(RuntimeError, match="nothing is shown"):
        bench_books_non_interference.measure(num_trials=1, num_states=1)


def test_ratios_that_are_no_numbers_are_the_largest() -> None:
    assert bench_books_demo.largest([1e-9, 0.0]) == 1e-9
    for bad in (None, math.nan, math.inf):
        assert bench_books_demo.largest([1e-9, bad]) == math.inf
    with pytest.raises(ValueError, match="empty"):
        bench_books_demo.largest([])


def test_the_accrual_residual_is_over_all_accrual_lines() -> None:
    books = {f"{line}_norm": [1.0, 1.0, 0.0] for line in ACCRUAL_LINES}
    books["accrual_residual_norm"] = [0.5, None, 0.0]
    ratios = bench_books_demo.accrual_ratios(books)
    assert ratios == [pytest.approx(0.5 / (len(ACCRUAL_LINES) - 0.5)), None, 0.0]


@pytest.mark.parametrize(
    ("shares", "error", "ok"),
    [
        ((0.95, 1.08), 0.08, True),
        ((0.85, 1.0), 0.15, False),
        ((1.0, 1.2), 0.2, False),
        ((math.nan, 1.0), math.inf, False),
        ((1.0, math.nan), math.inf, False),
    ],
)
def test_the_visits_share_is_judged_on_both_sides(shares, error: float, ok: bool) -> None:
    figures = by_key(bench_books_demo.share_figures(*shares))
    judged = figures.pop("books.displacement_visits_share_error")
    assert (judged.value, judged.ok) == (pytest.approx(error), ok)
    assert all(figure.bar is None for figure in figures.values())


def test_figures_of_the_demonstration_come_from_both_formats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = {
        torch.float32: SimpleNamespace(
            residual=1e-7, gap=1e-6, coverage=100.0, sum_error=1e-3, visits_share=0.97, size="x"
        ),
        torch.float64: SimpleNamespace(
            residual=1e-11, gap=1e-14, coverage=99.9, sum_error=1e-9, visits_share=0.98, size="x"
        ),
    }
    monkeypatch.setattr(bench_books_demo, "run", lambda size, dtype: outcomes[dtype])
    figures = by_key(bench_books_demo.measure())
    assert {key for key, figure in figures.items() if figure.ok is False} == {
        "books.residual_float64",
        "books.coverage_percent",
    }
    assert figures["books.displacement_sum_error"].value == 1e-9
    assert figures["books.displacement_visits_share_error"].value == pytest.approx(0.03)


@pytest.mark.e2e
def test_the_smallest_demonstration_gives_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    outcome = bench_books_demo.run("tiny", torch.float32)
    assert outcome.residual <= 1e-5
    assert outcome.gap <= 1e-5
    assert outcome.coverage == 100.0
    assert outcome.sum_error <= 1e-6
    assert outcome.size.startswith("40 steps")


def test_verification_is_measured_on_a_run_that_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = by_key(bench_log_verify.measure(num_steps=3, rows=16))
    assert set(figures) == {
        "log.verify_rate",
        "log.verify_rate_one_process",
        "log.receipt_ms",
    }
    assert (figures["log.verify_rate"].bar, figures["log.receipt_ms"].bar) == (200.0, 20.0)
    assert 0 < figures["log.receipt_ms"].value < 1000
    monkeypatch.setattr(
        bench_log_verify, "check_run", lambda *_, **__: SimpleNamespace(is_clean=False)
    )
    with pytest.raises(ValueError, match="does not verify"):
        bench_log_verify.measure(num_steps=3, rows=16)
