"""A witness over HTTP, for logs on other machines: one call, ``add-checkpoint``.

What is asked is checked by the witness behind it, whose memory is on the disk before a signature
leaves this process. Requests are not authenticated, since a checkpoint that its log did not sign
is refused; who may reach the address is for the network to say.

Source:
    C2SP tlog-witness.
"""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from gradledger.errors import GradledgerError, LogError
from gradledger.log.cosigning import CosignRequest, RefusedError
from gradledger.log.note import MAX_NOTE_BYTES
from gradledger.log.witness import DirectoryWitness

#: The call, below the prefix of the witness.
ADD_CHECKPOINT: Final = "/add-checkpoint"
#: Media type of the body that says which size was cosigned last.
SIZE_TYPE: Final = "text/x.tlog.size"

_TEXT_TYPE: Final = "text/plain; charset=utf-8"
#: What is wrong with the machine of a witness is not for others to read.
_UNABLE: Final = b"the witness cannot answer now\n"
_IDLE_SECONDS: Final = 30.0
#: Connections that are served at once; one more waits to be accepted.
_MAX_CONNECTIONS: Final = 32
#: Proof lines before the checkpoint: 63 of 45 bytes, and the line of the old size.
_MAX_BODY_BYTES: Final = MAX_NOTE_BYTES + 4096


class WitnessService(ThreadingHTTPServer):
    """Answers requests of logs; a context manager that closes its socket.

    Args:
        witness: Checks, remembers and signs.
        host: Address to listen on; the machine's own by default.
        port: Port; 0 takes a free one.

    Raises:
        LogError: The address cannot be had. Code L191.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, witness: DirectoryWitness, host: str = "127.0.0.1", port: int = 0) -> None:
        self.witness = witness
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise LogError(
                "L191",
                observed=str(error),
                expected="an address of this machine with a free port",
                where=f"{host}:{port}",
                hint="choose another one with --host and --port",
            ) from error

    @property
    def url(self) -> str:
        """Prefix under which logs ask."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def server_bind(self) -> None:
        """Take the address; unlike the library, ask no name server what it is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def answer(self, body: bytes) -> tuple[int, str, bytes]:
        """Return status, media type and body of the answer to one request.

        One request at a time is compared with memory and remembered; what the disk refuses is not
        signed.
        """
        try:
            request = CosignRequest.parse(body)
            with self._turn:
                signatures = self.witness.cosign(request)
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT and error.last_size is not None:
                return error.status, SIZE_TYPE, b"%d\n" % error.last_size
            return error.status, _TEXT_TYPE, _line(error)
        except LogError as error:
            # A note or checkpoint in another form, or a memory that is damaged.
            if error.code in {"L132", "L136"}:
                return HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT_TYPE, _UNABLE
            return HTTPStatus.BAD_REQUEST, _TEXT_TYPE, _line(error)
        except GradledgerError:
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT_TYPE, _UNABLE
        lines = "".join(f"{signature}\n" for signature in signatures)
        return HTTPStatus.OK, _TEXT_TYPE, lines.encode()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, up to a number of them."""
        self._places.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over connections that break off; nothing was signed for them."""


class _Handler(BaseHTTPRequestHandler):
    """Reads a request whole before anything is done with it."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: WitnessService

    def do_POST(self) -> None:
        """Answer ``add-checkpoint``; there is no other call."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(_MAX_BODY_BYTES)) or int(length) > _MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self.path != ADD_CHECKPOINT:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._send(*self.server.answer(body))
            else:
                self.close_connection = True

    def do_GET(self) -> None:
        """Refuse: a witness is not read."""
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)

    def log_message(self, *_: Any) -> None:
        """Write nothing: who asks is not the witness's business."""

    def version_string(self) -> str:
        """Say no versions."""
        return "gradledger"

    def _refuse(self, status: HTTPStatus) -> None:
        """Refuse what was not read; its body would be taken for the next request."""
        self.close_connection = True
        self._send(status, _TEXT_TYPE, f"{status.phrase}\n".encode())

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _line(error: GradledgerError) -> bytes:
    """Return one line for whoever asked."""
    return f"{error.observed}; expected {error.expected}\n".encode()
