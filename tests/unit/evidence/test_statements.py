"""Statements hold by other people's rules too."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from make_logged import Logged

from gradledger.cli.main import main
from gradledger.errors import LogError
from gradledger.evidence import (
    Envelope,
    check_evidence,
    model_digest,
    policy_statement,
    provenance,
    verification,
)
from gradledger.evidence.dsse import encode
from gradledger.log import KeyKind, SigningKey, save_key
from gradledger.query import Records
from gradledger.verify import check_run

WHY = "install gradledger[standards] to check against OpenSSF Model Signing and securesystemslib"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name in ("b.txt", "a/z", "a-b/c", "a.b", "A", "a/b/c", "\u00e9", "z \U0001f600"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 100)
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").write_text("x")
    (folder / ".gitignore").write_text("x")
    return folder


def test_the_encoding_is_that_of_the_specification() -> None:
    assert (
        encode("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_provenance_names_model_policies_decisions_and_log(
    logged: Logged, logged_records: Records
) -> None:
    record = provenance(logged_records)
    predicate = record["predicate"]
    folder = logged.run_dir / "states/step=10"
    files = {path.name: hashlib.sha256(path.read_bytes()) for path in folder.iterdir()}
    digests = {item["name"]: item["digest"]["sha256"] for item in record["subject"]}
    for name, digest in files.items():
        assert digests[name] == digest.hexdigest()
    joined = b"".join(files[name].digest() for name in sorted(files))
    assert digests["step=10"] == hashlib.sha256(joined).hexdigest()
    assert predicate["recorded_state"]["step"] == 10
    assert sum(item["num_examples"] for item in predicate["decisions"]) == 12
    assert predicate["materials"][0]["name"] == "house@1.0.0"
    assert predicate["log"]["tree_size"] == 36
    assert predicate["run"]["final_sha256"] == "cd" * 32


def test_a_model_of_elsewhere_is_not_tied_to_the_run(logged_records: Records, model: Path) -> None:
    assert provenance(logged_records, model)["predicate"]["recorded_state"] is None


def test_policy_statements_name_the_text(logged: Logged, logged_records: Records) -> None:
    record = policy_statement(logged_records)
    path = next((logged.run_dir / "policies").iterdir())
    assert record["subject"] == [
        {
            "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
            "name": f"policies/{path.name}",
        }
    ]
    verdicts = {item["verdict"]: item["num_examples"] for item in record["predicate"]["decisions"]}
    assert verdicts == {"admit": 10, "deny": 1, "quarantine": 1}


def stated(run_dir: Path) -> tuple[set[str], set[str]]:
    """Properties of a verification, without their common head, and codes of its findings."""
    record = verification(run_dir, check_run(run_dir), "2026-01-02T03:04:05Z", "1")
    properties = {name.removeprefix("GRADLEDGER_") for name in record["predicate"]["properties"]}
    return properties, {item["code"] for item in record["predicate"]["urn:gradledger:findings"]}


def test_results_state_only_what_nothing_denies(recorded: tuple[Path, SigningKey]) -> None:
    run_dir, _ = recorded
    everything, found = stated(run_dir)
    assert len(everything) == 8
    assert found == set()
    # A file that is not as logged: nothing that rests on files is stated any more.
    begin = (run_dir / "end.json").read_text()
    (run_dir / "end.json").write_text(begin + "\n")
    properties, found = stated(run_dir)
    assert properties == {"LOG_CONSISTENT", "LEAVES_WELL_FORMED"}
    assert "V302" in found
    (run_dir / "end.json").write_text(begin)
    assert stated(run_dir)[0] == everything
    tile = next(path for path in (run_dir / "log/tile/0").rglob("*") if path.is_file())
    tile.write_bytes(bytes(len(tile.read_bytes())))
    assert stated(run_dir)[0] == set()


def test_books_that_do_not_balance_are_not_stated_to(recorded: tuple[Path, SigningKey]) -> None:
    """Somebody who may write to all of it logs a false run anew: the records tell."""
    from signed_run import change_table, log_anew

    def change(rows: list[dict]) -> list[dict]:
        rows[0]["residual_dot"] += 1.0
        return rows

    run_dir, key = recorded
    change_table(run_dir, "books", 0, change)
    log_anew(run_dir, key)
    properties, found = stated(run_dir)
    assert "BOOKS_BALANCED" not in properties
    assert "LOG_CONSISTENT" in properties
    assert "V501" in found


def test_a_statement_is_checked_with_a_key_and_a_model(
    logged: Logged, logged_records: Records, tmp_path: Path
) -> None:
    path = tmp_path / "provenance.intoto.jsonl"
    path.write_bytes(bytes(Envelope.sign(provenance(logged_records), logged.key)))
    folder = logged.run_dir / "states/step=10"
    assert check_evidence(path, [logged.verifier], model=folder).findings == []
    assert [f.code for f in check_evidence(path).findings] == ["V860"]
    stranger = SigningKey.generate("stranger").verifier
    assert [f.code for f in check_evidence(path, [stranger]).findings] == ["V860"]
    changed = tmp_path / "step=10"
    shutil.copytree(folder, changed)
    (changed / "model.safetensors").write_bytes(b"other weights")
    found = check_evidence(path, [logged.verifier], model=changed)
    assert {f.code for f in found.findings} == {"V861"}
    path.write_bytes(bytes(Envelope.sign(policy_statement(logged_records), logged.key)))
    assert check_evidence(path, [logged.verifier]).is_sound
    (only,) = check_evidence(path, [logged.verifier], model=folder).findings
    assert (only.code, only.place) == ("V861", "subject")
    assert "without a model" in only.expected


def test_other_peoples_statements_are_told_apart(logged: Logged, tmp_path: Path) -> None:
    record = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }
    path = tmp_path / "other.jsonl"
    path.write_bytes(bytes(Envelope.sign(record, logged.key)))
    assert [f.code for f in check_evidence(path, [logged.verifier]).findings] == ["V861"]


def test_a_witness_states_nothing(logged_records: Records) -> None:
    with pytest.raises(LogError) as caught:
        Envelope.sign(provenance(logged_records), SigningKey.generate("w", KeyKind.WITNESS))
    assert caught.value.code == "L184"


def test_folders_that_are_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/weights").symlink_to("/etc/hostname")
    for name in ("empty", "linked", "none"):
        with pytest.raises(LogError) as caught:
            model_digest(tmp_path / name)
        assert caught.value.code == "L184"


def test_the_commands(
    recorded: tuple[Path, SigningKey], tmp_path: Path, monkeypatch, capsys
) -> None:
    run_dir, key = recorded
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADLEDGER_KEY", raising=False)
    save_key(key, tmp_path / "key")
    for name in ("provenance", "policy", "verification"):
        words = ["statement", name, str(run_dir)]
        assert main(words) == 2
        assert "L103" in capsys.readouterr().err
        assert main([*words, "--key", "key"]) == 0
        assert main([*words, "--key", "key"]) == 2
        assert "L182" in capsys.readouterr().err
        assert main(["check", f"{name}.intoto.jsonl", "--key", str(key.verifier)]) == 0
        assert main(["check", f"{name}.intoto.jsonl"]) == 1
    (run_dir / "end.json").write_text((run_dir / "end.json").read_text() + "\n")
    words = ["statement", "verification", str(run_dir), "--key", "key", "--out", "bad.jsonl"]
    assert main(words) == 1
    assert (tmp_path / "bad.jsonl").exists()
    capsys.readouterr()


# -- against the projects whose forms these are ------------------------------------------------


def test_model_signing_computes_the_same_digest(model: Path) -> None:
    hashing = pytest.importorskip("model_signing.hashing", reason=WHY)
    signing = pytest.importorskip("model_signing._signing.signing", reason=WHY)
    mine = model_digest(model)
    theirs = signing.Payload(hashing.Config().hash(model)).statement.pb
    assert theirs.subject[0].name == mine.name
    assert theirs.subject[0].digest["sha256"] == mine.root
    # Their reader takes our predicate, and computes the root digest again.
    statement = {
        "subject": [{"name": mine.name, "digest": {"sha256": mine.root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": mine.predicate(),
    }
    assert signing.dsse_payload_to_manifest(statement) == hashing.Config().hash(model)
    statement["predicate"]["resources"].reverse()
    with pytest.raises(ValueError, match="inconsistent"):
        signing.dsse_payload_to_manifest(statement)


def test_model_signing_verifies_a_signature_over_our_predicate(model: Path, tmp_path: Path) -> None:
    """Their verifier, from the command's own class, over a bundle that holds our statement."""
    verifying = pytest.importorskip("model_signing.verifying", reason=WHY)
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(public)
    mine = model_digest(model)
    payload = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": mine.name, "digest": {"sha256": mine.root}}],
            "predicateType": "https://model_signing/signature/v1.0",
            "predicate": mine.predicate(),
        }
    ).encode()
    kind = "application/vnd.in-toto+json"
    made = key.sign(encode(kind, payload), ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(public).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": [{"sig": base64.b64encode(made).decode(), "keyid": ""}],
        },
    }
    (tmp_path / "model.sig").write_text(json.dumps(bundle))

    def verify() -> None:
        config = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "key.pem")
        config.verify(model, tmp_path / "model.sig")

    verify()
    (model / "A").write_bytes(b"changed")
    with pytest.raises(ValueError, match="mismatch"):
        verify()


def test_securesystemslib_verifies_our_envelope(logged: Logged, logged_records: Records) -> None:
    dsse = pytest.importorskip("securesystemslib.dsse", reason=WHY)
    signer = pytest.importorskip("securesystemslib.signer", reason=WHY)
    from securesystemslib.exceptions import VerificationError

    content = bytes(Envelope.sign(provenance(logged_records), logged.key))
    envelope = dsse.Envelope.from_dict(json.loads(content))
    keyid = hashlib.sha256(logged.verifier.public).hexdigest()
    keyval = {"public": logged.verifier.public.hex()}
    key = signer.SSlibKey(keyid, "ed25519", "ed25519", keyval)
    assert list(envelope.verify([key], 1)) == [keyid]
    envelope.payload += b" "
    with pytest.raises(VerificationError):
        envelope.verify([key], 1)
