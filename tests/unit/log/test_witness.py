from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gradledger.errors import LogError
from gradledger.log import (
    CosignRequest,
    DirectoryWitness,
    KeyKind,
    Log,
    LogReader,
    QuorumPolicy,
    SigningKey,
    cosign_log,
)

ORIGIN = "example.org/runs/1"


@pytest.fixture
def witness(tmp_path: Path, key: SigningKey) -> DirectoryWitness:
    own = SigningKey.generate("witness.example/1", KeyKind.WITNESS)
    return DirectoryWitness(tmp_path / "witness", own, [key.named(ORIGIN).verifier])


def request_of(log: LogReader, old_size: int) -> CosignRequest:
    proof = tuple(log.consistency_proof(old_size))
    return CosignRequest(old_size, proof, log.checkpoint)


def test_a_witness_cosigns_what_extends(run_dir: Path, key, fill, witness) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        for size in (1, 4, 300):
            fill(log, size)
            head = log.cosign(witness)
            assert head.note.verify([witness.verifier]) == [witness.verifier]
            assert witness.last_size(ORIGIN) == size
    head = cosign_log(run_dir, witness)
    assert [signature.name for signature in head.note.signatures] == [ORIGIN, "witness.example/1"]
    assert LogReader(run_dir).checkpoint == head
    with Log.open(run_dir, key) as log:
        assert log.receipt(5).checkpoint == head


def test_a_witness_keeps_sizes_and_roots_only(run_dir: Path, key, fill, witness, tmp_path) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        log.cosign(witness)
    kept = [path for path in (tmp_path / "witness").rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert kept[0].stat().st_size < 300


def test_requests_come_back(run_dir: Path, key, fill) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3, 7)
    request = request_of(LogReader(run_dir), 3)
    assert CosignRequest.parse(bytes(request)) == request
    for damaged in (b"", b"old x\n\n", bytes(request)[1:], bytes(request).replace(b"=\n", b"\n")):
        with pytest.raises(LogError) as caught:
            CosignRequest.parse(damaged)
        assert caught.value.code in {"L141", "L111", "L113"}


def test_the_owner_cannot_rewrite_what_was_cosigned(
    run_dir: Path, tmp_path: Path, key, fill, witness
) -> None:
    """The key is in memory and the run restored: only the witness remembers."""
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
        shutil.copytree(run_dir, tmp_path / "old")
        fill(log, 5)
        log.cosign(witness)
    shutil.rmtree(run_dir)
    shutil.copytree(tmp_path / "old", run_dir)
    with Log.open(run_dir, key) as log:
        with pytest.raises(LogError, match="L141") as caught:
            log.cosign(witness)
        assert "409" in caught.value.observed
        for number in range(4):
            log.append(b"other %d" % number)
        log.publish()
        with pytest.raises(LogError, match="L141") as caught:
            log.cosign(witness)
        assert "422" in caught.value.observed
    assert witness.last_size(ORIGIN) == 5


def test_what_a_witness_refuses(run_dir: Path, tmp_path: Path, key, fill, witness) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 4, 9)
        log.cosign(witness)
        fill(log, 12)
    reader = LogReader(run_dir)
    good = request_of(reader, 9)
    stranger = SigningKey.generate("stranger.example")
    unsigned = replace(good.checkpoint, note=None)
    foreign = replace(good.checkpoint, origin="example.org/other")
    by_stranger = replace(
        good.checkpoint, note=replace(good.checkpoint.note, signatures=()).signed_by(stranger)
    )
    text = good.checkpoint.note.text.replace("\n12\n", "\n13\n")
    forged = replace(good.checkpoint, note=replace(good.checkpoint.note, text=text))
    cases = [
        (replace(good, checkpoint=foreign), 404),
        (replace(good, checkpoint=unsigned), 403),
        (replace(good, checkpoint=by_stranger), 403),
        (replace(good, checkpoint=forged), 403),
        (replace(good, old_size=13), 400),
        (replace(good, old_size=4), 409),
        (replace(good, old_size=0, proof=()), 409),
        (replace(good, proof=good.proof[:-1]), 422),
        (replace(good, proof=(*good.proof, bytes(32))), 422),
        (replace(good, proof=(bytes(32), *good.proof[1:])), 422),
    ]
    for request, status in cases:
        with pytest.raises(LogError, match="L141") as caught:
            witness.cosign(request)
        assert f"status {status}" in caught.value.observed
    assert witness.last_size(ORIGIN) == 9
    witness.cosign(good)
    assert witness.last_size(ORIGIN) == 12


