"""From a document whose fields are right to a policy: parse predicates, resolve names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gradledger.errors import PolicyError
from gradledger.policy import document as doc
from gradledger.policy.assign import UNKNOWN_LABEL, read_assignment
from gradledger.policy.constants import Scalars
from gradledger.policy.document import Document
from gradledger.policy.model import ClassSpec, PolicySpec, RuleSpec
from gradledger.policy.parse import Names, parse_predicate
from gradledger.policy.place import locator, shown
from gradledger.policy.policy import Bands, ContentClass, Policy, Rule, policy_digest
from gradledger.policy.predicate import KIND_OF_TYPE, Fixed, Predicate, attributes_of
from gradledger.policy.problems import Problems
from gradledger.policy.profile import LEAST, read_profiles
from gradledger.policy.words import KEYWORDS


def build_policy(
    document: Document, spec: PolicySpec, evidence: Collection[str], problems: Problems
) -> Policy:
    """Return the policy of a document.

    Args:
        document: Where everything stands.
        spec: Its fields.
        evidence: Names of functions that predicates may call.
        problems: What to do with a mistake. Where it keeps mistakes and has met one, what is
            returned has placeholders in their places and is not for use.

    Raises:
        PolicyError: The first mistake, unless ``problems`` keeps them.
    """
    for problem in _name_problems(document, spec):
        problems.add(problem)
    names = _names(document, spec, evidence, problems)
    trees: dict[doc.Path, Predicate] = {}
    entries: list[tuple[doc.Path, RuleSpec | ClassSpec]] = [
        *((("rules", place, "when"), rule) for place, rule in enumerate(spec.rules)),
        *((("classes", place, "when"), entry) for place, entry in enumerate(spec.classes)),
    ]
    for path, entry in entries:
        trees[path] = Fixed(value=False)
        with problems.part():
            trees[path] = _tree(document, path, entry, names)
    rules = tuple(
        _rule(rule, trees["rules", place, "when"]) for place, rule in enumerate(spec.rules)
    )
    classes = tuple(
        _content_class(content_class, trees["classes", place, "when"])
        for place, content_class in enumerate(spec.classes)
    )
    bands = None
    with problems.part():
        bands = _bands(document, spec)
    band_names = spec.bands.names if spec.bands else ()
    profiles = read_profiles(document, spec.profiles, problems)
    labels = [content_class.id for content_class in classes]
    assignment = read_assignment(document, spec.assign, labels, band_names, profiles, problems)
    read = {name for tree in trees.values() for name in attributes_of(tree)}
    if bands is not None:
        read.add(bands.attribute)
    return Policy(
        id=spec.policy,
        version=spec.version,
        # What does not fit (a weight that is NaN) has no canonical form, and so no digest.
        digest="" if problems.sorted() else policy_digest(spec),
        text=document.source.text,
        description=spec.description,
        attributes=dict(spec.attributes),
        rules=rules,
        classes=classes,
        bands=bands,
        profiles={**profiles, LEAST: assignment.least},
        assignment=assignment,
        reads=tuple(name for name in spec.attributes if name in read),
    )


def _names(
    document: Document, spec: PolicySpec, evidence: Collection[str], problems: Problems
) -> Names:
    params: dict[str, Scalars] = {}
    for name, value in spec.params.items():
        if isinstance(value, list) and len({_sort(item) for item in value}) > 1:
            problems.add(
                PolicyError(
                    "P130",
                    observed="a list of values of several kinds",
                    expected="texts, numbers or booleans alone",
                    where=document.where(("params", name)),
                )
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


def _content_class(entry: ClassSpec, tree: Predicate) -> ContentClass:
    reads = tuple(attributes_of(tree))
    return ContentClass(entry.id, tree, entry.when, entry.description, reads)


def _name_problems(document: Document, spec: PolicySpec) -> Iterator[PolicyError]:
    """Yield an error for every name that stands twice or is reserved."""
    for name in spec.attributes:
        if name.lower() in KEYWORDS:
            yield _reserved(document, ("attributes", name), name)
    rules: list[doc.Path] = [("rules", place, "id") for place in range(len(spec.rules))]
    yield from _repeated(document, rules, [rule.id for rule in spec.rules])
    classes: list[doc.Path] = [("classes", place, "id") for place in range(len(spec.classes))]
    labels = [entry.id for entry in spec.classes]
    yield from _repeated(document, classes, labels)
    bands: list[doc.Path] = []
    if spec.bands is not None:
        bands = [("bands", "names", place) for place in range(len(spec.bands.names))]
        yield from _repeated(document, bands, spec.bands.names)
        labels += spec.bands.names
    for path, name in zip([*classes, *bands], labels, strict=True):
        if name == UNKNOWN_LABEL:
            yield _reserved(document, path, name)


def _repeated(
    document: Document, paths: Sequence[doc.Path], names: Sequence[str]
) -> Iterator[PolicyError]:
    for place, (path, name) in enumerate(zip(paths, names, strict=True)):
        if name in names[:place]:
            yield PolicyError(
                "P115",
                observed=f"{name!r} a second time",
                expected="every name once",
                where=document.where(path),
            )


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
