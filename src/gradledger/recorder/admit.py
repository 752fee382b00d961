"""Admit a data set: digest its items, decide, write, and hand back the admitted part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.policy import Policy
from gradledger.recorder.admission import (
    Admission,
    decide_admission,
    metadata_table,
    write_decisions,
)
from gradledger.recorder.erased import deny_erased, erased_among, refuse_erased
from gradledger.recorder.examples import AdmittedDataset, Examples
from gradledger.recorder.presented import item_digest
from gradledger.recorder.recorded_admission import (
    AdmissionRecord,
    compare_content,
    compare_metadata,
    load_admission,
    write_admission,
)
from gradledger.recorder.salts import Salts
from gradledger.recorder.weights import FULL, DepthWeights
from gradledger.rights import known_erasures
from gradledger.segment import SealedSegment
from gradledger.state.torch_state import preserved_rng


class Admitter:
    """Admits data sets to one run.

    Args:
        run_dir: The run.
        policy: The admission policy; None admits all and says so.
        now: The recorded moment of decision.
        profiles: Weights per block of every profile in force.
        verify_content: Whether items are digested now and compared when they are presented.
        recorded: In a resumed run, the admissions that stand; they are not decided again.

    Attributes:
        sealed: Segments of the last admission.
    """

    def __init__(
        self,
        run_dir: Path,
        policy: Policy | None,
        now: datetime,
        profiles: Mapping[str, Sequence[float]],
        *,
        verify_content: bool,
        recorded: Sequence[AdmissionRecord] = (),
        erased: Sequence[str | Path] = (),
    ) -> None:
        self._recorded, self._num_admissions = list(recorded), 0
        self._run_dir, self._policy, self._now = run_dir, policy, now
        self._profiles, self._verify_content = profiles, verify_content
        self._num_decisions = 0
        self.sealed: list[SealedSegment] = []
        self.salts = Salts(run_dir)
        self._erased = known_erasures(run_dir.resolve().parent, erased)

    def admit(
        self,
        dataset: Any,
        metadata: Any,
        examples: Examples,
        weights: DepthWeights,
        check: Callable[[Any], None],
    ) -> AdmittedDataset:
        """Decide every item of a map-style data set.

        Args:
            dataset: Has ``__len__`` and ``__getitem__``.
            metadata: One row per item: attributes of the policy and anything worth asking by.
            examples: Grows by the items of the data set.
            weights: Grows by the profiles in force.
            check: Called with the profile numbers of the admitted examples, before anything is
                written; raises where they cannot be enforced.
        """
        if self._num_admissions < len(self._recorded):
            return self._recognise(dataset, metadata, examples, weights)
        table = metadata_table(metadata, len(dataset))
        contents = self._digests(dataset)
        admission = decide_admission(self._policy, table, self._now)
        admission = deny_erased(admission, erased_among(self._erased, contents, table))
        admitted, code = admission.admitted, admission.code
        profile = self._profiles_in_force(admission, weights)[code]
        is_admitted = admitted[code]
        check(profile[is_admitted])
        first = len(examples)
        sources = _named(table, "source")
        commitments: list[bytes | None] = [None] * table.num_rows
        if self._verify_content:
            pairs = zip(sources.to_pylist(), contents, strict=True)
            commitments = [
                None if content is None else self.salts.commit(source, content)
                for source, content in pairs
            ]
        ids = self.salts.identify(first, table.num_rows)
        numbers = examples.extend(
            code + np.int32(self._num_decisions), profile, is_admitted, sources, commitments, ids
        )
        # Salts first: without them the commitments could never be compared again.
        self.salts.save()
        self.sealed = write_decisions(
            self._run_dir,
            admission,
            self._num_decisions,
            table,
            numbers=numbers,
            example_ids=ids,
            commitments=commitments,
        )
        write_admission(
            self._run_dir,
            (self._num_admissions, first, self._num_decisions),
            (table.num_rows, len(admission)),
            self.sealed,
        )
        self._num_admissions += 1
        self._num_decisions += len(admission)
        kept = np.flatnonzero(is_admitted)
        return AdmittedDataset(dataset, kept.tolist(), numbers[kept].tolist())

    def _recognise(
        self, dataset: Any, metadata: Any, examples: Examples, weights: DepthWeights
    ) -> AdmittedDataset:
        """Take the decisions that stand, after comparing metadata and content with them."""
        recorded = load_admission(self._run_dir, self._recorded[self._num_admissions])
        table = compare_metadata(recorded, metadata, len(dataset))
        sources = _named(table, "source")
        digests = self._digests(dataset, wanted=any(recorded.contents))
        if any(recorded.contents):
            named = sources.to_pylist()
            for place, (digest, content) in enumerate(zip(digests, recorded.contents, strict=True)):
                found = self.salts.commit(named[place], digest or b"")
                compare_content(recorded, place, found, content)
        admission = recorded.admission
        code = admission.code
        is_admitted = admission.admitted[code]
        refuse_erased(
            erased_among(self._erased, digests, table), is_admitted.tolist(), str(self._run_dir)
        )
        numbers = examples.extend(
            code + np.int32(recorded.record.first_decision),
            self._profiles_in_force(admission, weights)[code],
            is_admitted,
            sources,
            recorded.contents,
            recorded.example_ids,
        )
        self.salts.save()  # From now on salts that a visit makes are written at once.
        self._num_admissions += 1
        self._num_decisions = recorded.record.first_decision + len(admission)
        kept = np.flatnonzero(is_admitted)
        return AdmittedDataset(dataset, kept.tolist(), numbers[kept].tolist())

    def _digests(self, dataset: Any, *, wanted: bool | None = None) -> list[bytes | None]:
        """Digest every item once, for its commitment or to know what was erased."""
        needed = self._verify_content if wanted is None else wanted
        if not needed and not self._erased.knows_content:
            return [None] * len(dataset)
        if needed:
            return [item_digest(dataset[place]) for place in range(len(dataset))]
        with preserved_rng():  # Looking must not change what is drawn later.
            return [item_digest(dataset[place]) for place in range(len(dataset))]

    def _profiles_in_force(self, admission: Admission, weights: DepthWeights) -> NDArray[np.int32]:
        """Put the profiles of admitted decisions into force; return the number for each decision.

        Those that are not admitted act nowhere; they bear the number of ``full``.
        """
        codes = admission.profiles.indices.to_numpy()
        numbers = np.full(len(admission.profiles.dictionary), weights.names.index(FULL), np.int32)
        for code in dict.fromkeys(codes[admission.admitted].tolist()):
            name = admission.profiles.dictionary[code].as_py()
            numbers[code] = weights.add(name, self._profiles[name])
        return np.where(admission.admitted, numbers[codes], np.int32(weights.names.index(FULL)))


def _named(table: pa.Table, name: str) -> pa.Array:
    """Return the column that names the source of every example, ``data`` where there is none."""
    if name not in table.column_names:
        return pa.repeat("data", table.num_rows)
    column = table.column(name)
    if pa.types.is_string(column.type):
        return column.fill_null("None").combine_chunks()
    return pa.array([str(value) for value in column.to_pylist()], pa.string())
