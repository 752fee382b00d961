"""Erasure: the model that training without chosen examples gives, executed and certified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.errors import LogError, QueryError, ReplayError
from gradledger.evidence import (
    Remains,
    Request,
    erased_before,
    issue_erasure,
    needs_key,
)
from gradledger.ledger.checks import Checks
from gradledger.ledger.entry import load_replay
from gradledger.ledger.erasure_answer import erasure_answer
from gradledger.log import SigningKey, signing_key
from gradledger.query import (
    MODEL_FILE,
    Answer,
    Records,
    Selection,
    as_filters,
    copies,
    named_rows,
    other_models,
    result_folder,
    search_runs,
    selected_examples,
    states_after,
    words,
)
from gradledger.rights import add_erasure, erased_list, named_lists
from gradledger.schema import Remove
from gradledger.segment import write_bytes_atomic
from gradledger.state import model_file_digest

#: Steps that a replay must have found to be the recorded ones before its result is certified.
_ENOUGH: Final = 4


class Erasures(Checks):
    """The part of a ledger that erases: it writes into the run, its log, and beside it."""

    def erase(
        self,
        selection: Selection,
        *,
        reason: str = "",
        reference: str = "",
        key: SigningKey | str | Path | None = None,
        also: Sequence[str | Path] = (),
        remove_states: bool = False,
        deny: bool = True,
        lists: Sequence[str | Path] = (),
        out: str | Path | None = None,
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        observe: Any = None,
        command: Sequence[str] = (),
        name: str | None = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Erase examples from what the run trained: executed, certified, logged.

        The run is executed again without them; the model that this gives is kept in ``RUN.erased``.
        A signed certificate says what was asked, from which step on the model is another, what it
        is now, and what remains elsewhere. Examples that earlier erasures took out stay out. The
        certificate rests on the execution alone: without a replay that is exact there is none.

        Args:
            selection: Filters by column, or the number, id or key of one example.
            reason: Why; it stands in the log for good, so it must name no person.
            reference: Number or name of the request elsewhere.
            key: Key file that signs the certificate and, where the log is signed, the log; None
                takes that of the environment variable ``GRADLEDGER_KEY``.
            also: Other runs, or folders of runs, to search for the same examples.
            remove_states: Remove the stored states and models that contain them; the log says so.
            deny: Put them on the list beside the run that later admissions in that folder deny, and
                on every list that is named.
            lists: Files of further lists to put them on, beside those that the environment variable
                ``GRADLEDGER_ERASED`` names; made where they are not there.
            out: File for a copy of the certificate; never overwritten.
            build: Builds model and optimizer as the run did; by default what the run names.
            train: The training loop that was recorded; it does not close the recorder.
            observe: As in ``whatif``.
            command: As in ``whatif``: the words that start the script that was recorded.
            name: Directory that the script records to now, where its last part is another.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            progress: Called after every step with how many are executed and how many are to be.

        Raises:
            QueryError: Q105 column, Q108 nothing matches, Q109 package, Q110 no selection, Q133 not
                closed.
            ReplayError: The run cannot be executed again (R101 to R105, R141, R142), or not so that
                it is exact (R131, R132, R161); the training loop cannot be had (R133 to R135).
            LogError: No key (L103), no log (L132), another key than the log's (L136), or the file
                for the copy is there already (L182).
            StorageError: Somebody writes the run (S111), or the disk refuses (S112, S113).
        """
        records, filters = self._records, as_filters(selection)
        signer = signing_key(key)
        if signer is None:
            raise needs_key()
        if not filters:
            raise QueryError(
                "Q110",
                observed="no selection",
                expected="filters for what is erased",
                where="erase",
            )
        place = _free(out)
        examples = selected_examples(records, filters)
        earlier = erased_before(records.path)
        for where in named_lists(lists) if deny else ():
            erased_list(where)  # One that cannot be read is refused before anything is executed.
        loop = {
            "build": build,
            "train": train,
            "observe": observe,
            "command": command,
            "name": name,
            "trust_entry": trust_entry,
            "entry_arguments": entry_arguments,
        }
        intervention = Remove(tuple(sorted({*examples, *earlier})))
        result, rows = self._exact(intervention, loop, progress), named_rows(records, examples)
        contents = self._contents(examples, loop)
        states = states_after(records, result["first_affected_step"])
        others = [Path(path) for path in also]
        remains = Remains(
            tuple(states),
            tuple(other_models(records, intervention.examples)),
            tuple(copies(records, examples)),
            tuple(search_runs(records, others, rows, contents, states)),
            len(contents),
        )
        request = Request(words(filters), rows, earlier, reason, reference)
        model = result_folder(records, intervention) / MODEL_FILE
        done = issue_erasure(records, result, model, request, remains, signer, remove=remove_states)
        denied = [
            add_erasure(
                where,
                contents,
                rows,
                run_id=records.begin.run_id,
                erased_at=request.requested_at,
                certificate=done.sha256,
            )
            for where in ((records.path.parent, *named_lists(lists)) if deny else ())
        ]
        if place is not None:
            write_bytes_atomic(place, done.path.read_bytes())
        return erasure_answer(done, request, remains, denied, signer)

    def _exact(
        self, intervention: Remove, loop: Mapping[str, Any], progress: Any
    ) -> dict[str, Any]:
        """Execute the removal, and refuse what is not shown to be exact."""
        records = self._records
        result = self._counterfactual(intervention, loop, progress=progress)
        stored = result_folder(records, intervention) / MODEL_FILE
        if model_file_digest(stored) != result["final_digest"]:
            result = self._counterfactual(intervention, loop, fresh=True, progress=progress)
        if result["first_other_rng_step"] is not None:
            raise _inexact(
                records,
                f"other random numbers from step {result['first_other_rng_step']} on",
                "the recorded ones: then nothing differs but the examples",
            )
        if result["first_affected_step"] is not None and _compared(result) < _ENOUGH:
            self._show_exact(int(result["start_step"]), loop)
        return result

    def _show_exact(self, start: int, loop: Mapping[str, Any]) -> None:
        """Execute some steps with nothing changed: the run itself shows that it is repeated."""
        records = self._records
        last = records.end.num_steps if records.end else start
        task = {"name": "stretch", "start": start, "stop": min(last, start + _ENOUGH)}
        found = self._task(task, loop)
        if found["first_other_rng"] is not None:
            raise _inexact(
                records,
                f"other random numbers in step {found['first_other_rng']}",
                "the recorded ones, with nothing changed",
            )

    def _contents(self, examples: Sequence[int], loop: Mapping[str, Any]) -> list[bytes]:
        """Return the SHA-256 of the examples' content, from the data set that the loop admits."""
        found = self._task({"name": "contents", "examples": list(examples)}, loop)
        return [bytes.fromhex(found[number]) for number in sorted(found, key=int)]

    def _task(self, task: Mapping[str, Any], loop: Mapping[str, Any]) -> dict[str, Any]:
        if loop.get("command"):
            return self._in_script(task, loop)
        done: dict[str, Any] = load_replay().perform(
            self._records.path, task, self._loop(**loop), _tell_nobody
        )
        return done


def _compared(result: Mapping[str, Any]) -> int:
    """Return how many steps the replay executed and found to be the recorded ones."""
    return int(result["num_identical_steps"]) - int(result["start_step"])


def _inexact(records: Records, observed: str, expected: str) -> ReplayError:
    return ReplayError(
        "R161",
        observed=observed,
        expected=expected,
        where=str(records.path),
        hint="make the training loop draw what it drew, on the machine and versions of the record",
    )


def _free(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    place = Path(out)
    if place.exists() or place.is_symlink():
        raise LogError(
            "L182",
            observed="a file",
            expected="a free name",
            where=str(place),
            hint="choose another name with --out: evidence is never overwritten",
        )
    return place


def _tell_nobody(step: int, num_steps: int) -> None:
    del step, num_steps
