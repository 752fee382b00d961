"""Running totals over the books of a run: what the progress bar and the end record show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gradledger.schema import VERDICT_NAMES

#: From the best to the worst.
_ORDER = ("unchanged", "balanced", "not testable at this precision", "unbalanced", "not finite")


class Totals:
    """Largest residual and gap with their places, and how often each verdict was given."""

    def __init__(self) -> None:
        self.num_steps = 0
        self.num_visits = 0
        self.verdicts: Counter[str] = Counter(dict.fromkeys(VERDICT_NAMES, 0))
        self.largest: dict[str, dict[str, Any]] = {}

    def add(self, rows: Sequence[Mapping[str, Any]], num_visits: int) -> str | None:
        """Add the books rows of one step; return the worst verdict among them."""
        self.num_steps += 1
        self.num_visits += num_visits
        worst = None
        for row in rows:
            verdict = row.get("verdict")
            if verdict is None:
                continue
            self.verdicts[verdict] += 1
            if worst is None or _ORDER.index(verdict) > _ORDER.index(worst):
                worst = verdict
            for name in ("residual_ratio", "gap_ratio"):
                self._keep_largest(name, row)
        return worst

    def _keep_largest(self, name: str, row: Mapping[str, Any]) -> None:
        value = row.get(name)
        if value is None or math.isnan(value):
            return
        if name not in self.largest or value > self.largest[name]["value"]:
            self.largest[name] = {"value": value, "step": row["step"], "group": row["group"]}

    def restore(self, num_steps: int, num_visits: int, balance: Mapping[str, Any]) -> None:
        """Go on from the totals of ``to_dict``, as they were stored with a model state."""
        self.num_steps, self.num_visits = num_steps, num_visits
        self.verdicts.update(balance["verdicts"])
        for name, key in (("residual_ratio", "largest_residual"), ("gap_ratio", "largest_gap")):
            if balance[key] is not None:
                # Infinity is text in JSON.
                self.largest[name] = {**balance[key], "value": float(balance[key]["value"])}

    def in_words(self) -> str:
        """Say how the books stand in a few words."""
        bad = self.verdicts["unbalanced"] + self.verdicts["not finite"]
        if bad:
            return f"{bad} books unbalanced"
        largest = self.largest.get("residual_ratio")
        return f"balanced (residual {largest['value']:.0e})" if largest else ""

    def to_dict(self) -> dict[str, Any]:
        """Return the balance as plain values for the end record."""
        return {
            "largest_residual": self.largest.get("residual_ratio"),
            "largest_gap": self.largest.get("gap_ratio"),
            "verdicts": dict(self.verdicts),
        }
