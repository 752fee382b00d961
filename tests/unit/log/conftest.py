"""Keys with fixed seeds, and runs with a log."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradledger.canon import leaf_bytes
from gradledger.log import (
    DirectoryWitness,
    HttpWitness,
    KeyKind,
    Log,
    SigningKey,
    WitnessService,
)
from gradledger.schema import StateLeaf

ORIGIN = "example.org/runs/1"


def make_key(word: str, kind: KeyKind = KeyKind.LOG) -> SigningKey:
    return SigningKey(f"example.org/{word}", kind, hashlib.sha256(word.encode()).digest())


def make_leaf(number: int) -> bytes:
    return leaf_bytes(StateLeaf(run_id="r", step=number, state_sha256="0" * 64))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def key() -> SigningKey:
    return make_key("owner")


@pytest.fixture
def fill() -> Callable[..., None]:
    """Append leaves one by one, with a checkpoint at each of some sizes."""

    def fill(log: Log, *sizes: int) -> None:
        for size in sizes:
            while log.size < size:
                log.append(make_leaf(log.size))
            log.publish()

    return fill


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "watch"


@pytest.fixture
def own() -> SigningKey:
    return SigningKey.generate("witness.example/1", KeyKind.WITNESS)


@pytest.fixture
def service(folder: Path, own: SigningKey, key: SigningKey) -> Iterator[WitnessService]:
    """Knows whoever signs under example.org/runs with the owner's key."""
    directory = DirectoryWitness(folder, own, [key.named("example.org/runs").verifier])
    with WitnessService(directory) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def witness(service: WitnessService, own: SigningKey) -> HttpWitness:
    return HttpWitness(service.url, own.verifier)
