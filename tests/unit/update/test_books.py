"""Groups: sums over tensors, rows, verdicts."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from gradledger.schema import BOOKS, VERDICT_NAMES
from gradledger.update import GapNoise, GroupLines, TensorLines, worst_verdict


@pytest.fixture
def steps(loop, parameters):
    """The last of three AdamW steps, one per parameter."""
    optimizer = torch.optim.AdamW(parameters(), lr=0.01, weight_decay=0.1)
    return [steps[-1] for steps in loop().run(optimizer, 3)]


#: Null where no gap was above its bar.
GAP_PARTS = ("gap_noise_ratio", "gap_excess_ratio")


def with_line(lines: TensorLines, line: str, norm: float) -> TensorLines:
    return dataclasses.replace(lines, squares={**lines.squares, line: norm * norm})


def test_row_has_the_columns_of_the_books(group_of, steps):
    row = group_of(*(s.lines for s in steps)).row(step=4, group=2, visit_norms=1.0, routed=True)
    assert set(row) == set(BOOKS)
    assert (row["step"], row["group"], row["routed"]) == (4, 2, True)
    for name, kind in BOOKS.items():
        if kind == "float64" and name not in GAP_PARTS:
            assert isinstance(row[name], float), name
    assert [row[name] for name in GAP_PARTS] == [None, None]


def test_norms_add_up_over_tensors(group_of, steps):
    group = group_of(*(s.lines for s in steps))
    row = group.row(step=0, group=0)
    flat = torch.cat([(s.after - s.before).flatten() for s in steps])
    assert row["delta_norm"] == pytest.approx(float(flat.norm()))
    history = torch.cat([s.tensors["history"].flatten() for s in steps])
    assert row["history_norm"] == pytest.approx(float(history.norm()))
    assert row["history_dot"] == pytest.approx(float((history * flat).sum()))


def test_energy_shares_add_up_to_one(group_of, steps):
    row = group_of(*(s.lines for s in steps)).row(step=0, group=0)
    for lines in ("contributions gap edits history decay rounding residual", ACCRUED):
        total = sum(row[f"{line}_dot"] for line in lines.split())
        assert total / row["delta_norm"] ** 2 == pytest.approx(1.0, rel=1e-12)


ACCRUED = (
    "accrued_contributions accrued_gap accrued_edits inventory revaluation decoupled_decay "
    "accrual_rounding accrual_residual"
)


def test_settings_that_differ_within_a_group_are_null(group_of, steps):
    other = dataclasses.replace(steps[1].lines, learning_rate=0.5)
    row = group_of(steps[0].lines, other).row(step=0, group=0)
    assert row["learning_rate"] is None
    assert row["cash_factor"] == pytest.approx(0.1)


def test_clip_weighs_tensors_by_their_gradient(group_of, steps):
    halved = dataclasses.replace(steps[0].lines, used_raw=steps[0].lines.raw_square / 2, kappa=0.5)
    assert group_of(halved).clip == pytest.approx(0.5)
    assert 0.5 < group_of(halved, steps[1].lines).clip < 1.0


def test_a_group_without_tensors_is_unchanged():
    group = GroupLines()
    row = group.row(step=0, group=0)
    assert row["verdict"] == "unchanged"
    assert (row["rounding_ratio"], row["ulp_ratio"]) == (None, None)
    assert (row["residual_ratio"], row["clip"], row["delta_norm"]) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("line", "relative", "verdict"),
    [
        ("residual", 1e-13, "balanced"),
        ("residual", 1e-11, "unbalanced"),
        ("accrual_residual", 1e-10, "unbalanced"),
        ("gap", 1e-13, "balanced"),
        ("gap", 1e-11, "unbalanced"),
        ("edits", 1.0, "balanced"),
        ("unattributed", 1.0, "balanced"),
        ("residual", math.nan, "not finite"),
        ("history", math.inf, "not finite"),
    ],
)
def test_verdicts(group_of, steps, line, relative, verdict):
    norm = group_of(steps[0].lines).norm("contributions")
    group = group_of(with_line(steps[0].lines, line, relative * norm))
    assert group.verdict(visit_norms=norm) == verdict
    assert verdict in VERDICT_NAMES


def test_precision_is_judged_by_ulps(group_of, steps):
    lines = steps[0].lines
    just = 1e-6 * lines.delta_square
    assert group_of(dataclasses.replace(lines, two_ulp_square=0.99 * just)).verdict() == "balanced"
    coarse = group_of(dataclasses.replace(lines, two_ulp_square=1.01 * just))
    assert coarse.verdict() == "not testable at this precision"
    assert coarse.row(step=0, group=0)["ulp_ratio"] == pytest.approx(1e-3, rel=0.01)


def test_a_gap_without_any_visit_is_unbalanced(group_of, steps):
    group = group_of(with_line(steps[0].lines, "gap", 1e-20))
    assert group.gap_ratio(0.0) == math.inf
    assert group.verdict(0.0) == "unbalanced"
    assert group.row(step=0, group=0, visit_norms=0.0)["gap_ratio"] is None


@pytest.mark.parametrize(
    ("gap", "excess", "verdict"),
    [
        (1e-6, 0.0, "not testable at this precision"),
        (1e-6, 1e-13, "not testable at this precision"),
        (1e-6, 1e-11, "unbalanced"),
        (1e-13, 0.0, "balanced"),
    ],
)
def test_a_gap_is_judged_by_what_rounding_leaves_of_it(group_of, steps, gap, excess, verdict):
    norm = group_of(steps[0].lines).norm("contributions")
    parted = GapNoise(bound_square=(3 * gap * norm) ** 2, excess_square=(excess * norm) ** 2)
    lines = dataclasses.replace(with_line(steps[0].lines, "gap", gap * norm), gap_noise=parted)
    group = group_of(lines)
    assert group.verdict(norm) == verdict
    row = group.row(step=0, group=0, visit_norms=norm)
    assert row["gap_ratio"] == pytest.approx(gap)  # never hidden
    assert row["gap_noise_ratio"] == pytest.approx(3 * gap)
    assert row["gap_excess_ratio"] == pytest.approx(excess)


def test_gaps_that_were_not_parted_count_in_full(group_of, steps):
    norm = group_of(steps[0].lines).norm("contributions")
    noisy = dataclasses.replace(
        with_line(steps[0].lines, "gap", 1e-6 * norm), gap_noise=GapNoise((1e-5 * norm) ** 2, 0.0)
    )
    other = with_line(steps[1].lines, "gap", 1e-9 * norm)
    group = group_of(noisy, other)
    assert group.gap_excess_ratio(norm) == pytest.approx(1e-9)
    assert group.verdict(norm) == "unbalanced"


def test_without_visit_norms_the_bar_is_stricter(group_of, steps):
    norm = group_of(steps[0].lines).norm("contributions")
    group = group_of(with_line(steps[0].lines, "gap", 1e-3 * norm))
    assert group.gap_ratio() == pytest.approx(1e-3)
    assert group.gap_ratio(3 * norm) < group.gap_ratio()


def test_the_coarsest_format_sets_the_bar(group_of, steps):
    single = dataclasses.replace(steps[0].lines, dtype=torch.float32)
    assert group_of(steps[1].lines).tolerance == 1e-12
    assert group_of(single, steps[1].lines).tolerance == 1e-5


def test_rows_hold_no_number_that_is_not_finite(group_of, steps):
    row = group_of(with_line(steps[0].lines, "history", math.nan)).row(step=0, group=0)
    assert row["history_norm"] is None
    assert row["residual_ratio"] is None or math.isfinite(row["residual_ratio"])
    assert not any(isinstance(v, float) and not math.isfinite(v) for v in row.values())


def test_worst_verdict_knows_all_verdicts():
    assert worst_verdict([]) == "unchanged"
    assert worst_verdict(VERDICT_NAMES) == "not finite"
    assert worst_verdict(["unchanged", "balanced"]) == "balanced"
    assert worst_verdict(["balanced", "not testable at this precision"]).startswith("not testable")
