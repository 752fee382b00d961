"""Admit a data set: digest its items, decide, write, and hand back the admitted part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from gradledger.policy import Policy
from gradledger.recorder.admission import decide_admission, metadata_table, write_decisions
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
from gradledger.schema import Decision


class Admitter:
    """Admits data sets to one run.

    Args:
        run_dir: The run.
        policy: The admission policy; None admits all and says so.
        now: The recorded moment of decision.
        profiles: Weights per block of every profile in force.
        verify_content: Whether items are digested now and compared when they are presented.
        recorded: In a resumed run, the admissions that stand; they are not decided again.
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
    ) -> None:
        self._recorded, self._num_admissions = list(recorded), 0
        self._run_dir, self._policy, self._now = run_dir, policy, now
        self._profiles, self._verify_content = profiles, verify_content
        self._num_decisions = 0
        self.salts = Salts(run_dir)

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
        admission = decide_admission(self._policy, table, self._now)
        profiles = [self._profile(decision, weights) for decision in admission.distinct]
        admitted = np.asarray([d.verdict == "admit" for d in admission.distinct], np.bool_)
        code = admission.code
        profile = np.asarray(profiles, np.int32)[code]
        check(profile[admitted[code]])
        names = table.column_names
        sources = (
            [str(value) for value in table.column("source").to_pylist()]
            if "source" in names
            else ["data"] * table.num_rows
        )
        keys = (
            [str(value) for value in table.column("key").to_pylist()]
            if "key" in names
            else [f"{len(examples) + place}" for place in range(table.num_rows)]
        )
        commitments: list[bytes | None] = [None] * table.num_rows
        if self._verify_content:
            commitments = [
                self.salts.commit(source, item_digest(dataset[place]))
                for place, source in enumerate(sources)
            ]
        ids = [
            self.salts.identify(f"{len(examples) + place}:{key}") for place, key in enumerate(keys)
        ]
        numbers = examples.extend(
            code + np.int32(self._num_decisions), profile, admitted[code], sources, commitments, ids
        )
        # Salts first: without them the commitments could never be compared again.
        self.salts.save()
        sealed = write_decisions(
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
            (self._num_admissions, len(examples) - len(numbers), self._num_decisions),
            (table.num_rows, len(admission.distinct)),
            sealed,
        )
        self._num_admissions += 1
        self._num_decisions += len(admission.distinct)
        kept = np.flatnonzero(admitted[code])
        return AdmittedDataset(dataset, kept.tolist(), numbers[kept].tolist())

    def _recognise(
        self, dataset: Any, metadata: Any, examples: Examples, weights: DepthWeights
    ) -> AdmittedDataset:
        """Take the decisions that stand, after comparing metadata and content with them."""
        recorded = load_admission(self._run_dir, self._recorded[self._num_admissions])
        compare_metadata(recorded, metadata, len(dataset))
        sources = [str(value) for value in recorded.columns.get("source", [])]
        sources = sources or ["data"] * len(recorded.code)
        for place, (source, content) in enumerate(zip(sources, recorded.contents, strict=True)):
            if content is not None:
                found = self.salts.commit(source, item_digest(dataset[place]))
                compare_content(recorded, place, found, content)
        admitted = np.asarray([verdict == "admit" for verdict in recorded.verdicts], np.bool_)
        profile = np.asarray(
            [
                weights.add(name, self._profiles[name]) if admits else weights.names.index(FULL)
                for name, admits in zip(recorded.profiles, admitted, strict=True)
            ],
            np.int32,
        )
        code, first = recorded.code, np.int32(recorded.record.first_decision)
        numbers = examples.extend(
            code + first,
            profile[code],
            admitted[code],
            sources,
            recorded.contents,
            recorded.example_ids,
        )
        self._num_admissions += 1
        self._num_decisions = recorded.record.first_decision + recorded.record.num_decisions
        kept = np.flatnonzero(admitted[code])
        return AdmittedDataset(dataset, kept.tolist(), numbers[kept].tolist())

    def _profile(self, decision: Decision, weights: DepthWeights) -> int:
        """Put the profile of an admitted decision into force; return its number."""
        if decision.verdict != "admit":
            return weights.names.index(FULL)
        return weights.add(decision.profile, self._profiles[decision.profile])
