"""Start the server: loopback, a token in the printed address, one folder of runs."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn

from gradledger.errors import WebError
from gradledger.web.anchors import Anchors
from gradledger.web.content import Contents
from gradledger.web.desk import Desk
from gradledger.web.guard import new_token
from gradledger.web.preparer import Preparer
from gradledger.web.site import Site, make_app
from gradledger.web.work import Work

#: By how much the server gives way: about a tenth of a processor that another process wants.
_NICENESS: Final = 10

#: Folder of started work, beside the runs, unless another is named.
WORK_FOLDER: Final = ".gradledger-work"


@dataclass(frozen=True)
class Settings:
    """What is served, and to whom.

    Attributes:
        folder: Runs, or one run.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        work: Folder for replays, reports and verifications that pages start.
        content: Folders in which contents of examples are looked for.
        open_to_network: Consent to listen on another address than loopback.
        trust_entry: Whether training loops that runs name may be imported by replays.
        entry_arguments: In place of recorded arguments of these loops.
        token: Token of the address; a new one by default.
        keys: Verifier keys that logs must be signed by, as text or in files.
        quorum: File that says which witnesses must have cosigned.
        witnesses: Folders or URLs of witnesses that verification asks.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    work: Path | None = None
    content: Sequence[Path] = ()
    open_to_network: bool = False
    trust_entry: bool = False
    entry_arguments: dict[str, str] = field(default_factory=dict)
    token: str = ""
    keys: Sequence[str] = ()
    quorum: Path | None = None
    witnesses: Sequence[str] = ()


def make_site(settings: Settings) -> Site:
    """Return what the pages are made from.

    Raises:
        WebError: W102 where the folder is none.
        LogError: L101 a key, L151 the quorum file.
    """
    folder = settings.folder.expanduser()
    if not folder.is_dir():
        raise WebError(
            "W102",
            observed="no such folder",
            expected="a folder with runs, or a run",
            where=str(folder),
            hint="name the folder that gl.record writes to",
        )
    beside = folder.resolve().parent if (folder / "run.json").is_file() else folder.resolve()
    work = settings.work.expanduser() if settings.work else beside / WORK_FOLDER
    return Site(
        Desk(folder, work.resolve()),
        Work(work),
        Contents([place.expanduser() for place in settings.content]),
        settings.trust_entry,
        dict(settings.entry_arguments),
        Anchors.read(settings.keys, settings.quorum, settings.witnesses),
    )


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve the pages until the process is interrupted.

    Args:
        settings: What is served.
        tell: Told the address, token included, once the port is open.

    Raises:
        WebError: W102 the folder or the port cannot be used, W103 another address than loopback
            without consent.
    """
    if not _is_loopback(settings.host) and not settings.open_to_network:
        raise WebError(
            "W103",
            observed=settings.host,
            expected="127.0.0.1, ::1 or localhost, or consent",
            hint="pass --open-to-network; the pages have no encryption of their own",
        )
    site = make_site(settings)
    _give_way()
    preparer = Preparer(site.desk)
    site.desk.on_open = preparer.wanted
    token = settings.token or new_token()
    listener = _listen(settings)
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    port = listener.getsockname()[1]
    app = make_app(site, token, frozenset({shown}))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    tell(f"http://{shown}:{port}/runs?token={token}")
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        preparer.close()
        site.work.close()
        listener.close()


def _give_way() -> None:
    """Answer readers after every other process, above all a training; work keeps its priority."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()  # before the address is told: whoever follows it at once only waits
    except OSError as error:
        listener.close()
        raise WebError(
            "W102",
            observed=f"{type(error).__name__}: {error.strerror}",
            expected="a port that is free",
            where=f"{settings.host}:{settings.port}",
            hint="choose another with --port, or --port 0 for any",
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
