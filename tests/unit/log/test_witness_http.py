"""A witness over HTTP: what it answers, what it refuses, and what it remembers."""

from __future__ import annotations

import http.client
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradledger.errors import LogError, StorageError
from gradledger.log import (
    CosignRequest,
    DirectoryWitness,
    HttpWitness,
    Log,
    LogReader,
    QuorumPolicy,
    SigningKey,
    WitnessService,
    cosign_log,
    last_witnessed,
    witnesses_at,
)
from gradledger.verify import check_log, check_run

ORIGIN = "example.org/runs/1"


def post(
    service: WitnessService, body: bytes, path: str = "/add-checkpoint"
) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(*service.server_address[:2], timeout=10)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    found = answer.status, answer.headers["Content-Type"], answer.read()
    connection.close()
    return found


def request_of(run_dir: Path, old_size: int) -> CosignRequest:
    reader = LogReader(run_dir)
    return CosignRequest(old_size, tuple(reader.consistency_proof(old_size)), reader.checkpoint)


def test_a_log_is_cosigned_as_it_grows(run_dir: Path, key, fill, witness, folder, own) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        for size in (1, 4, 300):
            fill(log, size)
            head = log.cosign(witness)
            assert head.note.verify([own.verifier]) == [own.verifier]
            assert last_witnessed(folder, ORIGIN).size == size
    # A client that knows nothing asks with the old size 0, and is told the size.
    assert cosign_log(run_dir, HttpWitness(witness.url, own.verifier)).note.verify([own.verifier])
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert kept[0].stat().st_size < 300


def test_status_codes_of_the_protocol(run_dir: Path, key, fill, service, own, tmp_path) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 4, 9)
    status, kind, body = post(service, bytes(request_of(run_dir, 0)))
    assert status == 200
    line = body.decode()
    assert line.startswith("\u2014 witness.example/1 ")
    assert line.endswith("\n")
    with Log.open(run_dir, key) as log:
        fill(log, 12)
    good = request_of(run_dir, 9)
    note = good.checkpoint.note
    stranger = SigningKey.generate("stranger.example")
    by_stranger = replace(note, signatures=()).signed_by(stranger)
    other = SigningKey.generate("x")
    with Log.create(tmp_path / "foreign", "example.org/other", other) as log:
        fill(log, 2)
    cases = [
        (bytes(request_of(tmp_path / "foreign", 0)), 404),
        (bytes(replace(good, checkpoint=replace(good.checkpoint, note=by_stranger))), 403),
        (bytes(good).replace(b"\n12\n", b"\n13\n"), 403),
        (bytes(replace(good, old_size=13)), 400),
        (bytes(good).replace(b"old 9", b"old 09"), 400),
        (bytes(good).replace(b"old 9", b"new 9"), 400),
        (bytes(good)[:-30], 400),
        (b"", 400),
        (bytes(replace(good, old_size=4)), 409),
        (bytes(replace(good, old_size=0, proof=())), 409),
        (bytes(replace(good, proof=good.proof[:-1])), 422),
        (bytes(replace(good, proof=(bytes(32), *good.proof[1:]))), 422),
    ]
    for request, wanted in cases:
        status, kind, body = post(service, request)
        assert status == wanted
        if status == 409:
            assert (kind, body) == ("text/x.tlog.size", b"9\n")
    assert post(service, bytes(good))[0] == 200


def test_two_heads_of_one_size(run_dir: Path, tmp_path: Path, key, fill, witness, service) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        log.cosign(witness)
    with Log.create(tmp_path / "second", ORIGIN, key) as log:
        log.append(b"a")
        log.append(b"b")
        log.publish()
    second = replace(request_of(tmp_path / "second", 2), proof=())
    assert post(service, bytes(second)) == (409, "text/x.tlog.size", b"2\n")
    with pytest.raises(LogError, match="L141"):
        cosign_log(tmp_path / "second", witness)
    found = check_run(tmp_path / "second", [key.named(ORIGIN).verifier], witnessed=[witness])
    assert "V112" in [finding.code for finding in found.findings]


def test_a_rollback_is_refused_and_found(
    run_dir: Path, tmp_path: Path, key, fill, witness, own
) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
        shutil.copytree(run_dir, tmp_path / "old")
        fill(log, 5)
        log.cosign(witness)
    trusted = [key.named(ORIGIN).verifier]

    def found(folder: Path) -> list[str]:
        fresh = HttpWitness(witness.url, own.verifier)
        return [item.code for item in check_run(folder, trusted, witnessed=[fresh]).findings]

    assert "V112" not in found(run_dir)
    assert "V112" in found(tmp_path / "old")
    with Log.open(tmp_path / "old", key) as log:
        with pytest.raises(LogError, match="status 409"):
            log.cosign(HttpWitness(witness.url, own.verifier))
        for number in range(4):
            log.append(b"other %d" % number)
        log.publish()
        with pytest.raises(LogError, match="status 422"):
            log.cosign(HttpWitness(witness.url, own.verifier))
    assert "V921" in found(tmp_path / "old")
    # The same log, further on, is not news to be found.
    with Log.open(run_dir, key) as log:
        fill(log, 8)
    assert not {"V112", "V907", "V921"} & set(found(run_dir))
    assert witness.last_size(ORIGIN) == 5


