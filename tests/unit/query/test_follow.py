"""Forward answers against plain loops over the vectors behind the run."""

from __future__ import annotations

import math

import pytest
from make_preamble import BLOCKS, GROUPS, NUM_STEPS, NUM_VISITS, UNCAPTURED
from make_run import Truth, make_run

from gradledger.errors import QueryError
from gradledger.query import Records, follow, open_records, trace

MEMBERS = {
    block: [n for n, (_, b) in enumerate(GROUPS) if b == i] for i, block in enumerate(BLOCKS)
}
MEMBERS["head"].append(UNCAPTURED)
MEMBERS["total"] = list(range(7))
CLOSE = {"rel": 2e-6, "abs": 1e-7}

FILTERS = [
    ({"example": 3}, [3]),
    ({"example": "00000000000003eb"}, [3]),
    ({"example": "src/b/file_3.py"}, [3]),
    ({"source": "pkg:c"}, [5, 6, 7]),
    ({"license": None}, [7, 11]),
    ({"class": "open"}, [0, 1, 2, 3, 4, 8, 9]),
    ({"profile": "shallow"}, [5, 6, 7]),
    ({"policy": "house@1.0.0", "source": "pkg:a"}, [0, 1, 2]),
    ({"rule": "permissive"}, [0, 1, 2, 3, 4, 8, 9]),
]


@pytest.mark.parametrize(("where", "examples"), FILTERS, ids=str)
def test_shares_norms_and_steps_per_block(
    truth: Truth, records: Records, where: dict[str, object], examples: list[int]
) -> None:
    answer = follow(records, where)
    assert answer.facts["examples that match"] == len(examples)
    rows = answer.table("where").records()
    assert [row["block"] for row in rows] == [*BLOCKS, "total"]
    for row in rows:
        groups = MEMBERS[row["block"]]
        captured = [g for g in groups if g != UNCAPTURED]
        energy = sum(truth.energy(g, examples) for g in captured)
        assert row["energy"] == pytest.approx(energy / sum(truth.whole(g) for g in groups), **CLOSE)
        moved = sum(truth.displaced(g, examples) for g in captured)
        whole = sum(float(truth.displacement(g) @ truth.displacement(g)) for g in groups)
        assert row["displacement"] == pytest.approx(moved / whole, rel=1e-9, abs=1e-12)
        acting = [
            (step, math.fsum(truth.norm[step, visit, g] ** 2 for g in captured))
            for (step, visit), example in truth.example.items()
            if example in examples and any(truth.norm[step, visit, g] for g in captured)
        ]
        assert row["visits"] == len(acting)
        if acting:
            assert row["first_step"] == min(step for step, _ in acting)
            assert row["last_step"] == max(step for step, _ in acting)
            rms = math.sqrt(sum(square for _, square in acting) / len(acting))
            assert row["gradient_norm"] == pytest.approx(rms, rel=1e-6)
        else:
            assert (row["first_step"], row["gradient_norm"]) == (None, None)


def test_a_shallow_profile_leaves_deep_blocks_untouched(records: Records) -> None:
    rows = {row["block"]: row for row in follow(records, {"profile": "shallow"}).rows}
    for block in ("embed", "blocks.0"):
        row = rows[block]
        assert (row["visits"], row["energy"], row["weight"]) == (0, 0.0, "0")
    assert rows["blocks.1"]["weight"] == "1"
    assert follow(records, {"policy": "house@1.0.0"}).rows[0]["weight"] == "0 to 1"


def test_pieces_of_time(truth: Truth, records: Records) -> None:
    when = follow(records, {"source": "pkg:a"}, group="head").table("when").records()
    assert [(row["first_step"], row["last_step"]) for row in when] == [
        (s, s + 1) for s in range(1, NUM_STEPS, 2)
    ]
    for row in when:
        steps = [row["first_step"], row["last_step"]]
        whole = sum(truth.whole(g, steps) for g in (5, 6))
        assert row["energy"] == pytest.approx(truth.energy(5, [0, 1, 2], steps) / whole, **CLOSE)
        visits = sum(truth.example[s, v] in (0, 1, 2) for s in steps for v in range(NUM_VISITS))
        assert row["visits"] == visits
    odd = follow(records, {"source": "pkg:a"}, start=3, stop=17).table("when").records()
    assert [row["steps"] for row in odd][-1] == "17"
    assert len(odd) == 8


def test_a_rule_is_credited_with_its_part(records: Records) -> None:
    part = follow(records, {"rule": "reviewed"}).rows
    full = follow(records, {"class": "copyleft"}).rows
    for one, other in zip(part, full, strict=True):
        assert one["energy"] == pytest.approx(other["energy"] / 2)
        assert one["displacement"] == pytest.approx(other["displacement"] / 2)
        assert one["visits"] == other["visits"]


def test_follow_and_trace_agree(records: Records) -> None:
    for row in trace(records, "blocks.1", by="source", measure="energy").rows:
        total = follow(records, {"source": row["source"]}, group="blocks.1").rows[-1]
        assert total["block"] == "total"
        assert total["energy"] == pytest.approx(row["share"], rel=1e-9)


def test_groups_without_capture_have_no_share(records: Records) -> None:
    rows = {row["group"]: row for row in follow(records, {"example": 1}, by="group").rows}
    assert rows["head.scale"]["energy"] is None
    assert rows["head.scale"]["displacement"] is None


def test_refused_examples_touch_nothing_and_show_their_decision(records: Records) -> None:
    answer = follow(records, {"example": 10})
    assert answer.facts["visits"] == 0
    assert {row["energy"] for row in answer.rows if row["block"] != "head"} == {0.0}
    (decision,) = answer.table("decisions").records()
    assert (decision["verdict"], decision["rules"], decision["examples"]) == ("deny", "gpl", 1)


def test_nothing_matches_gives_the_nearest(records: Records) -> None:
    with pytest.raises(QueryError, match=r"Q108.*\n.*MIT"):
        follow(records, {"license": "MITT"})
    with pytest.raises(QueryError, match="Q105"):
        follow(records, {"licence": "MIT"})
    with pytest.raises(QueryError, match="Q110"):
        follow(records, {})
    # A rule that decided nothing alone is known all the same.
    assert follow(records, {"rule": "gpl"}).facts["visits"] == 0


def test_quotes_in_values_and_names_are_data(tmp_path) -> None:
    odd = "it's; DROP VIEW visits --"
    columns = {"source": [odd] * 12, 'a "quoted" name': ["x'y"] * 12}
    run = open_records(make_run(tmp_path / "run [1]*'s", metadata=columns).path)
    assert follow(run, {"source": odd}).facts["examples that match"] == 12
    assert follow(run, {'a "quoted" name': "x'y"}).facts["visits"] == NUM_STEPS * NUM_VISITS
    assert len(trace(run, by='a "quoted" name').rows) == 1
