"""Everything that the demo trains on: windows, their metadata, the tokenizer and the policy.

The policy is asked before anything is learnt from the text: its decisions on files choose what the
tokenizer is trained on and which windows are shown as admitted. The recorder asks it again for
every window. Both get the same attributes, all of them facts about the file, so both answer alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gradledger.demo.canary import canary_tokens, plant
from gradledger.demo.corpus import Corpus, build_corpus, interleave
from gradledger.demo.heldout import held_out_texts, probe_tokens
from gradledger.demo.sizes import WINDOW_TOKENS, CorpusSize
from gradledger.demo.source import SourceFile
from gradledger.demo.tokenizer import train_tokenizer
from gradledger.demo.windows import Window, cut_windows, tokens_of, window_columns
from gradledger.policy import Policy, decide, load_policy
from gradledger.rights import satisfies
from gradledger.schema import Decision

__all__ = ["DemoData", "decide_files", "load_demo_data", "policy_path"]


@dataclass(frozen=True)
class DemoData:
    """The data of one size of the demo.

    Attributes:
        size: The size.
        tokens: Token numbers, int64 of shape [N, WINDOW_TOKENS]; targets are the tokens themselves,
            shifted by one within the model's loss.
        columns: Metadata, one list of length N per column.
        decisions: What the policy decided for each window, by way of its file.
        policy_path: The policy document.
        tokenizer: Trained on admitted files alone.
        tokenizer_record: What it was trained on, and its digest.
        windows: The windows themselves.
        corpus: The sample of files that they were cut from.
        probe_tokens: Windows of each behaviour that probes follow, int64 of shape [n, length]; none
            of them is trained on, but for the canary within planted windows.
        counts: Windows by verdict, class, profile and package; files and wheels.
    """

    size: CorpusSize
    tokens: NDArray[np.int64]
    columns: dict[str, list[Any]]
    decisions: tuple[Decision, ...]
    policy_path: Path
    tokenizer: Tokenizer
    tokenizer_record: dict[str, Any]
    windows: tuple[Window, ...]
    corpus: Corpus
    counts: dict[str, Any]
    probe_tokens: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        """Return the number of windows, admitted or not."""
        return len(self.windows)

    def text(self, index: int) -> str:
        """Return the source text of one window, for showing it to a person.

        Args:
            index: Place of the window among all, as in ``tokens`` and ``columns``.
        """
        return self.windows[index].text

    @property
    def vocab_size(self) -> int:
        """Entries of the tokenizer."""
        return int(self.tokenizer.get_vocab_size())

    def describe(self) -> str:
        """Return a few lines on what was read, what was decided and what is trained on."""
        counts = self.counts
        refused = {
            verdict: number for verdict, number in counts["verdicts"].items() if verdict != "admit"
        }
        files = (
            f"{counts['wheels']} wheels, {counts['files_found']} Python files;"
            f" {counts['files_sampled']} sampled, {counts['files_admitted']} of them admitted"
        )
        windows = (
            f"{counts['windows_admitted']} windows of {WINDOW_TOKENS} tokens admitted;"
            f" not admitted: {_listed(refused)}"
        )
        profiles = f"depth profiles: {_listed(counts['profiles'])}"
        tokenizer = f"tokenizer of {self.vocab_size} entries, trained on admitted files alone"
        return "\n".join((files, windows, profiles, tokenizer))

    @property
    def admitted(self) -> NDArray[np.int64]:
        """Places of the admitted windows, ascending."""
        verdicts = (decision.verdict == "admit" for decision in self.decisions)
        return np.flatnonzero(np.fromiter(verdicts, dtype=bool, count=len(self.decisions)))


def policy_path() -> Path:
    """Return the path of the demo's policy document."""
    with as_file(files("gradledger.demo").joinpath("policy.yaml")) as path:
        return path


