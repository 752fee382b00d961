"""Questions on what did not happen: interventions, executed or estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_loop, load_replay
from gradledger.ledger.script import run_script
from gradledger.query import (
    HOW,
    OPERATIONS,
    Answer,
    Records,
    Selection,
    allowed,
    choose,
    resolve,
    stored_result,
    whatif,
)
from gradledger.report import AnswerPage
from gradledger.schema import Intervention, Substitute, parts_of


class Counterfactuals:
    """The part of a ledger that asks what would have been."""

    _records: Records

    def whatif(
        self,
        remove: Selection | None = None,
        *,
        renormalise: Selection | None = None,
        reweight: Selection | None = None,
        factor: float | None = None,
        reprofile: Selection | None = None,
        profile: str | Sequence[float] | None = None,
        substitute: Selection | None = None,
        content: Any = None,
        example: int | str | None = None,
        policy: str | Path | None = None,
        steps: tuple[int, int] | None = None,
        time: Sequence[Any] | None = None,
        interventions: Sequence[Mapping[str, Any]] | None = None,
        how: str = "replay",
        within_seconds: float | None = None,
        by: str = "block",
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        observe: Any = None,
        generate: Mapping[str, Callable[[Any], str]] | None = None,
        command: Sequence[str] = (),
        name: str | None = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        fresh: bool = False,
        start: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Counterfactual: what the model would be with something done to chosen examples.

        The run is executed again in its recorded order, with the recorded learning rates and
        random numbers. A removal gives the examples weight 0 in every group; loss denominators and
        batch positions stay. Nothing in the run changes: the result is kept beside it, in
        ``RUN.replays``, and the same question is answered from there.

        Args:
            remove: Filters by column, such as ``{"package": "requests"}``, or one example. Empty
                filters change nothing: the run again, bit for bit.
            renormalise: In place of ``remove``: removed, and means over a micro-batch run over what
                remains.
            reweight: In place of ``remove``: selection whose weight is multiplied by ``factor``.
            factor: At least 0.
            reprofile: In place of ``remove``: selection held to another ``profile``.
            profile: Name of a profile of the run, or one weight per block from input to output.
            substitute: In place of ``remove``: selection that gets other content of the same form.
            content: That content: an item as the data set yields it, a file that holds one, or one
                item by example number.
            example: In place of ``content``: the example whose content is taken.
            policy: In place of ``remove``: a policy document; what it would have refused is
                removed, what it would hold to another profile is held to it.
            steps: First and last step in which it holds; by default the whole run.
            time: In place of ``steps``: two moments, ISO 8601 or ``datetime``; it holds in the
                steps that ended between them. None stands for the beginning or the end.
            interventions: In place of all these: several of them in one run, each a mapping with
                the same names, such as ``{"reweight": {"source": "a"}, "factor": 2}``.
            how: ``replay`` executes; any other name gives that estimate alone.
            within_seconds: In place of ``how``: executing may take this long; where it would take
                longer, stored derivatives answer if they are reliable, then the books. The answer
                says what was chosen and what executing would cost.
            by: ``block`` or ``group``.
            build: Builds model and optimizer as the run did; by default what the run names.
            train: The training loop that was recorded; it does not close the recorder.
            observe: Figures of the final model: name -> function of the model; probes; or a
                function that returns such a mapping for the numbers of the chosen examples.
            generate: Texts of the final model: prompt -> function of the model.
            command: In place of ``build`` and ``train``: the words that start the script that was
                recorded; it cannot be observed, and exchanges content with other examples alone.
            name: Directory that the script records to now, where its last part is another.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            fresh: Execute again although a result is stored.
            start: Step of the stored state to begin with; by default the last one before the first
                affected visit, 0 for the whole run.
            progress: Called after every step with how many are executed and how many are to be.

        Raises:
            QueryError: Q105 column, Q106 steps, Q108 nothing matches, Q109 package, Q110 argument,
                Q131 content, Q132 salts, Q133 not closed, Q173 not reliable, Q174 no time.
            PolicyError: The policy cannot be read, or reads what was not recorded.
            ReplayError: The run cannot be executed again (R101 to R105, R141, R142), the
                intervention would not be exact (R131, R132, R151 to R154, R156), or the training
                loop cannot be had (R133 to R135).
        """
        allowed("how", how, HOW)
        beside = {
            "factor": factor,
            "profile": profile,
            "content": content,
            "example": example,
            "steps": steps,
            "time": time,
        }
        given = {
            "remove": remove,
            "renormalise": renormalise,
            "reweight": reweight,
            "reprofile": reprofile,
            "substitute": substitute,
            "policy": policy,
        }
        resolved = resolve(self._records, _asked(given, beside, interventions))
        result = choice = None
        if within_seconds is not None:
            if how != "replay":
                raise _argument(f"how={how!r} within a time", "one of them")
            choice = choose(self._records, resolved.intervention, within_seconds)
            how = choice.how
        if how == "replay":
            result = None if fresh else stored_result(self._records, resolved.intervention)
            if result is None or observe is not None or generate is not None:
                loop = {
                    "build": build,
                    "train": train,
                    "observe": observe,
                    "generate": generate,
                    "command": command,
                    "name": name,
                    "trust_entry": trust_entry,
                    "entry_arguments": entry_arguments,
                }
                result = self._counterfactual(
                    resolved.intervention, loop, fresh=fresh, start=start, progress=progress
                )
        return whatif(self._records, resolved, result, by=by, how=how, choice=choice)

    def page_of(self, answer: Answer) -> AnswerPage:
        """Return an answer as a page of its own, to ``write`` to a file; it loads nothing."""
        records, end = self._records, self._records.end
        digest = end.final_digest if end else None
        return AnswerPage(answer, records.path.name, records.begin.run_id, digest)

    def _counterfactual(
        self,
        intervention: Intervention,
        loop: Mapping[str, Any],
        *,
        fresh: bool = False,
        start: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Execute an intervention with whichever loop there is; return its result."""
        if not loop.get("command"):
            found: dict[str, Any] = load_replay().counterfactual(
                self._records,
                intervention,
                self._loop(**loop),
                fresh=fresh,
                start=start,
                progress=progress,
            )
            return found
        task = {
            "name": "counterfactual",
            "intervention": intervention.to_dict(),
            "fresh": fresh,
            "start": start,
        }
        if any(isinstance(part, Substitute) and part.items for part in parts_of(intervention)):
            raise _argument("content with a script", "another example, whose content is taken")
        return self._in_script(task, loop, progress)

    def _in_script(
        self,
        task: Mapping[str, Any],
        loop: Mapping[str, Any],
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Perform a task by starting the user's script."""
        own = [name for name in ("build", "train", "observe", "generate") if loop.get(name)]
        if own:
            raise _argument(f"{own[0]} with a script", "a script, or build and train")
        return run_script(
            self._records.path, task, loop["command"], name=loop.get("name"), progress=progress
        )

    def _loop(
        self,
        *,
        build: Any = None,
        train: Any = None,
        observe: Any = None,
        generate: Any = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        command: Sequence[str] = (),
        name: str | None = None,
    ) -> Any:
        del command, name
        replay = load_replay()
        by_selection = callable(observe) and not hasattr(observe, "loss")
        figures = observe if by_selection else replay.named_observables(observe)
        if (build is None) != (train is None):
            raise _argument("build or train alone", "both, or neither")
        if build is not None:
            return replay.TrainingLoop(build, train, figures, dict(generate or {}))
        loop = load_loop(self._records, trust=trust_entry, arguments=entry_arguments)
        return replay.TrainingLoop(
            loop.build, loop.train, figures or loop.observe, dict(generate or loop.generate)
        )


def _asked(
    given: Mapping[str, Any],
    beside: Mapping[str, Any],
    interventions: Sequence[Mapping[str, Any]] | None,
) -> list[dict[str, Any]]:
    """Return what is asked as mappings with one operation each."""
    chosen = {name: value for name, value in given.items() if value is not None}
    further = {name: value for name, value in beside.items() if value is not None}
    if interventions is not None:
        if chosen or further:
            raise _argument(", ".join([*chosen, *further]), "interventions alone")
        return [dict(item) for item in interventions]
    if len(chosen) != 1:
        raise _argument(", ".join(chosen) or "no intervention", "one of " + ", ".join(OPERATIONS))
    return [{**chosen, **further}]


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="whatif")
