"""Questions on what was, and what never was: states, differences, first use, exclusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradledger.errors import QueryError
from gradledger.evidence import thin_states
from gradledger.ledger.filters import named_filters
from gradledger.ledger.verification import signatures_of, verify_run
from gradledger.log import QuorumPolicy, SigningKey, VerifierKey, signing_key
from gradledger.query import (
    Answer,
    Records,
    Sought,
    Texts,
    diff,
    exclude,
    first_use,
    states,
    thinned,
)
from gradledger.verify import Report


class Past:
    """The part of a ledger that asks about states, and about the use of content."""

    _records: Records

    def exclude(
        self,
        example: int | str | None = None,
        *,
        content: Any = None,
        text: str | Path | None = None,
        texts: Texts | None = None,
        threshold: float = 0.5,
        top: int = 20,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Answer:
        """Exclusion: was this content presented, to which groups, and with which weight?

        Args:
            example: Number, id, or value of a metadata column that names examples (key, path).
            content: An item as the data set yields it (arrays, tensors), or the path of a
                ``.safetensors``, ``.npz`` or ``.npy`` file that holds one. Compared with the
                commitments of all examples and with every row that was presented.
            text: A text, or the path of a text file, to find similar ones of: candidates, which
                never count as found.
            texts: What gives the texts of examples: a metadata column, or a function of the
                example's number.
            threshold: Smallest part in common of a candidate, above 0, at most 1.
            top: Candidates that are listed, at most.
            content_class: Content class that the policy gave.
            where: Further filters by name.
            **columns: As in ``follow``. Where content is given too, both must hold.

        Returns:
            An answer whose ``findings`` are 0 only where nothing that was found was presented.

        Raises:
            QueryError: Q105 column, Q110 argument, Q131 content, Q132 salts.
        """
        filters = named_filters(example, content_class, where, columns)
        words = _read(text) if isinstance(text, Path) else text
        return exclude(self._records, Sought(filters, content, words, texts, threshold, top))

    def verify(
        self,
        keys: Sequence[str | Path | VerifierKey] = (),
        *,
        quorum: str | Path | None = None,
        witness: Sequence[str | Path] = (),
        parent: Sequence[str | Path] = (),
        step: int | None = None,
        example: int | None = None,
        processes: int | None = None,
    ) -> Report:
        """Integrity: check the log, every file, and everything that the records say of each other.

        Args:
            keys: Verifier keys that the log must be signed by, as text or in files, from elsewhere
                than the run.
            quorum: File that says which witnesses must have cosigned.
            witness: Folders or URLs of witnesses, or files of quorum policies with URLs: what each
                saw last must be part of the log. The key of a URL is in ``keys`` or the quorum.
            parent: Runs that may be the one that this was forked from, besides those beside it.
            step: Check only the log, and what concerns this step.
            example: Check only the log and the files, and what concerns this example.
            processes: How many read files; None takes one per core where there is enough to read.

        Returns:
            A report: ``is_clean``, ``findings`` with codes and places, ``to_dict``.

        Raises:
            LogError: L101 a key, L151 the quorum file, L141 or L190 a witness cannot be asked.
            QueryError: Q110 argument.
            StorageError: S113 a file cannot be read.
        """
        return verify_run(
            self._records.path,
            keys,
            quorum=quorum,
            witness=witness,
            parent=parent,
            step=step,
            example=example,
            processes=processes,
        )

    def signatures(
        self,
        keys: Sequence[str | Path | VerifierKey] = (),
        *,
        quorum: str | Path | QuorumPolicy | None = None,
    ) -> Answer:
        """Integrity: show who signed and witnessed the log, and every checkpoint it published.

        Args:
            keys: Verifier keys from elsewhere than the run, as text or in files.
            quorum: Which witnesses must have cosigned; a policy or its file.

        Returns:
            Tables ``signatures``, ``keys`` and ``checkpoints``. ``findings`` counts signatures that
            do not hold, and a quorum that was not reached. Whether the run is sound is another
            question: ``verify``.

        Raises:
            LogError: L101 a key, L151 the quorum file, or the log is malformed (L111, L113, L132).
            StorageError: S113 a file cannot be read.
        """
        return signatures_of(self._records.path, keys, quorum)

    def states(self, *, check: bool = True) -> Answer:
        """State: list the stored model states, with digests, sizes, and whether they still fit.

        Args:
            check: Digest every file again.
        """
        return states(self._records, check=check)

    def thin_states(self, keep: int = 3, *, key: SigningKey | str | Path | None = None) -> Answer:
        """State: remove stored model states until a few are left; the log says which went.

        What is referenced stays: the opening and the last state, ends of settled and probed
        intervals, states that a resume went on from.

        Args:
            keep: States that stay besides those, evenly spread; 0 or more.
            key: Key file that signs the log, where it is signed; None takes that of the
                environment variable ``GRADLEDGER_KEY``.

        Raises:
            QueryError: ``keep`` is negative. Code Q110.
            StorageError: The run is not closed (S110), or somebody writes it (S111).
            LogError: The log is signed with another key. Code L136.
        """
        if keep < 0:
            raise QueryError(
                "Q110", observed=f"keep={keep}", expected="0 or more", where="states --thin"
            )
        done = thin_states(self._records.path, keep, signing_key(key))
        return thinned(self._records, done.removed, done.kept, done.num_bytes)

    def diff(self, start: int, stop: int, *, by: str = "block", who: str | None = None) -> Answer:
        """State: compare the model after one step with a later one, and name who moved it.

        Args:
            start: The earlier step; 0 is the opening balance.
            stop: The later step.
            by: ``block`` or ``group``.
            who: Key of the movers, as ``by`` in ``trace``.

        Raises:
            QueryError: Q105 column, Q106 steps, Q110 argument.
        """
        return diff(self._records, start, stop, by=by, who=who)

    def first_use(
        self,
        example: int | str | None = None,
        *,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Answer:
        """Rights over time: the first step in which examples acted, and the last clean state.

        Args:
            example: Number, id, or value of a metadata column that names examples (key, path).
            content_class: Content class that the policy gave.
            where: Further filters by name.
            **columns: As in ``follow``.

        Raises:
            QueryError: Q105 column, Q108 nothing matches, Q110 no filter.
        """
        return first_use(self._records, named_filters(example, content_class, where, columns))


def _read(place: Path) -> str:
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(
            "Q131",
            observed=f"{type(error).__name__}: {error}"[:300],
            expected="a text file in UTF-8",
            where=str(place),
        ) from error
