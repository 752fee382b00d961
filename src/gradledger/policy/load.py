"""Load a policy: read, check fields, parse predicates, resolve names; nothing is left for later.

Only selectors of depth profiles wait for the model, and keep their places until then.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from gradledger.errors import PolicyError
from gradledger.policy import document as doc
from gradledger.policy.build import build_policy
from gradledger.policy.document import MAX_BYTES, read_document
from gradledger.policy.fields import check_fields
from gradledger.policy.place import Source, shown
from gradledger.policy.policy import Policy
from gradledger.policy.problems import Problems

#: Evidence functions that predicates may call unless the caller says otherwise.
EVIDENCE: Final = ("spdx_satisfies",)


def load_policy(path_or_text: str | Path, *, evidence: Collection[str] = EVIDENCE) -> Policy:
    """Load and check a policy.

    Args:
        path_or_text: A file; or the document itself, which has more than one line.
        evidence: Names of the functions that ``decide`` will be given; each takes a text attribute
            and a list of texts.

    Returns:
        The policy, with every predicate parsed and type-checked.

    Raises:
        PolicyError: The first mistake, with ``file:line:column``. Codes P101 to P131, P141, P144.

    Example:
        >>> policy = load_policy('''
        ... format: gradledger.policy/1
        ... policy: org.example.open
        ... version: "1"
        ... attributes: {license: {type: string}}
        ... rules:
        ...   - {id: mit, effect: admit, when: "license = 'MIT'"}
        ... ''')
        >>> policy.id, list(policy.profiles)
        ('org.example.open', ['full', 'least'])
    """
    document = read_document(read_source(path_or_text))
    return build_policy(document, check_fields(document), evidence, Problems())


def read_source(path_or_text: str | Path) -> Source:
    """Return the text of a policy and its name for messages.

    Raises:
        PolicyError: P101 it cannot be read, P102 it is too large.
    """
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return Source("policy", path_or_text)
    path = Path(path_or_text)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PolicyError(
            "P101",
            observed=reason,
            expected="a file that can be read",
            where=shown(str(path)),
            hint="give the path of a policy document, or its text of several lines",
        ) from error
    if len(content) > MAX_BYTES:
        raise doc.too_large(size, path.name)
    try:
        return Source(path.name, content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyError(
            "P101",
            observed=f"byte {content[error.start]:#04x} at offset {error.start}",
            expected="UTF-8",
            where=path.name,
            hint="save the file as UTF-8",
        ) from error
