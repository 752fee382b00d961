"""Rules for every test: no other host is reached, and device tests run where there is a device."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Environment variable with the share of the soak that is run: 1, or less.
SOAK = "GRADLEDGER_SOAK"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip device tests without a device; torch is only asked if there are any."""
    device_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not device_tests:
        return
    import torch

    if not torch.cuda.is_available():
        for item in device_tests:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the smallest demonstration once, in an empty folder; return the folder and its output.

    Workers share it: the first one runs it, the others wait. Whoever changes what lies there works
    on a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, output = shared / "demonstration", shared / "demonstration.txt"
    with (shared / "demonstration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            output.write_text(_demonstrate(folder))
    return folder, output.read_text()


def _demonstrate(folder: Path) -> str:
    folder.mkdir()
    (folder / ".cache").symlink_to(ROOT / ".cache")
    answer = subprocess.run(
        [sys.executable, "-m", "gradledger.cli.main", "demo", "--size", "tiny"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    return answer.stdout


@pytest.fixture
def soaked() -> Callable[[int], int]:
    """How many of so many repetitions of a soak are run; one at least."""
    share = float(os.environ.get(SOAK, "1"))
    if not 0 < share <= 1:
        pytest.fail(f"{SOAK}={share}: a share of the soak lies above 0 and up to 1")
    return lambda count: max(1, round(share * count))


@pytest.fixture(autouse=True)
def _stay_on_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other hosts, so that no test depends on one unseen."""
    if request.node.get_closest_marker("network"):
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            pytest.fail(f"connection to {address} attempted; mark the test `network`")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