def test_two_heads_of_one_size(run_dir: Path, tmp_path: Path, key, fill, witness) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        log.cosign(witness)
    (tmp_path / "second").mkdir()
    with Log.create(tmp_path / "second", ORIGIN, key) as log:
        log.append(b"a")
        log.append(b"b")
        log.publish()
        with pytest.raises(LogError, match="409"):
            log.cosign(witness)


def test_a_logs_key_makes_no_witness(tmp_path: Path, key) -> None:
    with pytest.raises(LogError, match="L136"):
        DirectoryWitness(tmp_path, key, [])


def test_an_unsigned_log_is_not_cosigned(run_dir: Path, witness) -> None:
    with Log.create(run_dir, ORIGIN) as log, pytest.raises(LogError, match="L141"):
        log.cosign(witness)


# -- quorum ------------------------------------------------------------------------------------


def keys(num: int) -> list[SigningKey]:
    return [SigningKey(f"w{n}", KeyKind.WITNESS, bytes([n]) * 32) for n in range(1, num + 1)]


def policy_text(key: SigningKey, tail: str) -> bytes:
    lines = [f"log {key.named(ORIGIN).verifier} https://example.org/", "# witnesses", ""]
    lines += [f" witness\tX{n}  {own.verifier}" for n, own in enumerate(keys(5), 1)]
    return "\n".join([*lines, tail, ""]).encode()


TWO_LEVELS = "group X 2 X1 X2 X3\ngroup Y any X4 X5\ngroup Z all X Y\nquorum Z"


@pytest.mark.parametrize(
    ("tail", "signers", "met"),
    [
        ("quorum none", (), True),
        ("quorum X1", (), False),
        ("quorum X1", (1,), True),
        ("quorum X1", (2, 3, 4, 5), False),
        (TWO_LEVELS, (1, 2, 4), True),
        (TWO_LEVELS, (1, 2, 3, 4, 5), True),
        (TWO_LEVELS, (1, 4, 5), False),
        (TWO_LEVELS, (1, 2, 3), False),
        ("group X all X1 X2\nquorum X", (1,), False),
    ],
)
def test_quorums(run_dir: Path, key, fill, tail: str, signers: tuple[int, ...], met: bool) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        head = log.checkpoint
    for number in signers:
        head = replace(head, note=head.note.signed_by(keys(5)[number - 1]))
    policy = QuorumPolicy.parse(policy_text(key, tail))
    assert (policy.objection(head) is None) is met
    own = str(key.named(ORIGIN).verifier).encode()
    for name, vouches in (("example.org", True), ("example.org/run", False)):
        text = policy_text(key, tail).replace(own, str(key.named(name).verifier).encode())
        assert (QuorumPolicy.parse(text).objection(head) is None) is (met and vouches)
    stranger = replace(head, note=replace(head.note, signatures=head.note.signatures[1:]))
    assert policy.objection(stranger) is not None
    assert policy.objection(replace(head, note=None)) is not None


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "quorum",
        "quorum nobody",
        "quorum none\nquorum none",
        "group G any X1\nquorum none\ngroup H any X1",
        "group G 0 X1\nquorum G",
        "group G 2 X1\nquorum G",
        "group G some X1\nquorum G",
        "group G any\nquorum none",
        "group G any none\nquorum G",
        "group X1 any X2\nquorum X2",
        "group G any H\ngroup H any X1\nquorum G",
        "witness none vkey\nquorum none",
        "witness A not-a-key\nquorum none",
        "log not-a-key\nquorum none",
        "password x\nquorum none",
        "quorum none\r",
        "quorum none\x00",
        "quorum none extra",
    ],
)
def test_malformed_policies(key, tail: str) -> None:
    with pytest.raises(LogError, match="L151"):
        QuorumPolicy.parse(policy_text(key, tail))


def test_keys_stand_once_in_a_policy(key) -> None:
    own = keys(1)[0].verifier
    for line in (
        f"witness again {own}",
        f"witness again {own.named('other')}",
        f"log {key.verifier}",
        f"log {own}",
        f"witness log {key.verifier}",
    ):
        with pytest.raises(LogError, match="L151"):
            QuorumPolicy.parse(policy_text(key, f"{line}\nquorum none"))
