"""Every parser that meets bytes of a stranger: its good inputs, and the one way that it may refuse.

A target reads bytes and either returns or raises an error of this package with a code. What is in a
run or in evidence is never an excuse for another exception, a hang, or memory without end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from gradledger.canon import canonical_json, parse_json, read_leaf
from gradledger.evidence import AbsenceEvidence, Envelope, EvidenceReceipt, check_evidence
from gradledger.evidence.container import read_zip
from gradledger.ledger import open_ledger
from gradledger.log import (
    Checkpoint,
    CosignRequest,
    LastSigned,
    LogDescription,
    Note,
    QuorumPolicy,
    Receipt,
    RowReceipt,
    SigningKey,
    VerifierKey,
    check_manifest,
    hash_segment,
    parse_waiting,
)
from gradledger.merkle import TileId, decode_bundle, leaf_hash, split_tile
from gradledger.policy import check, decide, load_policy
from gradledger.policy.metadata import read_metadata
from gradledger.rights import header_license, normalise, package_license, satisfies
from gradledger.segment import AppendLog, read_append_log, read_segment, segment_of, step_range
from gradledger.state import model_file_digest
from gradledger.verify import check_run

Read = Callable[[bytes], object]
TEXTS = (
    b"MIT",
    b"GPL-2.0-or-later WITH Classpath-exception-2.0 AND (MIT OR Apache-2.0)",
    b"LicenseRef-a OR NOASSERTION",
    b"((((MIT))))",
)
PREDICATES = (
    b"source IN ('deep', 'shallow')",
    b"size > 3 AND NOT (score <= -1.5e3 OR source LIKE 'a%_b')",
    b"size BETWEEN 1 AND 9 OR born = '2024-01-01 00:00:00Z'",
    b"starts_with(lower(source), 'x') AND born < now()",
    b"spdx_satisfies(source, :open) AND length(source) <> 2",
    b"born >= now() AND flag OR upper(source) = 'X'",
)
TABLES = (b'source,size\ndeep,1\n"a,b",\n', b'{"source": "deep", "size": 3}\n{"size": null}\n')
METADATA = (
    b"Metadata-Version: 2.1\nName: x\nLicense-Expression: MIT\nClassifier: License :: OSI\n\n"
)


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        read: Takes bytes.
        seeds: Good inputs.
    """

    read: Read
    seeds: tuple[bytes, ...]


def targets(material: Path, work: Path) -> dict[str, Callable[[], Target]]:
    """Return what makes each target, by name.

    Args:
        material: From ``make_material``.
        work: A folder with a copy of the run that the target may damage.
    """
    evidence, run = material / "evidence", work / "run"

    def seeds(*names: str) -> tuple[bytes, ...]:
        return tuple(path.read_bytes() for name in names for path in sorted(evidence.glob(name)))

    def in_run(name: str, read: Read) -> Target:
        path = run / name

        def replaced(content: bytes) -> object:
            path.write_bytes(content)
            return read(content)

        return Target(replaced, (path.read_bytes(),))

    log = run / "log"
    waiting = b"".join(
        index.to_bytes(8, "big") + len(leaf).to_bytes(2, "big") + leaf + leaf_hash(leaf)
        for index, leaf in enumerate((b"leaf", b"other"))
    )
    return {
        "note": lambda: Target(_note(evidence), seeds("note")),
        "checkpoint": lambda: Target(Checkpoint.parse, (*seeds("note"), _unsigned(evidence))),
        "receipt": lambda: Target(_receipt, seeds("receipt")),
        "row_receipt": lambda: Target(_row_receipt, seeds("row")),
        "witness_request": lambda: Target(CosignRequest.parse, seeds("request")),
        "quorum": lambda: Target(QuorumPolicy.parse, seeds("quorum")),
        "keys": lambda: Target(_keys, seeds("verifier", "secret")),
        "log_files": lambda: Target(
            _log_files,
            ((log / "log.json").read_bytes(), (log / "last-signed.json").read_bytes(), waiting),
        ),
        "tiles": lambda: Target(_tiles, _tile_seeds(log)),
        "leaf": lambda: Target(read_leaf, seeds("leaf-*")),
        "json": lambda: Target(_json, (*seeds("leaf-00"), (run / "run.json").read_bytes())),
        "run_json": lambda: in_run("run.json", lambda _: _ask(run)),
        "end_json": lambda: in_run("end.json", lambda _: _ask(run)),
        "manifest": lambda: in_run("manifest.json", lambda _: check_manifest(run)),
        "segment": lambda: _segment(work, sorted(run.rglob("part-*.parquet"))),
        "segment_in_run": lambda: in_run("visits/part-000000.parquet", lambda _: _ask(run)),
        "model_state": lambda: in_run(
            "states/step=4/model.safetensors",
            lambda _: model_file_digest(run / "states/step=4/model.safetensors"),
        ),
        "log_in_run": lambda: in_run(_bundle_name(run), lambda _: check_run(run)),
        "append_log": lambda: _append_log(work),
        "policy": lambda: Target(_policy, seeds("policy.yaml")),
        "predicate": lambda: Target(_predicate, PREDICATES),
        "spdx": lambda: Target(_spdx, TEXTS),
        "metadata": lambda: Target(_metadata, (METADATA, b"# SPDX-License-Identifier: MIT\n")),
        "table": lambda: _tabular(work),
        "bundle": lambda: _evidence(work, "bundle.zip", seeds("bundle.zip"), read_zip),
        "evidence": lambda: _evidence(work, "e.json", seeds("*.json"), _evidence_json),
        "statement": lambda: _evidence(work, "s.json", seeds("*.dsse"), Envelope.parse),
    }


