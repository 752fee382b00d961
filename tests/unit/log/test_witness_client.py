"""Asking a witness over HTTP: what answers are worth, and what is asked at all."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from gradledger.errors import LogError
from gradledger.log import HttpWitness, KeyKind, Log, LogReader, SigningKey, cosign_log

ORIGIN = "example.org/runs/1"


class Answering:
    """A server that answers anything with one text."""

    def __init__(self, text: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._text = text
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        line, _ = self._socket.accept()
        with line:
            line.recv(1 << 16)
            line.sendall(self._text)

    def close(self) -> None:
        self._thread.join()
        self._socket.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "L190"),
        (b"nonsense", "L190"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n", "L111"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "L111"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", "L141"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nx\n", "L141"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 20\r\n\r\n9999999999999999999\n", "L141"),
        (b"HTTP/1.1 500 Broken\r\nContent-Length: 3\r\n\r\n\xff\x00\n", "L141"),
    ],
)
def test_answers_that_are_none(run_dir: Path, key, fill, own, text: bytes, code: str) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
    before = LogReader(run_dir).checkpoint
    answering = Answering(text)
    with pytest.raises(LogError) as caught:
        cosign_log(run_dir, HttpWitness(answering.url, own.verifier))
    answering.close()
    assert caught.value.code == code
    assert LogReader(run_dir).checkpoint == before


def test_signatures_of_others_are_left_out(run_dir: Path, key, fill, witness, own, service) -> None:
    """An answer may hold signatures of other keys; only the witness's own is taken."""
    stranger = SigningKey.generate("other.example", KeyKind.WITNESS)
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        note = log.checkpoint.note
        lines = [note.signed_by(k).signatures[-1] for k in (stranger, own)]
        body = "".join(f"{line}\n" for line in lines).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        answering = Answering(head + body)
        cosigned = log.cosign(HttpWitness(answering.url, own.verifier))
        answering.close()
        assert [item.name for item in cosigned.note.signatures] == [ORIGIN, own.name]
        body = f"{lines[0]}\n".encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        answering = Answering(head + body)
        with pytest.raises(LogError, match="status 502"):
            log.cosign(HttpWitness(answering.url, own.verifier))
        answering.close()


def test_a_witness_that_is_not_there(run_dir: Path, key, fill, own) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 2)
        with pytest.raises(LogError, match="L190"):
            log.cosign(HttpWitness(f"http://127.0.0.1:{port}", own.verifier))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "http://",
        "http://a b/",
        "http://x:99999",
        "http://u@x/",
        "http://x/?q",
        "http://é/",
    ],
)
def test_urls_that_are_none(url: str, own: SigningKey) -> None:
    with pytest.raises(LogError, match="L190"):
        HttpWitness(url, own.verifier)


def test_a_logs_key_is_no_witness(key: SigningKey) -> None:
    with pytest.raises(LogError, match="L136"):
        HttpWitness("http://127.0.0.1:1", key.verifier)
