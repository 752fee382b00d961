"""Quorum policies: which logs are known, and which witnesses must have cosigned.

Source:
    C2SP tlog-policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint
from gradledger.log.keys import KeyKind, VerifierKey
from gradledger.segment import cannot_read

_NONE: Final = "none"
_MAX_BYTES: Final = 1 << 20
_CONTROL: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_LOG_WORDS: Final = (2, 3)
_WITNESS_WORDS: Final = (3, 4)
_MIN_GROUP_WORDS: Final = 4


@dataclass(frozen=True)
class QuorumPolicy:
    """When a checkpoint counts as witnessed.

    Attributes:
        logs: Keys of known logs, each named as its log or as something above it; empty where the
            log is known otherwise.
        witnesses: Name in the policy -> key.
        groups: Name -> how many members must have cosigned, and the members.
        quorum: Name of the witness or group that decides; ``none`` asks for no cosignature.
        urls: Name of a witness -> where it is asked, for those that say so.
    """

    logs: tuple[VerifierKey, ...]
    witnesses: dict[str, VerifierKey]
    groups: dict[str, tuple[int, tuple[str, ...]]]
    quorum: str
    urls: dict[str, str] = field(default_factory=dict)

    def objection(self, checkpoint: Checkpoint) -> str | None:
        """Return why a checkpoint does not meet the policy; None where it does."""
        if checkpoint.note is None:
            return "nobody signed it"
        try:
            vouching = (key.vouching_for(checkpoint.origin) for key in self.logs)
            keys = [key for key in vouching if key is not None]
            if self.logs and not checkpoint.note.verify(keys):
                return f"no known log signed as {checkpoint.origin}"
            signers = checkpoint.note.verify(self.witnesses.values())
        except LogError as error:
            return error.observed
        cosigned = {name for name, key in self.witnesses.items() if key in signers}
        if self._reached(self.quorum, cosigned):
            return None
        return f"cosigned by {', '.join(sorted(cosigned)) or 'nobody'}, short of {self.quorum!r}"

    def _reached(self, name: str, cosigned: set[str]) -> bool:
        if name == _NONE:
            return True
        if name in self.witnesses:
            return name in cosigned
        threshold, members = self.groups[name]
        return sum(self._reached(member, cosigned) for member in members) >= threshold

    @staticmethod
    def read(path: Path) -> QuorumPolicy:
        """Read a policy file.

        Raises:
            LogError: It is malformed. Code L151.
            StorageError: It cannot be read. Code S113.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise cannot_read(path, error) from error
        return QuorumPolicy.parse(content, str(path))

    @staticmethod
    def parse(content: bytes, where: str = "quorum policy") -> QuorumPolicy:
        """Read the text of a policy.

        Raises:
            LogError: It is malformed. Code L151.
        """
        reading = _Reading(where)
        if len(content) > _MAX_BYTES or _CONTROL.search(content):
            reading.refuse("a control character, or too many bytes", "lines of text")
        for number, line in enumerate(content.decode("utf-8", "surrogateescape").split("\n"), 1):
            words = line.replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if words and not words[0].startswith("#"):
                reading.take(words, number)
        if reading.quorum is None:
            reading.refuse("no quorum line", "one line 'quorum NAME'")
        return QuorumPolicy(
            tuple(reading.logs),
            reading.witnesses,
            reading.groups,
            str(reading.quorum),
            reading.urls,
        )


class _Reading:
    """A policy as far as it was read."""

    def __init__(self, where: str) -> None:
        self._where, self._number = where, 0
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.quorum: str | None = None
        self.urls: dict[str, str] = {}
        self._members: set[str] = set()

    def take(self, words: list[str], number: int) -> None:
        """Read one line."""
        self._number = number
        kinds = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        if words[0] not in kinds:
            self.refuse(f"a line {words[0]!r:.40}", f"one of {', '.join(kinds)}")
        kinds[words[0]](words)

    def refuse(self, observed: str, expected: str) -> NoReturn:
        """Raise the error of a malformed policy."""
        place = f"{self._where}, line {self._number}" if self._number else self._where
        raise LogError("L151", observed=observed, expected=expected, where=place)

    def _log(self, words: list[str]) -> None:
        if len(words) not in _LOG_WORDS:
            self.refuse(f"{len(words)} words", "log VKEY [URL]")
        key = self._key(words[1], KeyKind.LOG)
        if any(key.public == other.public for other in self.logs):
            self.refuse("a log's key twice", "each once")
        self.logs.append(key)

    def _witness(self, words: list[str]) -> None:
        if len(words) not in _WITNESS_WORDS:
            self.refuse(f"{len(words)} words", "witness NAME VKEY [URL]")
        self._check_new(words[1])
        key = self._key(words[2], KeyKind.WITNESS)
        if any(key.public == other.public for other in self.witnesses.values()):
            self.refuse("a witness's key twice", "each once")
        self.witnesses[words[1]] = key
        if len(words) == _WITNESS_WORDS[1]:
            self.urls[words[1]] = words[3]

    def _group(self, words: list[str]) -> None:
        if len(words) < _MIN_GROUP_WORDS:
            self.refuse(f"{len(words)} words", "group NAME all|any|K MEMBER...")
        name, rule, members = words[1], words[2], words[3:]
        self._check_new(name)
        for member in members:
            self._check_defined(member)
            if member in self._members:
                self.refuse(f"the member {member!r:.60} twice", "each name in one group, once")
            self._members.add(member)
        counts = {"all": len(members), "any": 1}
        digits = rule.isascii() and rule.isdigit() and len(rule) < 9  # noqa: PLR2004
        threshold = counts.get(rule, int(rule) if digits else 0)
        if not 1 <= threshold <= len(members):
            self.refuse(f"the threshold {rule!r:.20}", f"all, any, or 1 to {len(members)}")
        self.groups[name] = (threshold, tuple(members))

    def _quorum(self, words: list[str]) -> None:
        if len(words) != 2 or self.quorum is not None:  # noqa: PLR2004
            self.refuse("a second quorum, or other words", "one line 'quorum NAME'")
        if words[1] != _NONE:
            self._check_defined(words[1])
        self.quorum = words[1]

    def _check_new(self, name: str) -> None:
        if name == _NONE or name in self.witnesses or name in self.groups:
            self.refuse(f"the name {name!r:.60} again", "a name of its own")

    def _check_defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            self.refuse(f"the name {name!r:.60}", "one defined on an earlier line")

    def _key(self, text: str, kind: KeyKind) -> VerifierKey:
        try:
            key = VerifierKey.parse(text)
        except LogError as error:
            self.refuse(error.observed, error.expected)
        if key.kind is not kind:
            self.refuse(f"a key of kind {key.kind.name.lower()}", f"kind {kind.name.lower()}")
        return key