def load_demo_data(
    size: str | CorpusSize, cache: Path, *, policy: Path | None = None, now: datetime | None = None
) -> DemoData:
    """Build the data of one size from the wheels in a cache.

    Args:
        size: ``tiny``, ``small`` or ``medium``, or a size of one's own.
        cache: Folder of wheels, as filled by :mod:`gradledger.demo.fetch`.
        policy: Policy document; by default the demo's own.
        now: Time at which the policy decides; by default the present.

    Returns:
        The same data for the same wheels, size, policy and time.

    Raises:
        StorageError: S153 if a wheel is missing.
        InputError: I104 for an unknown size or a policy that admits nothing; I152, I153 for a wheel
            that is not what it should be.
        PolicyError: The policy cannot be read.
    """
    corpus = build_corpus(cache, size)
    path = policy if policy is not None else policy_path()
    moment = now if now is not None else datetime.now(UTC)
    decisions = decide_files(load_policy(path), corpus.files, moment)
    admitted = [
        file
        for file, decision in zip(corpus.files, decisions, strict=True)
        if decision.verdict == "admit"
    ]
    tokenizer, record = train_tokenizer(admitted, corpus.size.vocab_size)
    cut = cut_windows(
        corpus.files, tokenizer, length=WINDOW_TOKENS, per_file=corpus.size.windows_per_file
    )
    chosen = _choose(cut, decisions, corpus.size)
    decided = tuple(decisions[place] for place, _ in chosen)
    windows = plant([window for _, window in chosen], decided, tokenizer)
    return DemoData(
        size=corpus.size,
        tokens=tokens_of(windows, WINDOW_TOKENS),
        columns=window_columns(windows),
        decisions=decided,
        policy_path=path,
        tokenizer=tokenizer,
        tokenizer_record=record,
        windows=windows,
        corpus=corpus,
        counts=_counts(corpus, admitted, windows, decided),
        probe_tokens=_probe_tokens(corpus, windows, tokenizer),
    )


def _probe_tokens(
    corpus: Corpus, windows: Sequence[Window], tokenizer: Tokenizer
) -> dict[str, NDArray[np.int64]]:
    """Return the windows of every behaviour; the canary is followed where it is planted."""
    found = {
        name: probe_tokens(texts, tokenizer, WINDOW_TOKENS)
        for name, texts in held_out_texts(corpus.held_out).items()
    }
    if any(window.planted for window in windows):
        found["canary"] = np.array([canary_tokens(tokenizer)], dtype=np.int64)
    return found


def decide_files(policy: Policy, files: Sequence[SourceFile], now: datetime) -> list[Decision]:
    """Ask the policy about files.

    Args:
        policy: The policy.
        files: Files; at least one.
        now: Time at which it decides.

    Returns:
        One decision per file; files with equal attributes share one.
    """
    rows = [file.attributes() for file in files]
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    decided = decide(policy, table, now, {"spdx_satisfies": satisfies})
    return [decided.distinct[number] for number in decided.code]


def _choose(
    cut: Sequence[Sequence[Window]], decisions: Sequence[Decision], size: CorpusSize
) -> list[tuple[int, Window]]:
    """Windows up to the numbers of the size, with the places of their files, in corpus order."""
    admitted: list[int] = []
    refused: dict[tuple[str, str], list[int]] = {}
    for place, decision in enumerate(decisions):
        if decision.verdict == "admit":
            admitted.append(place)
        else:
            refused.setdefault((decision.verdict, decision.content_class), []).append(place)
    # Reasons for a refusal take turns, so that even a small demo shows all of them.
    turns = list(interleave([refused[reason] for reason in sorted(refused)]))
    chosen: list[tuple[int, Window]] = []
    for places, wanted in ((admitted, size.num_admitted), (turns, size.num_refused)):
        found = [(place, window) for place in places for window in cut[place]]
        chosen += found[:wanted]
    return sorted(chosen, key=lambda pair: (pair[0], pair[1].index))


def _listed(counts: dict[str, int]) -> str:
    """Names with their numbers, most first."""
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number} {name}" for name, number in ranked) or "none"


def _counts(
    corpus: Corpus,
    admitted: Sequence[SourceFile],
    windows: Sequence[Window],
    decisions: Sequence[Decision],
) -> dict[str, Any]:
    """Totals for the opening lines of the demo."""
    kept = [decision for decision in decisions if decision.verdict == "admit"]
    return {
        "wheels": len(corpus.wheels),
        "files_found": corpus.num_found,
        "files_eligible": corpus.num_eligible,
        "files_sampled": len(corpus.files),
        "files_admitted": len(admitted),
        "windows": len(windows),
        "windows_admitted": len(kept),
        "verdicts": dict(Counter(decision.verdict for decision in decisions)),
        "classes": dict(Counter(decision.content_class for decision in decisions)),
        "profiles": dict(Counter(decision.profile for decision in kept)),
        "packages": dict(Counter(window.file.package for window in windows)),
        "planted": dict(Counter(window.file.package for window in windows if window.planted)),
    }