def test_verification_teaches_a_witness_nothing(run_dir: Path, key, fill, witness, folder) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
        found = check_run(run_dir, [key.named(ORIGIN).verifier], witnessed=[witness])
        assert "V907" in [finding.code for finding in found.findings]
        assert last_witnessed(folder, ORIGIN) is None
        log.cosign(witness)
        fill(log, 6)
    check_run(run_dir, [key.named(ORIGIN).verifier], witnessed=[witness])
    assert last_witnessed(folder, ORIGIN).size == 3


def test_requests_that_are_no_calls(service: WitnessService) -> None:
    assert post(service, b"x", "/other")[0] == 404
    host, port = service.server_address[:2]
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request("GET", "/add-checkpoint")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    connection.close()
    raw = {
        b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n": b"411",
        b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n": b"413",
        b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n": b"411",
        b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": b"411",
        b"nonsense\r\n\r\n": b"400",
    }
    for text, status in raw.items():
        with socket.create_connection((str(host), int(port)), timeout=10) as line:
            line.sendall(text)
            assert status in line.recv(4096)


def test_an_address_of_the_newer_kind(service: WitnessService) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no such address")
    with WitnessService(service.witness, "::1") as other:
        assert other.url.startswith("http://[::1]:")


def test_one_connection_serves_several_requests(run_dir: Path, key, fill, service) -> None:
    connection = http.client.HTTPConnection(*service.server_address[:2], timeout=10)
    with Log.create(run_dir, ORIGIN, key) as log:
        for old, size in ((0, 2), (2, 5), (5, 9)):
            fill(log, size)
            connection.request("POST", "/add-checkpoint", bytes(request_of(run_dir, old)))
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read()
    connection.close()


def test_requests_at_once_never_roll_back(run_dir: Path, key, fill, service, folder) -> None:
    """Both say that they extend size 2; the second one is told what the first made of it."""
    requests = []
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        assert post(service, bytes(request_of(run_dir, 0)))[0] == 200
        for size in range(3, 11):
            fill(log, size)
            requests.append(bytes(request_of(run_dir, 2)))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: post(service, body), requests))
    assert sorted(status for status, _, _ in answers) == [200] + [409] * 7
    granted = next(place for place, answer in enumerate(answers) if answer[0] == 200)
    assert last_witnessed(folder, ORIGIN).size == 3 + granted


def test_memory_is_on_the_disk_before_the_signature(
    run_dir: Path, key, fill, service, folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
    body = bytes(request_of(run_dir, 0))

    def refuse(*_: object) -> None:
        raise StorageError("S112", observed="full", expected="room")

    monkeypatch.setattr("gradledger.log.witness.write_bytes_atomic", refuse)
    assert post(service, body)[::2] == (503, b"the witness cannot answer now\n")
    assert last_witnessed(folder, ORIGIN) is None


def test_an_address_that_is_taken(service: WitnessService) -> None:
    port = service.server_address[1]
    for host, wanted in (("127.0.0.1", port), ("no.such.host.invalid", 1)):
        with pytest.raises(LogError, match="L191"):
            WitnessService(service.witness, host, wanted)


def test_policies_say_where_witnesses_are_asked(
    run_dir: Path, key, fill, service, own, tmp_path
) -> None:
    policy = tmp_path / "quorum"
    lines = ["log " + str(key.named(ORIGIN).verifier), f"witness W {own.verifier} {service.url}"]
    policy.write_text("\n".join([*lines, "quorum W", ""]), encoding="utf-8")
    (asked,) = witnesses_at(policy, ())
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
        found = check_log(run_dir, [key.named(ORIGIN).verifier], QuorumPolicy.read(policy))
        assert "V111" in [finding.code for finding in found]
        log.cosign(asked)
    found = check_log(run_dir, [key.named(ORIGIN).verifier], QuorumPolicy.read(policy))
    assert "V111" not in [finding.code for finding in found]
    with pytest.raises(LogError, match="L190"):
        witnesses_at(service.url, ())
    policy.write_text(f"witness W {own.verifier}\nquorum W\n", encoding="utf-8")
    with pytest.raises(LogError, match="L190"):
        witnesses_at(policy, ())


def test_a_key_vouches_for_its_name_and_what_lies_below(
    run_dir: Path, key, fill, folder, own
) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 1)
        for name, known in (
            (ORIGIN, True),
            ("example.org/runs", True),
            ("example.org", True),
            ("example.org/run", False),
            ("example.org/runs/1/2", False),
            ("example.org/runs/", False),
        ):
            shutil.rmtree(folder, ignore_errors=True)
            directory = DirectoryWitness(folder, own, [key.named(name).verifier])
            if known:
                log.cosign(directory)
            else:
                with pytest.raises(LogError, match="status 404"):
                    log.cosign(directory)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused(service: WitnessService, body: bytes) -> None:
    status, _, answer = service.answer(body)
    assert status == 400
    assert len(answer) < 1000