def _note(evidence: Path) -> Read:
    key = VerifierKey.parse((evidence / "verifier").read_text())
    return lambda content: Note.parse(content).verify([key])


def _unsigned(evidence: Path) -> bytes:
    head = Checkpoint.parse((evidence / "note").read_bytes())
    return bytes(Checkpoint(head.origin, head.size, head.root))


def _receipt(content: bytes) -> object:
    return Receipt.parse(content).check_inclusion(b"leaf")


def _row_receipt(content: bytes) -> object:
    found = RowReceipt.parse(content)
    return found.check_row(), found.check_log(), found.values()


def _keys(content: bytes) -> object:
    text = content.decode("utf-8", "surrogateescape")
    return SigningKey.from_secret_text(text) if "PRIVATE" in text else VerifierKey.parse(text)


def _log_files(content: bytes) -> object:
    if content[:1] != b"{":
        return list(parse_waiting(content))
    return LogDescription.parse(content) if b"keys" in content else LastSigned.parse(content, "x")


def _tile_seeds(log: Path) -> tuple[bytes, ...]:
    files = [path for path in sorted(log.rglob("*")) if path.is_file() and "tile" in path.parts]
    return (*(path.read_bytes() for path in files), b"tile/entries/x001/x234/067.p/8")


def _tiles(content: bytes) -> object:
    if content[:4] == b"tile":
        return TileId.parse(content.decode("utf-8", "replace"))
    if b"gradledger" in content:
        return decode_bundle(content, content.count(b'"format"'))
    return split_tile(content, len(content) // 32)


def _json(content: bytes) -> object:
    return canonical_json(parse_json(content))


def _bundle_name(run: Path) -> str:
    paths = (run / "log/tile/entries/000.p").iterdir()
    return max(paths, key=lambda path: int(path.name)).relative_to(run).as_posix()


def _ask(run: Path) -> object:
    """Verify, then open and ask: both meet whatever the run holds."""
    check_run(run)
    with open_ledger(run) as ledger:
        return ledger.info(), ledger.steps(), ledger.orphans(), ledger.trace()


def _segment(work: Path, paths: list[Path]) -> Target:
    def read(content: bytes) -> object:
        path = work / "part-000000.parquet"
        path.write_bytes(content)
        if b"fingerprint_before" in content:
            step_range(path)
        segment_of(work, path)
        return read_segment(path), hash_segment(path)

    return Target(read, tuple(path.read_bytes() for path in paths))


def _append_log(work: Path) -> Target:
    path = work / "log"
    log = AppendLog(path)
    log.append({"step": 1, "kind": "intent"}, b"body")
    log.append({"step": 1, "kind": "commit"}, bytes(40))
    log.close()

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return read_append_log(path)

    return Target(read, (path.read_bytes(),))


def _policy(content: bytes) -> object:
    text = content.decode("utf-8", "replace") + "\n"
    check(text)
    return load_policy(text)


_AROUND = """
format: gradledger.policy/1
policy: fuzz
version: "1"
attributes:
  source: {type: string}
  size: {type: int}
  score: {type: float}
  flag: {type: bool}
  born: {type: timestamp}
params:
  open: [MIT, Apache-2.0]
rules:
  - {id: known, effect: admit, when: %s}
"""


def _predicate(content: bytes) -> object:
    text = json.dumps(content.decode("utf-8", "replace"))
    policy = load_policy(_AROUND % text)
    table = pa.table({name: pa.nulls(2, kind) for name, kind in _COLUMNS.items()})
    return decide(policy, table, _MOMENT, {"spdx_satisfies": satisfies})


_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
_COLUMNS = {"source": pa.string(), "size": pa.int64(), "score": pa.float64(), "flag": pa.bool_(),
            "born": pa.timestamp("us", tz="UTC")}  # fmt: skip


def _spdx(content: bytes) -> object:
    text = content.decode("utf-8", "surrogateescape")
    return normalise(text), satisfies(text, ["MIT", "Apache-2.0", text])


def _metadata(content: bytes) -> object:
    text = content.decode("utf-8", "surrogateescape")
    return package_license(text), header_license(text)


def _tabular(work: Path) -> Target:
    policy = load_policy(_AROUND % json.dumps("size > 1"))

    def read(content: bytes) -> object:
        suffix = "jsonl" if content[:1] == b"{" else "csv"
        path = work / f"table.{suffix}"
        path.write_bytes(content)
        return read_metadata(path, [policy], ["source"])

    return Target(read, TABLES)


def _evidence(work: Path, name: str, seeds: tuple[bytes, ...], parse: Read) -> Target:
    def read(content: bytes) -> object:
        path = work / name
        path.write_bytes(content)
        check_evidence(path)
        return parse(content)

    return Target(read, seeds)


def _evidence_json(content: bytes) -> object:
    absent = b"absence/1" in content
    return AbsenceEvidence.parse(content) if absent else EvidenceReceipt.parse(content)


def names() -> list[str]:
    """Name all targets."""
    return list(targets(Path(), Path()))
