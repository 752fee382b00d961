"""How far estimates can be believed on this run: sampled removals are executed and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.counterfactual import Counterfactuals
from gradledger.ledger.entry import load_replay
from gradledger.ledger.side_by_side import execute_removals
from gradledger.query import Answer, agreement, check_place, draw_examples, stored_result
from gradledger.schema import Remove
from gradledger.segment import write_json


class Checks(Counterfactuals):
    """The part of a ledger that tests its own estimates."""

    def check_estimates(
        self,
        removals: int = 20,
        *,
        seed: int = 0,
        strata: str = "class",
        processes: int = 1,
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        observe: Any = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        fresh: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Execute sampled removals of single examples, and say how well estimates agree.

        Results are stored beside the run like any other; a removal that is stored is not executed
        again. The agreement found is shown by ``whatif`` from then on.

        Args:
            removals: How many; at least 2.
            seed: Of the sample and of the bootstrap.
            strata: Column that the sample is spread over, as in ``trace(by=...)``.
            processes: How many execute side by side; more than one needs a loop that the run names.
            build: Builds model and optimizer as the run did; by default what the run names.
            train: The training loop that was recorded; it does not close the recorder.
            observe: As in ``whatif``.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            fresh: Execute again although results are stored.
            progress: Called after every removal with how many are done and how many are to be.

        Raises:
            QueryError: Q105 column, Q108 nothing was presented, Q110 argument, Q133 not closed.
            ReplayError: As in ``whatif``; or a process ended early (R157).
        """
        records = self._records
        sampled = draw_examples(records, removals, seed, strata)
        own = build is not None or train is not None or observe is not None
        if processes < 1 or (processes > 1 and own):
            raise QueryError(
                "Q110",
                observed=f"processes={processes}" + (" with build and train" if own else ""),
                expected="1, or more with a loop that the run names",
                where="check_estimates",
            )
        wanted = [Remove((item.example,)) for item in sampled]
        todo = [item for item in wanted if fresh or stored_result(records, item) is None]
        count = len(wanted) - len(todo)

        def done() -> None:
            nonlocal count
            count += 1
            if progress is not None:
                progress(count, len(wanted))

        if todo and processes > 1:
            execute_removals(
                records,
                [item.examples for item in todo],
                processes,
                trust=trust_entry,
                arguments=entry_arguments,
                fresh=fresh,
                on_done=done,
            )
        elif todo:
            loop = self._loop(
                build=build,
                train=train,
                observe=observe,
                trust_entry=trust_entry,
                entry_arguments=entry_arguments,
            )
            for item in todo:
                load_replay().counterfactual(records, item, loop, fresh=fresh)
                done()
        results = [stored_result(records, item) or {} for item in wanted]
        answer, kept = agreement(records, sampled, results, seed)
        write_json(check_place(records), kept)
        return answer
