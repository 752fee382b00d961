"""Spot checks: draw steps from an auditor's seed, and execute them again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gradledger.ledger.executions import Executions, Progress
from gradledger.query import Answer, Column, Table, stored_steps
from gradledger.segment import write_json
from gradledger.verify import ANSWER_FORMAT, chances, make_challenge, read_challenge

_CHANCE: Final = (
    Column("touched", "steps that a fraud touches", "integer"),
    Column("share", "of all steps", "share"),
    Column("found", "probability that one of them is drawn", "share"),
)
_STEPS: Final = (
    Column("step", "step", "integer"),
    Column("from_state", "executed from the state after", "integer"),
    Column("fingerprint_after", "fingerprint after it"),
)


class SpotChecks(Executions):
    """The part of a ledger that asks for steps to be executed again, and answers."""

    def challenge(self, seed: str, steps: int, *, out: str | Path | None = None) -> Answer:
        """Draw steps from an auditor's seed and the last checkpoint of the log.

        Args:
            seed: Chosen by the auditor after the checkpoint was signed; any text.
            steps: How many are drawn.
            out: File for the challenge; by default ``NAME.challenge.json`` in the current folder.

        Returns:
            The drawn steps, and how likely they find a fraud of a given size.

        Raises:
            ReplayError: No seed, or no step. Code R146.
            LogError: The run has no log. Code L132.
        """
        challenge = make_challenge(self._records.path, seed, steps)
        path = Path(out) if out is not None else Path(f"{self._records.path.name}.challenge.json")
        write_json(path, challenge)
        log = challenge["log"]
        drawn = [str(step) for step in challenge["steps"]]
        return Answer(
            question="challenge",
            title=f"Challenge to {self._records.path.name}",
            kind="accounting",
            facts={
                "file": str(path),
                "seed": seed,
                "root": log["root"],
                "tree size": log["size"],
                "signed": log["signed"],
                "steps": ", ".join(drawn),
            },
            tables=(
                Table(
                    "chances",
                    f"What {len(drawn)} of {challenge['num_steps']} steps find",
                    _CHANCE,
                    tuple(chances(challenge["num_steps"], len(drawn))),
                ),
            ),
            notes=(
                "the seed is worth something only if it was chosen after the checkpoint was signed",
            ),
        )

    def answer(
        self,
        challenge: str | Path,
        *,
        out: str | Path | None = None,
        progress: Progress | None = None,
        **loop: Any,
    ) -> Answer:
        """Execute the steps of a challenge again, each from the last stored state before it.

        Args:
            challenge: File of the challenge.
            out: File for the answer; by default ``NAME.answer.json`` in the current folder.
            progress: Called after every step with its number and that of the last one.
            loop: As for ``replay``.

        Raises:
            ReplayError: The challenge cannot be used (R146), or the steps cannot be executed.
        """
        asked = read_challenge(Path(challenge))
        found: list[dict[str, Any]] = []
        environment: Mapping[str, Any] = {}
        for start, steps in self._by_state(asked["steps"]).items():
            task = {"name": "answer", "start": start, "steps": steps}
            part = self._perform(task, progress, **loop)
            found += part["steps"]
            environment = part["environment"]
        path = Path(out) if out is not None else Path(f"{self._records.path.name}.answer.json")
        write_json(
            path,
            {
                "format": ANSWER_FORMAT,
                "challenge": asked,
                "environment": environment,
                "steps": found,
            },
        )
        return Answer(
            question="answer",
            title=f"Answer of {self._records.path.name}",
            kind="truth",
            facts={"file": str(path), "steps": len(found)},
            tables=(
                Table(
                    "steps",
                    f"{len(found)} steps executed again",
                    _STEPS,
                    tuple(tuple(step[column.name] for column in _STEPS) for step in found),
                ),
            ),
            notes=(
                "compare it with the record: gradledger verify RUN --answer FILE",
                "it is worth what its executor is: an auditor executes on a machine of their own",
            ),
        )

    def _by_state(self, steps: list[int]) -> dict[int, list[int]]:
        """Return stored step -> drawn steps that are executed from it."""
        stored, found = stored_steps(self._records), dict[int, list[int]]()
        for step in steps:
            found.setdefault(stored[bisect_left(stored, step) - 1], []).append(step)
        return found
