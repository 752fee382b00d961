"""The page of methods is made from measured rows alone."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.leaderboard import page


def row(key: str, value: float) -> dict[str, Any]:
    return {
        "key": key,
        "value": value,
        "caveat": f"method of {key.rpartition('_')[0][14:]}",
        "measured_at": "2026-01-01T00:00:00+00:00",
        "command": "make bench ONLY=predict.peers",
        "commit": "abc",
    }


def test_methods_are_ordered_by_their_figures() -> None:
    rows = [
        row("predict.peers_some_peer_rm1", 0.25),
        row("predict.peers_some_peer_top50", 0.5),
        row("predict.peers_gradledger_rm1", 0.75),
        row("predict.peers_gradledger_half", 0.5),
        row("books.balance", 1.0),
    ]
    lines = [line for line in page(rows).splitlines() if line.startswith("| method of")]
    assert lines == [
        "| method of gradledger | 0.750 |  |  | 0.500 |  |",
        "| method of some_peer | 0.250 |  |  |  | 0.500 |",
    ]


def test_without_figures_there_is_no_page() -> None:
    with pytest.raises(ValueError, match=r"predict\.peers"):
        page([row("books.balance", 1.0)])
