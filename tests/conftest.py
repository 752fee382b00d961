"""Rules for every test: no other host is reached, and device tests run where there is a device."""

from __future__ import annotations

import ipaddress
import socket

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip device tests without a device; torch is only asked if there are any."""
    device_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not device_tests:
        return
    import torch

    if not torch.cuda.is_available():
        for item in device_tests:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


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
