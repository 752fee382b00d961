"""Statements about a run that others can read: provenance, policy, result of a verification."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from gradledger.errors import LogError
from gradledger.evidence.dsse import statement
from gradledger.evidence.logged import LoggedRun
from gradledger.evidence.model_digest import MODEL_SIGNING_TYPE, ModelDigest, model_digest
from gradledger.query import Records, verdict_counts
from gradledger.schema import PolicyLeaf, StateLeaf
from gradledger.verify import Report

PROVENANCE_TYPE: Final = "urn:gradledger:training-provenance:v1"
POLICY_TYPE: Final = "urn:gradledger:admission-policy:v1"
RESULT_TYPE: Final = "https://in-toto.io/attestation/svr/v0.1"
VERIFIER_ID: Final = "urn:gradledger:verifier:v1"
_FINDINGS: Final = "urn:gradledger:findings"
_NOTICES: Final = "urn:gradledger:notices"

#: Findings that leave files or records unread: what rests on them was not checked.
_UNREAD: Final = ("V1", "V2", "V3", "V405")
#: Property -> beginnings of the codes, of findings or notices, with which it is not stated.
_PROPERTIES: Final[dict[str, tuple[str, ...]]] = {
    "GRADLEDGER_LOG_CONSISTENT": ("V1",),
    "GRADLEDGER_LEAVES_WELL_FORMED": ("V1", "V2"),
    "GRADLEDGER_FILES_AS_LOGGED": ("V1", "V2", "V3"),
    "GRADLEDGER_SEQUENCE_UNBROKEN": (*_UNREAD, "V4"),
    "GRADLEDGER_BOOKS_BALANCED": (*_UNREAD, "V5"),
    "GRADLEDGER_DECISIONS_REPEATED": (*_UNREAD, "V6", "V905"),
    "GRADLEDGER_NO_VISIT_BEYOND_PERMISSION": (*_UNREAD, "V7"),
    "GRADLEDGER_STATES_AS_RECORDED": (*_UNREAD, "V8"),
}


def provenance(records: Records, model: Path | None = None) -> dict[str, Any]:
    """Return the statement how a model was trained.

    Args:
        records: The run.
        model: Folder of the model; that of the last stored state by default.

    Raises:
        LogError: The run has no log (L132), or the folder holds no model (L184).
        StorageError: A file cannot be read. Code S113.
    """
    logged = LoggedRun(records.path)
    digest = model_digest(model or _last_state(records.path))
    begin, end = records.begin, records.end
    predicate = {
        "decisions": verdict_counts(records),
        "log": _log(logged),
        "materials": [_policy(leaf) for _, leaf in logged.of_kind(PolicyLeaf)],
        "model": {"name": digest.name, "predicateType": MODEL_SIGNING_TYPE, **digest.predicate()},
        "opening_balance": begin.opening_balance,
        "optimizer": {name: begin.optimizer.get(name) for name in ("class", "family")},
        "recorded_state": _recorded(logged, digest),
        "run": {
            "closed_at": end.closed_at if end else None,
            "created_at": begin.created_at,
            "final_sha256": end.final_digest if end else None,
            "num_steps": end.num_steps if end else None,
            "num_visits": end.num_visits if end else None,
            "recording_level": begin.level,
            "run_id": begin.run_id,
        },
    }
    subject = [(digest.name, digest.root), *digest.files.items()]
    return statement(subject, PROVENANCE_TYPE, predicate)


def policy_statement(records: Records) -> dict[str, Any]:
    """Return the statement which policies admitted and refused examples of a run.

    Raises:
        LogError: The run has no log (L132), or no policy in it (L184).
    """
    logged = LoggedRun(records.path)
    policies = [leaf for _, leaf in logged.of_kind(PolicyLeaf)]
    if not policies:
        raise LogError(
            "L184",
            observed="no policy in the log",
            expected="a run that was recorded with a policy",
            where=str(records.path),
        )
    subject = [(file.path, file.sha256) for leaf in policies for file in leaf.files]
    predicate = {
        "decisions": verdict_counts(records),
        "log": _log(logged),
        "policies": [_policy(leaf) for leaf in policies],
        "run_id": records.begin.run_id,
    }
    return statement(subject, POLICY_TYPE, predicate)


def verification(run_dir: Path, report: Report, moment: str, version: str) -> dict[str, Any]:
    """Return the statement what a verification of a run found.

    Properties are those that nothing denies: with a finding of their kind, or with one that left
    unread what they rest on, they are not stated.

    Args:
        run_dir: The run.
        report: What ``check_run`` returned.
        moment: When it was checked, ISO 8601 UTC.
        version: Version of this software.

    Raises:
        LogError: The run has no readable log. Codes L111, L113 and L132.
        StorageError: A file cannot be read. Code S113.
    """
    log = _log(LoggedRun(run_dir))
    text = str(log["checkpoint"]).encode()
    wrong = [finding for finding in report.findings if not finding.is_notice]
    predicate = {
        "properties": [
            name
            for name, denied_by in _PROPERTIES.items()
            if not any(finding.code.startswith(denied_by) for finding in report.findings)
        ],
        "timeCreated": moment,
        "verifier": {"id": VERIFIER_ID, "version": {"gradledger": version}},
        _FINDINGS: [{"code": finding.code, "title": finding.title} for finding in wrong],
        _NOTICES: [finding.code for finding in report.findings if finding.is_notice],
        "urn:gradledger:log": log,
    }
    subject = [(str(log["origin"]), hashlib.sha256(text).hexdigest())]
    return statement(subject, RESULT_TYPE, predicate)


def _log(logged: LoggedRun) -> dict[str, Any]:
    head = logged.reader.checkpoint
    return {
        "checkpoint": head.text,
        "origin": head.origin,
        "root_hash": head.root.hex(),
        "signed": head.signed,
        "tree_size": head.size,
        "verifier_keys": [str(key) for key in logged.reader.description.keys],
    }


def _policy(leaf: PolicyLeaf) -> dict[str, Any]:
    return {
        "digest": {"sha256": leaf.files[0].sha256 if leaf.files else leaf.policy_sha256},
        "name": f"{leaf.policy_id}@{leaf.policy_version}",
        "policy_sha256": leaf.policy_sha256,
    }


def _recorded(logged: LoggedRun, digest: ModelDigest) -> dict[str, Any] | None:
    """Return the stored state whose logged files are the model's; None where none holds them all.

    Files of a state that are no model (its optimizer, its record) need not be in the folder.
    """
    wanted = set(digest.files.values())
    for index, leaf in reversed(list(logged.of_kind(StateLeaf))):
        if wanted and wanted <= {file.sha256 for file in leaf.files}:
            return {"leaf": index, "state_sha256": leaf.state_sha256, "step": leaf.step}
    return None


def _last_state(run_dir: Path) -> Path:
    found = [
        (int(path.name[5:]), path)
        for path in (run_dir / "states").glob("step=*")
        if path.name[5:].isdigit()
    ]
    if not found:
        raise LogError(
            "L184",
            observed="no stored state",
            expected="a model",
            where=str(run_dir),
            hint="name the folder of the model with --model",
        )
    return max(found)[1]
