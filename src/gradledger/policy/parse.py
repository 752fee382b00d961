"""From the text of a predicate to its typed tree, by an allow-list of sqlglot's nodes.

A node, or an argument of a node, that is not named here is refused: what a later release of the
parser adds stays outside.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import Token, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError

from gradledger.errors import PolicyError
from gradledger.policy import predicate as p
from gradledger.policy.constants import Scalars, ToConstant
from gradledger.policy.place import Locate
from gradledger.policy.words import Vocabulary, read_words

MAX_DEPTH: Final = 16
_COMPARISONS: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_AFFIXES: Final[dict[type[exp.Expr], str]] = {
    exp.StartsWith: "starts_with",
    exp.EndsWith: "ends_with",
}
_OF_TEXT: Final[dict[type[exp.Expr], tuple[str, p.Kind]]] = {
    exp.Lower: ("lower", "text"),
    exp.Upper: ("upper", "text"),
    exp.Length: ("length", "number"),
}
_EVIDENCE_ARGUMENTS: Final = 2


@dataclass(frozen=True)
class Names:
    """What predicates of one policy may name.

    Attributes:
        attributes: Attribute -> kind of its values.
        params: Parameter -> constant or list.
        evidence: Functions over a text attribute and a set of texts.
    """

    attributes: Mapping[str, p.Kind]
    params: Mapping[str, Scalars]
    evidence: Collection[str] = ()


def parse_predicate(text: str, names: Names, locate: Locate) -> p.Predicate:
    """Parse and type-check one predicate.

    Args:
        text: At most 4,096 characters.
        names: What it may name.
        locate: From an offset in the text to its place in the policy file.

    Raises:
        PolicyError: P121 too many words, P122 too deep, P123 not readable, P124 not a predicate,
            P125 to P127 names that are not declared, P128 and P129 what is not allowed, P130 types
            that do not fit, P131 literals that cannot be read.
    """
    vocabulary = Vocabulary(names.attributes, names.params, names.evidence)
    tokens = read_words(text, vocabulary, locate)
    tree = _ToTree(names, locate).predicate(_parsed(text, tokens, locate))
    if (depth := p.depth_of(tree)) > MAX_DEPTH:
        raise PolicyError(
            "P122",
            observed=f"{depth} levels",
            expected=f"at most {MAX_DEPTH}",
            where=locate(0),
            hint="split the rule; rules of one effect are joined by OR",
        )
    return tree


def _parsed(text: str, tokens: list[Token], locate: Locate) -> exp.Expr:
    try:
        found = Dialect.get_or_raise("duckdb").parser().parse(tokens, text)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        at = (first.get("line"), first.get("col"))
        offset = next((token.start for token in tokens if (token.line, token.col) == at), 0)
        raise PolicyError(
            "P123",
            observed="words in an order that is no SQL",
            expected="a predicate such as license IN ('MIT', 'ISC') AND NOT vendored",
            where=locate(offset),
        ) from error
    if len(found) != 1 or found[0] is None:
        raise PolicyError("P123", observed="nothing", expected="a predicate", where=locate(0))
    return found[0]


class _ToTree:
    """Turns sqlglot's nodes into those of ``predicate``."""

    def __init__(self, names: Names, locate: Locate) -> None:
        self._names, self._locate = names, locate
        self._constants = ToConstant(names.params)

    def predicate(self, node: exp.Expr) -> p.Predicate:
        node = node.unnest()
        kind = type(node)
        if isinstance(node, exp.And | exp.Or):
            self._only(node, "this", "expression")
            parts = tuple(self.predicate(part) for part in node.flatten())
            return p.And(parts) if isinstance(node, exp.And) else p.Or(parts)
        if isinstance(node, exp.Not):
            self._only(node, "this")
            return p.Not(self.predicate(node.this))
        if kind in _COMPARISONS:
            self._only(node, "this", "expression")
            left, right = self._alike(
                node, self._operand(node.this), self._operand(node.expression)
            )
            if left.kind == "truth" and _COMPARISONS[kind] not in {"=", "<>"}:
                raise self._misfit(node, "an order of booleans", "= or <>")
            return p.Compare(_COMPARISONS[kind], left, right)
        if isinstance(node, exp.In):
            return self._member(node)
        if isinstance(node, exp.Between):
            return self._between(node)
        return self._leaf(node)

    def _leaf(self, node: exp.Expr) -> p.Predicate:
        if isinstance(node, exp.Like):
            self._only(node, "this", "expression", "negate")
            pattern = self._text(node, self._operand(node.expression))
            if not isinstance(pattern, p.Constant):
                raise self._misfit(node, "a pattern that varies", "a literal or parameter")
            like = p.Like(self._text(node, self._operand(node.this)), str(pattern.value))
            return p.Not(like) if node.args.get("negate") else like
        if type(node) in _AFFIXES:
            self._only(node, "this", "expression")
            operand, part = self._operand(node.this), self._operand(node.expression)
            return p.Affix(_AFFIXES[type(node)], self._text(node, operand), self._text(node, part))
        if isinstance(node, exp.Boolean):
            return p.Fixed(bool(node.this))
        if isinstance(node, exp.Anonymous) and node.name in self._names.evidence:
            return self._evidence(node)
        operand = self._operand(node)
        if isinstance(operand, p.Attribute) and operand.kind == "truth":
            return p.Holds(operand)
        raise PolicyError(
            "P124",
            observed=f"a {operand.kind} alone",
            expected="a comparison, or a boolean attribute",
            where=self._where(node),
        )

    def _operand(self, node: exp.Expr) -> p.Operand:
        node = node.unnest()
        if isinstance(node, exp.Column):
            self._only(node, "this")
            return p.Attribute(node.name, self._names.attributes[node.name])
        if (constant := self._constants.scalar(node, self._where(node))) is not None:
            return constant
        if type(node) in _OF_TEXT:
            self._only(node, "this")
            name, kind = _OF_TEXT[type(node)]
            return p.Apply(name, self._text(node, self._operand(node.this)), kind)
        if isinstance(node, exp.CurrentTimestamp) or (
            isinstance(node, exp.Anonymous) and node.name.lower() == "now"
        ):
            self._only(node, "this")
            return p.Now()
        raise PolicyError(
            "P128",
            observed=f"{node.key.upper()} as a value",
            expected="an attribute, a literal, a parameter, now(), lower(), upper() or length()",
            where=self._where(node),
        )

    def _member(self, node: exp.In) -> p.Predicate:
        self._only(node, "this", "expressions", "field")
        operand = self._operand(node.this)
        listed = [node.args["field"]] if node.args.get("field") else node.expressions
        values: list[p.Constant] = []
        for item in listed:
            found = self._constants.listed(item.unnest(), self._where(node))
            if found is None:
                raise self._misfit(node, "a list of values that vary", "literals and parameters")
            for constant in found:
                operand, value = self._alike(node, operand, constant)
                values.append(p.Constant(value.value, value.kind))  # type: ignore[union-attr]
        return p.Member(operand, tuple(dict.fromkeys(values)))

    def _between(self, node: exp.Between) -> p.Predicate:
        self._only(node, "this", "low", "high")
        operand = self._operand(node.this)
        _, low = self._alike(node, operand, self._operand(node.args["low"]))
        operand, high = self._alike(node, operand, self._operand(node.args["high"]))
        if operand.kind == "truth":
            raise self._misfit(node, "an order of booleans", "= or <>")
        return p.And((p.Compare(">=", operand, low), p.Compare("<=", operand, high)))

    def _evidence(self, node: exp.Anonymous) -> p.Predicate:
        arguments = node.expressions
        attribute = self._operand(arguments[0]) if arguments else None
        if len(arguments) != _EVIDENCE_ARGUMENTS or not isinstance(attribute, p.Attribute):
            raise self._misfit(
                node, f"{len(arguments)} arguments", f"{node.name}(attribute, :list)"
            )
        self._text(node, attribute)
        found = self._constants.listed(arguments[1].unnest(), self._where(node))
        if found is None or any(constant.kind != "text" for constant in found):
            raise self._misfit(node, "a list of another kind", "a parameter that lists texts")
        allowed = tuple(sorted({str(constant.value) for constant in found}))
        return p.Evidence(node.name, attribute.name, allowed)

    def _alike(
        self, node: exp.Expr, left: p.Operand, right: p.Operand
    ) -> tuple[p.Operand, p.Operand]:
        """Return both operands, of one kind; a text beside a moment is read as a moment."""
        where = self._where(node)
        if left.kind == "moment" and isinstance(right, p.Constant):
            right = self._constants.moment(right, where)
        elif right.kind == "moment" and isinstance(left, p.Constant):
            left = self._constants.moment(left, where)
        if left.kind != right.kind:
            raise self._misfit(node, f"a {left.kind} beside a {right.kind}", "values of one kind")
        return left, right

    def _text(self, node: exp.Expr, operand: p.Operand) -> p.Operand:
        if operand.kind != "text":
            raise self._misfit(node, f"a {operand.kind}", "a text")
        return operand

    def _only(self, node: exp.Expr, *allowed: str) -> None:
        for name, value in node.args.items():
            if value and name not in allowed:
                raise PolicyError(
                    "P128",
                    observed=f"{node.key.upper()} with {name.replace('_', ' ')}",
                    expected=f"{node.key.upper()} without it",
                    where=self._where(node),
                )

    def _misfit(self, node: exp.Expr, observed: str, expected: str) -> PolicyError:
        return PolicyError("P130", observed=observed, expected=expected, where=self._where(node))

    def _where(self, node: exp.Expr) -> str:
        starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        return self._locate(min(starts, default=0))
