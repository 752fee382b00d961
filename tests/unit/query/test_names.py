"""Patterns and steps that users type."""

from __future__ import annotations

import pytest

from gradledger.errors import QueryError
from gradledger.query.names import allowed, match_groups, match_steps
from gradledger.query.records import Records


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        (None, (0, 1, 2, 3, 4, 5, 6)),
        ("embed", (0,)),
        ("blocks.1", (3, 4)),
        ("blocks", (1, 2, 3, 4)),
        ("blocks.0.attn", (1,)),
        ("*.attn", (1, 3)),
        ("blocks.?.mlp", (2, 4)),
        ("embed, blocks.1.mlp", (0, 4)),
        (["head", "embed"], (0, 5, 6)),
        ("head (buffers)", (7,)),
        ("*", (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_patterns(records: Records, pattern: object, numbers: tuple[int, ...]) -> None:
    assert match_groups(records, pattern).numbers == numbers


@pytest.mark.parametrize("pattern", ["block", "blocks.10", "blocks.", "", "attn", "BLOCKS.1", "["])
def test_a_prefix_ends_at_a_dot(records: Records, pattern: str) -> None:
    with pytest.raises(QueryError, match="Q104"):
        match_groups(records, pattern)


def test_unknown_groups_name_the_nearest(records: Records) -> None:
    with pytest.raises(QueryError) as caught:
        match_groups(records, "block.1")
    assert "blocks.1" in caught.value.hint


@pytest.mark.parametrize("bounds", [(0, 5), (5, 4), (1, 21), (-3, None), (None, 0), (99, None)])
def test_steps_outside(records: Records, bounds: tuple[int | None, int | None]) -> None:
    with pytest.raises(QueryError, match=r"Q106.*within 1 to 20"):
        match_steps(records, *bounds)


def test_steps_in_words(records: Records) -> None:
    assert str(match_steps(records, None, None)) == "steps 1 to 20"
    assert str(match_steps(records, 4, 4)) == "step 4"


def test_allowed_values_are_listed() -> None:
    with pytest.raises(QueryError, match="one \\| two\nhint: try two"):
        allowed("number", "tow", ("one", "two"))
