from __future__ import annotations

import pytest

from gradledger.errors import LogError
from gradledger.log import Checkpoint, KeyKind, Note, SigningKey, VerifierKey
from gradledger.log.keys import strict_base64
from gradledger.merkle import EMPTY_ROOT

#: The example of Go's note package: key, text and signature made by another implementation.
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"  # noqa: S105
NOTE = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""  # noqa: E501


def test_a_note_of_another_implementation() -> None:
    key, verifier = SigningKey.from_secret_text(SECRET), VerifierKey.parse(VERIFIER)
    assert key.verifier == verifier
    assert key.secret_text() == SECRET
    assert str(verifier) == VERIFIER
    note = Note.parse(NOTE.encode())
    assert str(note) == NOTE
    assert note.verify([verifier]) == [verifier]
    assert str(Note(note.text, ()).signed_by(key)) == NOTE


def test_secrets_are_not_shown() -> None:
    key = SigningKey.from_secret_text(SECRET)
    assert key.seed.hex() not in repr(key)
    assert str(list(key.seed)) not in repr(key)
    with pytest.raises(LogError) as caught:
        SigningKey.from_secret_text(SECRET[:-4] + "AAA=")
    assert "AYEKFALV" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        VERIFIER.replace("c74f20a3", "c74f20a4"),
        VERIFIER.replace("Peter", "Paul"),
        VERIFIER.replace("+ARp", "+Arp"),
        VERIFIER[:-1],
        VERIFIER + "=",
        VERIFIER.replace("PeterNeumann", "Peter Neumann"),
        VERIFIER.replace("PeterNeumann", ""),
    ],
)
def test_malformed_keys(text: str) -> None:
    with pytest.raises(LogError) as caught:
        VerifierKey.parse(text)
    assert caught.value.code in {"L101", "L105"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        NOTE.encode()[:-1],
        NOTE.replace("\n\n", "\n").encode(),
        NOTE.replace("\n", "\r\n").encode(),
        NOTE.replace("\u2014", "-").encode(),
        NOTE.replace("\u2014", "\u2013").encode(),
        NOTE.replace("\u2014 ", "\u2014  ").encode(),
        NOTE.replace("=\n", "\n").encode(),
        NOTE.replace("AM=\n", "AN=\n").encode(),
        NOTE.encode() + b"\n",
        NOTE.encode() + b"garbage\n",
        b"\x00" + NOTE.encode(),
        b"\xff" + NOTE.encode(),
        NOTE.encode("utf-16"),
        NOTE.replace("PeterNeumann", "Peter+Neumann").encode(),
        NOTE.split("\u2014", maxsplit=1)[0].encode(),
        NOTE.encode() + 100 * NOTE.splitlines(keepends=True)[-1].encode(),
    ],
)
def test_malformed_notes(content: bytes) -> None:
    with pytest.raises(LogError, match="L111"):
        Note.parse(content)


def test_signatures_of_unknown_keys_are_passed_over_and_bad_ones_refused() -> None:
    verifier = VerifierKey.parse(VERIFIER)
    stranger = SigningKey.generate("stranger.example")
    note = Note.parse(NOTE.encode()).signed_by(stranger)
    assert note.verify([verifier]) == [verifier]
    assert note.verify([stranger.verifier.named("other.example")]) == []
    forged = Note.parse(str(note).replace("problem is.", "problem was.").encode())
    with pytest.raises(LogError, match="L112"):
        forged.verify([verifier])
    assert forged.verify([]) == []


def test_a_witness_signs_time_and_text() -> None:
    witness = SigningKey.generate("witness.example", KeyKind.WITNESS)
    note = Note("text\n", ()).signed_by(witness, 1_679_315_147)
    assert note.signatures[0].signature[:8].hex() == f"{1_679_315_147:016x}"
    assert note.verify([witness.verifier]) == [witness.verifier]
    late = note.signatures[0].signature
    moved = (1_679_315_148).to_bytes(8, "big") + late[8:]
    assert not witness.verifier.holds(moved, b"text\n")
    assert not witness.verifier.holds(b"\xff" * 8 + late[8:], b"text\n")
    assert not witness.verifier.holds(b"", b"text\n")


def test_one_secret_gives_different_ids_by_name_and_kind() -> None:
    seed = bytes(range(32))
    keys = [SigningKey(name, kind, seed).verifier.key_id for name in ("a", "b") for kind in KeyKind]
    assert len(set(keys)) == 4


GOOD = Checkpoint("example.org/log", 0, EMPTY_ROOT)


def test_checkpoints_come_back() -> None:
    unsigned = bytes(GOOD)
    assert unsigned.startswith(b"gradledger.unsigned/1: nobody signed")
    assert Checkpoint.parse(unsigned) == GOOD
    key = SigningKey.generate("example.org/log")
    signed = str(Note(GOOD.text, ()).signed_by(key))
    head = Checkpoint.parse(signed.encode())
    assert (head.origin, head.size, head.root) == (GOOD.origin, 0, EMPTY_ROOT)
    assert head.signed
    assert str(head) == signed


TEXT = "example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n0\n", "\n00\n"),
        ("\n0\n", "\n-1\n"),
        ("\n0\n", "\n+0\n"),
        ("\n0\n", "\n\u0660\n"),
        ("\n0\n", "\n9223372036854775808\n"),
        ("\n0\n", "\n"),
        ("\n0\n", "\r\n0\r\n"),
        ("=\n", "\n"),
        ("47DE", "47DE47DE"),
        ("FU=", "FV="),
        ("FU=\n", "FU=\nextension\n"),
        ("FU=\n", "FU=\n\n"),
        ("FU=\n", "FU="),
        ("example", "ex ample"),
        ("example.org/log", ""),
        ("example.org/log", "example.org+log"),
    ],
)
def test_malformed_checkpoints(old: str, new: str) -> None:
    assert GOOD.text == TEXT
    changed = str(GOOD).replace(TEXT, TEXT.replace(old, new))
    assert changed != str(GOOD)
    with pytest.raises(LogError, match="L113"):
        Checkpoint.parse(changed.encode())


def test_base64_has_one_spelling() -> None:
    assert strict_base64("QUI=") == b"AB"
    for text in ("QUI", "QUJ=", "QUI==", " QUI=", "QUI=\n", "QU-I", "QUI\u00e9"):
        assert strict_base64(text) is None
