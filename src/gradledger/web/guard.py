"""Who is let in, and what every answer forbids a browser to do.

A page on another site can make a browser send requests here. Three things keep it out: the name
that the browser asked for must be this server's (against rebinding of names), a token that only the
printed address carries must come along, and what changes anything must come from this very site.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from gradledger.errors import WebError
from gradledger.web.arguments import url

#: Name of the cookie that holds the token, and of the argument that brings it.
COOKIE: Final = "gradledger_token"
ARGUMENT: Final = "token"

#: Hash of the one style sheet that the plotting library puts into its drawings; a test holds it.
PLOT_STYLE: Final = "sha256-U83g/8HvYUicwgsz/HwnXwBYXn80hqQtgJxiGvYY8FM="

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' '{PLOT_STYLE}'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

#: Sent with every answer.
HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }.items()
)

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: Turns an error into an answer: application for the error's page.
Refusal = Callable[[WebError, Message], Application]


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Guard:
    """Lets requests through to an application, or refuses them.

    Args:
        inner: The application.
        token: What every request must carry: in a cookie, a bearer header, or once in the URL.
        hosts: Names besides loopback's that the server may be asked by.
        refuse: Makes the answer to a request that is refused.
    """

    def __init__(
        self, inner: Application, token: str, hosts: frozenset[str], refuse: Refusal
    ) -> None:
        self._inner, self._token, self._refuse = inner, token, refuse
        self._hosts = _LOOPBACK | hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        guarded = _with_headers(send)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = headers.get("host", "")
        if host.rpartition(":")[0] not in self._hosts and host not in self._hosts:
            await self._turn_away(
                "W106", f"host {host[:80]!r}", "this server's", scope, receive, guarded
            )
            return
        given = [
            text
            for name, text in parse_qsl(scope["query_string"].decode("latin-1"))
            if name == ARGUMENT
        ]
        if given and self._is_token(given[-1]) and scope["method"] == "GET":
            await self._welcome(scope, guarded)
            return
        if not self._is_known(headers) and not scope["path"].startswith("/static/"):
            await self._turn_away(
                "W105",
                "none that is valid",
                "the token of the printed address",
                scope,
                receive,
                guarded,
            )
            return
        if scope["method"] not in {"GET", "HEAD"} and not self._is_own(headers, host):
            await self._turn_away(
                "W106",
                headers.get("origin", "no origin")[:80],
                "a form of these pages",
                scope,
                receive,
                guarded,
            )
            return
        await self._inner(scope, receive, guarded)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _is_known(self, headers: dict[str, str]) -> bool:
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            return self._is_token(bearer.removeprefix("Bearer "))
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE and self._is_token(value):
                return True
        return False

    @staticmethod
    def _is_own(headers: dict[str, str], host: str) -> bool:
        """Whether a request that changes something comes from a page of this server."""
        if "authorization" in headers:
            return True
        return headers.get("origin", "").partition("://")[2] == host

    async def _welcome(self, scope: Message, send: Send) -> None:
        """Keep the token in a cookie and go on to the address without it."""
        query = scope["query_string"].decode("latin-1")
        kept = [(n, t) for n, t in parse_qsl(query, keep_blank_values=True) if n != ARGUMENT]
        # A path that begins with two slashes would be another host.
        path = "/" + scope.get("raw_path", scope["path"].encode()).decode("latin-1").lstrip("/\\")
        cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        await send(
            {
                "type": "http.response.start",
                "status": 303,
                "headers": [
                    (b"location", url(path, kept).encode("latin-1")),
                    (b"set-cookie", cookie.encode()),
                    (b"cache-control", b"no-store"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": b""})

    async def _turn_away(
        self, code: str, observed: str, expected: str, scope: Message, receive: Receive, send: Send
    ) -> None:
        error = WebError(
            code,
            observed=observed,
            expected=expected,
            hint="open the address that gradledger serve printed",
        )
        await self._refuse(error, scope)(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message.get("headers", [])}
            message["headers"] = [
                *message.get("headers", []),
                *(pair for pair in HEADERS if pair[0] not in present),
            ]
        await send(message)

    return guarded
