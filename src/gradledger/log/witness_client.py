"""The side of a witness that a log sees: asks one over HTTP, and believes only its signature.

Source:
    C2SP tlog-witness.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from gradledger.errors import LogError
from gradledger.log.checkpoint import parse_decimal
from gradledger.log.cosigning import CosignRequest, refusal
from gradledger.log.keys import KeyKind, VerifierKey
from gradledger.log.note import NoteSignature
from gradledger.log.quorum import QuorumPolicy
from gradledger.log.witness_service import ADD_CHECKPOINT

_SCHEMES: Final = ("http", "https")
_SECONDS: Final = 10.0
_MAX_ANSWER_BYTES: Final = 1 << 16
_SHOWN: Final = 200


class HttpWitness:
    """A witness elsewhere.

    No proxy is used and no redirection followed. The answer is worth no more than the cosignature
    in it, which is checked against the witness's key.

    Args:
        url: Prefix that it is asked under, ``http`` or ``https``.
        verifier: Its public key.

    Raises:
        LogError: The URL has another form (L190), or the key is a log's (L136).
    """

    def __init__(self, url: str, verifier: VerifierKey) -> None:
        if verifier.kind is not KeyKind.WITNESS:
            raise LogError(
                "L136", observed="a log's key", expected="a witness's key", where=str(verifier)
            )
        self.url, self._parts, self._verifier = url, _split(url), verifier
        self._last: dict[str, int] = {}

    @property
    def verifier(self) -> VerifierKey:
        """Its public key."""
        return self._verifier

    def last_size(self, origin: str) -> int:
        """Return the tree size that it said last; 0 before it said any.

        The protocol has no question for it: a witness that knows better answers with the size.
        """
        return self._last.get(origin, 0)

    def cosign(self, request: CosignRequest) -> list[NoteSignature]:
        """Ask for a cosignature.

        Returns:
            The signatures of the answer; of other keys too.

        Raises:
            LogError: The witness refuses (L141), cannot be reached (L190), or answers with what is
                no signature line (L111).
        """
        status, body = self._post(bytes(request))
        origin = request.checkpoint.origin
        text = body.decode("utf-8", "replace")
        if status == HTTPStatus.OK:
            signatures = [NoteSignature.parse(line) for line in text.removesuffix("\n").split("\n")]
            self._last[origin] = request.checkpoint.size
            return signatures
        if status == HTTPStatus.CONFLICT:
            size = parse_decimal(text.removesuffix("\n"))
            if size is not None:
                self._last[origin] = size
                raise refusal(
                    status, f"the old size {request.old_size}", f"{size}, seen last", last_size=size
                )
        words = " ".join(text.split())[:_SHOWN] or "no reason"
        raise refusal(status, f"{words}", "a cosignature")

    def _post(self, body: bytes) -> tuple[int, bytes]:
        parts = self._parts
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
        path = f"{parts.path.rstrip('/')}{ADD_CHECKPOINT}"
        try:
            connection.request("POST", path, body, {"Content-Type": "text/plain; charset=utf-8"})
            answer = connection.getresponse()
            content = answer.read(_MAX_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(f"{type(error).__name__}: {error}", "an answer", self.url) from error
        finally:
            connection.close()
        if len(content) > _MAX_ANSWER_BYTES:
            raise _unreachable("an endless answer", f"{_MAX_ANSWER_BYTES} bytes", self.url)
        return answer.status, content


def is_url(place: str) -> bool:
    """Whether a text names a witness over HTTP, not a file or folder."""
    return place.partition("://")[0].lower() in _SCHEMES and "://" in place


def witnesses_of(policy: QuorumPolicy) -> list[HttpWitness]:
    """Return the witnesses of a policy that say where they are asked.

    Raises:
        LogError: A URL has another form. Code L190.
    """
    return [HttpWitness(url, policy.witnesses[name]) for name, url in policy.urls.items()]


def witnesses_at(place: str | Path, keys: Iterable[VerifierKey]) -> list[HttpWitness]:
    """Return the witness at a URL, or those that a quorum policy names with their URLs.

    Args:
        place: The URL, or the policy's file.
        keys: Key of the witness at the URL.

    Raises:
        LogError: The URL has another form, or its key is not given (L190); the policy is malformed
            (L151).
        StorageError: The policy cannot be read. Code S113.
    """
    if not is_url(str(place)):
        found = witnesses_of(QuorumPolicy.read(Path(place)))
        if not found:
            raise _unreachable("no URL of a witness", "'witness NAME VKEY URL'", str(place))
        return found
    given = [key for key in keys if key.kind is KeyKind.WITNESS]
    if len(given) != 1:
        raise _unreachable(f"{len(given)} keys of it", "its verifier key", str(place))
    return [HttpWitness(str(place), given[0])]


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _unreachable(str(error), "http://HOST[:PORT][/PREFIX]", url) from error
    plain = url.isascii() and url.isprintable() and " " not in url
    odd = parts.query or parts.fragment or parts.username is not None or not parts.hostname
    if parts.scheme not in _SCHEMES or odd or not plain:
        raise _unreachable("another form of URL", "http://HOST[:PORT][/PREFIX]", url)
    return parts


def _unreachable(observed: str, expected: str, where: str) -> LogError:
    return LogError(
        "L190",
        observed=observed,
        expected=expected,
        where=where,
        hint="see that the witness runs there, and ask it again: nothing was changed",
    )
