"""The figures of a safety report against plain loops and independent queries."""

from __future__ import annotations

import math
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_run import make_run

from gradledger.query.signals import MAD_SCALE
from gradledger.report.outlying import ROBUST_Z

GROUPS = range(6)


def _norms(path) -> pa.Table:
    return pa.concat_tables(pq.read_table(part) for part in sorted(path.glob("visits/*.parquet")))


def _robust_z(values: list[float]) -> list[float | None]:
    acting = [value for value in values if value > 0]
    middle = median(acting)
    spread = median(abs(value - middle) for value in acting)
    return [(v - middle) / (MAD_SCALE * spread) if v > 0 else None for v in values]


def _spike(path, factor: float) -> int:
    """Multiply one norm of group 1; return the example."""
    part = path / "visits" / "part-000000.parquet"
    held = pq.read_table(part)
    norms = held.column("gnorm_1").to_pylist()
    place = next(n for n, norm in enumerate(norms) if norm > 0)
    norms[place] *= factor
    at = held.schema.get_field_index("gnorm_1")
    pq.write_table(held.set_column(at, "gnorm_1", pa.array(norms, pa.float32())), part)
    return held.column("example")[place].as_py()


def test_a_spike_is_found_with_its_z(tmp_path, make, rows, safety) -> None:
    assert safety.gauges["outlying-visits"].value == 0
    truth = make_run(tmp_path / "run")
    example = _spike(truth.path, 100.0)
    report = make(truth.path, "safety")
    held = _norms(truth.path)
    scores = [
        z for g in GROUPS for z in _robust_z(held.column(f"gnorm_{g}").to_pylist()) if z is not None
    ]
    expected = [z for z in scores if z > ROBUST_Z]
    assert report.gauges["outlying-visits"].value == len(expected) == 1
    assert report.gauges["largest-z"].value == pytest.approx(max(scores), rel=1e-6)
    (row,) = rows(report, "outliers")
    assert (row["example"], row["group"]) == (str(example), "blocks.0.attn")


def test_localisation_is_the_largest_part_of_the_squared_norms(safety, truth, rows) -> None:
    held = _norms(truth.path).to_pylist()
    sums: dict[int, list[float]] = {}
    for row in held:
        cells = sums.setdefault(row["example"], [0.0] * 6)
        for g in GROUPS:
            cells[g] += row[f"gnorm_{g}"] ** 2
    shares = {example: max(cells) / sum(cells) for example, cells in sums.items()}
    profiles = {n: "shallow" if n in (5, 6, 7) else "full" for n in shares}
    for row in rows(safety, "localised"):
        example = int(row["example"])
        assert row["share"] == pytest.approx(shares[example], rel=1e-6)
        usual = median(shares[n] for n in shares if profiles[n] == profiles[example])
        assert row["usual"] == pytest.approx(usual, rel=1e-6)
        assert row["profile"] == profiles[example]


def test_dominance_and_herfindahl_index_by_block(safety, truth, rows) -> None:
    sources = dict(enumerate("aaabbcccdd"))
    end = {g: truth.displacement(g) for g in GROUPS}
    values = {
        name: sum(truth.displaced(g, [n for n in sources if sources[n] == name]) for g in (3, 4))
        for name in "abcd"
    }
    total = sum(map(abs, values.values()))
    index = sum((value / total) ** 2 for value in values.values())
    largest = max(values, key=lambda name: abs(values[name]))
    whole = sum(float(end[g] @ end[g]) for g in (3, 4))
    row = next(row for row in rows(safety, "dominance") if row["block"] == "blocks.1")
    assert row["source"] == f"pkg:{largest}"
    assert row["part"] == pytest.approx(abs(values[largest]) / total, rel=1e-9)
    assert row["share"] == pytest.approx(values[largest] / whole, rel=1e-9)
    assert row["herfindahl"] == pytest.approx(index, rel=1e-9)
    assert row["effective"] == pytest.approx(1 / index, rel=1e-9)
    assert safety.gauges["concentration"].value >= row["herfindahl"]


def test_examples_that_were_outvoted(safety, truth, rows) -> None:
    values = {n: sum(truth.displaced(g, [n]) for g in GROUPS) for n in range(10)}
    whole = sum(float(truth.displacement(g) @ truth.displacement(g)) for g in range(7))
    below = sorted(value for value in values.values() if value < 0)
    assert below
    assert safety.gauges["negative-examples"].value == len(below)
    assert safety.gauges["negative-share"].value == pytest.approx(math.fsum(below) / whole)
    listed = [row["share"] for row in rows(safety, "negative")]
    assert listed == pytest.approx([value / whole for value in below[:10]])


def test_exposure_counts_visits_and_repeated_content(tmp_path, make, truth, safety) -> None:
    counts: dict[int, int] = {}
    for example in truth.example.values():
        counts[example] = counts.get(example, 0) + 1
    assert safety.gauges["most-visits"].value == max(counts.values())
    assert safety.gauges["median-visits"].value == median(counts.values())
    assert safety.gauges["repeated-content"].value == 0
    again = make_run(tmp_path / "run")
    for part in sorted((again.path / "decisions" / "examples").glob("*.parquet")):
        held = pq.read_table(part)
        place = held.schema.get_field_index("content")
        same = pa.array(["aa"] * held.num_rows, pa.string())
        pq.write_table(held.set_column(place, "content", same), part)
    report = make(again.path, "safety")
    assert report.gauges["repeated-content"].value == len(counts) - 1
    assert {i.name: i.answer for i in report.evidence.verdicts}["repetition"] == "no"


def test_a_silent_group_is_starved(tmp_path, make, rows, safety) -> None:
    assert safety.gauges["starved-groups"].value == 0
    truth = make_run(tmp_path / "run")
    for part in sorted(truth.path.glob("visits/*.parquet")):
        held = pq.read_table(part)
        place = held.schema.get_field_index("gnorm_2")
        silent = pa.array([0.0] * held.num_rows, pa.float32())
        pq.write_table(held.set_column(place, "gnorm_2", silent), part)
    report = make(truth.path, "safety")
    assert report.gauges["starved-groups"].value == 1
    first = rows(report, "starvation")[0]
    assert first["group"] == "blocks.0.mlp"
    assert (first["acting"], first["quiet"], first["verdict"]) == (0.0, 20, "starved")


def test_at_level_decisions_signals_are_not_known(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run", level="decisions", displacement=False)
    report = make(truth.path, "safety")
    held = answers(report)
    assert (held["outlying"], held["dominance"], held["starvation"]) == ("not known",) * 3
    assert report.to_html()
    assert report.to_json()


def test_without_a_column_of_sources_dominance_is_not_known(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run", metadata={"license": ["MIT"] * 12})
    assert answers(make(truth.path, "safety"))["dominance"] == "not known"
