"""Load a policy: read, check fields, parse predicates, resolve names; nothing is left for later.

Only selectors of depth profiles wait for the model, and keep their places until then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from gradledger.errors import PolicyError
from gradledger.policy import document as doc
from gradledger.policy.assign import UNKNOWN_LABEL, read_assignment
from gradledger.policy.constants import Scalars
from gradledger.policy.document import MAX_BYTES, Document, read_document
from gradledger.policy.fields import check_fields
from gradledger.policy.model import ClassSpec, PolicySpec, RuleSpec
from gradledger.policy.parse import Names, parse_predicate
from gradledger.policy.place import Source, locator, shown
from gradledger.policy.policy import Bands, ContentClass, Policy, Rule, policy_digest
from gradledger.policy.predicate import KIND_OF_TYPE, Predicate, attributes_of
from gradledger.policy.profile import LEAST, read_profiles
from gradledger.policy.words import KEYWORDS

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
    source = _source(path_or_text)
    document = read_document(source)
    spec = check_fields(document)
    _check_names(document, spec)
    names = _names(document, spec, evidence)
    rules = tuple(
        _rule(rule, _tree(document, ("rules", place, "when"), rule, names))
        for place, rule in enumerate(spec.rules)
    )
    classes = tuple(
        ContentClass(
            entry.id,
            _tree(document, ("classes", place, "when"), entry, names),
            entry.when,
            entry.description,
        )
        for place, entry in enumerate(spec.classes)
    )
    bands = _bands(document, spec)
    profiles = read_profiles(document, spec.profiles)
    assignment = read_assignment(
        document,
        spec.assign,
        [entry.id for entry in classes],
        bands.names if bands else (),
        profiles,
    )
    trees: list[Predicate] = [*(rule.tree for rule in rules), *(entry.tree for entry in classes)]
    read = {name for tree in trees for name in attributes_of(tree)}
    if bands is not None:
        read.add(bands.attribute)
    return Policy(
        id=spec.policy,
        version=spec.version,
        digest=policy_digest(spec),
        text=source.text,
        description=spec.description,
        attributes=dict(spec.attributes),
        rules=rules,
        classes=classes,
        bands=bands,
        profiles={**profiles, LEAST: assignment.least},
        assignment=assignment,
        reads=tuple(name for name in spec.attributes if name in read),
    )


def _source(path_or_text: str | Path) -> Source:
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


def _names(document: Document, spec: PolicySpec, evidence: Collection[str]) -> Names:
    params: dict[str, Scalars] = {}
    for name, value in spec.params.items():
        if isinstance(value, list) and len({_sort(item) for item in value}) > 1:
            raise PolicyError(
                "P130",
                observed="a list of values of several kinds",
                expected="texts, numbers or booleans alone",
                where=document.where(("params", name)),
            )
        params[name] = value
    kinds = {name: KIND_OF_TYPE[entry.type] for name, entry in spec.attributes.items()}
    return Names(kinds, params, evidence)


def _sort(value: object) -> str:
    return "number" if type(value) in {int, float} else type(value).__name__


def _tree(
    document: Document, path: doc.Path, entry: RuleSpec | ClassSpec, names: Names
) -> Predicate:
    locate = locator(document.source, document.span(path))
    return parse_predicate(entry.when, names, locate)


def _rule(rule: RuleSpec, tree: Predicate) -> Rule:
    reads = tuple(attributes_of(tree))
    return Rule(rule.id, rule.effect, tree, rule.when, rule.message, rule.cites, reads)


def _check_names(document: Document, spec: PolicySpec) -> None:
    """Refuse names that stand twice or are reserved."""
    for name in spec.attributes:
        if name.lower() in KEYWORDS:
            raise _reserved(document, ("attributes", name), name)
    _unique(document, [("rules", place, "id") for place in range(len(spec.rules))], spec.rules)
    _unique(document, [("classes", n, "id") for n in range(len(spec.classes))], spec.classes)
    for place, entry in enumerate(spec.classes):
        if entry.id == UNKNOWN_LABEL:
            raise _reserved(document, ("classes", place, "id"), entry.id)
    if spec.bands is not None:
        paths: list[doc.Path] = [("bands", "names", n) for n in range(len(spec.bands.names))]
        _unique(document, paths, spec.bands.names)
        for path, name in zip(paths, spec.bands.names, strict=True):
            if name == UNKNOWN_LABEL:
                raise _reserved(document, path, name)


def _unique(
    document: Document,
    paths: Iterable[doc.Path],
    entries: Sequence[RuleSpec | ClassSpec | str],
) -> None:
    seen = set()
    for path, entry in zip(paths, entries, strict=True):
        name = entry if isinstance(entry, str) else entry.id
        if name in seen:
            raise PolicyError(
                "P115",
                observed=f"{name!r} a second time",
                expected="every name once",
                where=document.where(path),
            )
        seen.add(name)


def _reserved(document: Document, path: doc.Path, name: str) -> PolicyError:
    return PolicyError(
        "P116",
        observed=f"the name {name!r}",
        expected=f"names other than {', '.join(sorted({*KEYWORDS, UNKNOWN_LABEL}))}",
        where=document.where(path, key=path[0] == "attributes"),
    )


def _bands(document: Document, spec: PolicySpec) -> Bands | None:
    bands = spec.bands
    if bands is None:
        return None
    path: doc.Path = ("bands",)
    numbers = [name for name, entry in spec.attributes.items() if entry.type in {"int", "float"}]
    if bands.attribute not in numbers:
        raise PolicyError(
            "P117",
            observed=f"the measure {bands.attribute!r}",
            expected=f"one of {', '.join(numbers)}" if numbers else "a declared int or float",
            where=document.where((*path, "attribute")),
        )
    edges = tuple(float(edge) for edge in bands.edges)
    if list(edges) != sorted(set(edges)):
        raise PolicyError(
            "P119",
            observed=shown(list(bands.edges)),
            expected="edges that rise",
            where=document.where((*path, "edges")),
        )
    if len(bands.names) != len(edges) + 1:
        raise PolicyError(
            "P119",
            observed=f"{len(bands.names)} names for {len(edges)} edges",
            expected=f"{len(edges) + 1} names, one more than edges",
            where=document.where((*path, "names")),
        )
    return Bands(bands.attribute, edges, tuple(bands.names))
