"""What a predicate may be made of, checked word by word before anything is parsed.

A parser for all of SQL is a large target. It is only shown texts of bounded length and nesting
that consist of names, literals and the operators below; names of attributes and parameters reach it
quoted, so that none of them can be mistaken for a keyword.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlglot import Token, TokenType
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import TokenError

from gradledger.errors import PolicyError
from gradledger.policy.place import Locate, shown

MAX_WORDS: Final = 1024
MAX_PARENTHESES: Final = 16
MAX_NEGATIONS: Final = 16

FUNCTIONS: Final = ("ends_with", "length", "lower", "now", "starts_with", "upper")
#: Words of the grammar; an attribute may not bear one of them.
KEYWORDS: Final = frozenset(("and", "between", "false", "in", "like", "not", "null", "or", "true"))
#: Words that would let a rule see that a value is missing.
_ABSORBING: Final = frozenset((
    "case", "coalesce", "distinct", "ifnull", "iif", "is", "isnull", "notnull", "null", "nullif",
    "nvl", "nvl2", "try", "try_cast", "if", "zeroifnull", "count",
))  # fmt: skip
#: Words that begin a statement or a query.
_STATEMENTS: Final = frozenset((
    "alter", "attach", "call", "copy", "create", "delete", "describe", "detach", "drop",
    "execute", "explain", "export", "from", "grant", "import", "insert", "install", "load",
    "merge", "pivot", "pragma", "prepare", "select", "set", "show", "truncate", "update", "use",
    "values", "where", "with",
))  # fmt: skip
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\Z|\.[0-9]+([eE][+-]?[0-9]+)?\Z")
_WORD: Final = re.compile(r"[A-Za-z_]\w*\Z")
_PLAIN: Final = frozenset(
    (
        TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.BETWEEN,
        TokenType.LIKE, TokenType.TRUE, TokenType.FALSE, TokenType.STRING, TokenType.COMMA,
        TokenType.L_PAREN, TokenType.R_PAREN, TokenType.EQ, TokenType.NEQ, TokenType.LT,
        TokenType.LTE, TokenType.GT, TokenType.GTE,
    )
)  # fmt: skip
_MARKS: Final = (TokenType.COLON, TokenType.PARAMETER)


@dataclass(frozen=True)
class Vocabulary:
    """Names that a predicate may use.

    Attributes:
        attributes: Declared attributes.
        params: Declared parameters.
        evidence: Functions that the caller will give when it decides.
    """

    attributes: Collection[str]
    params: Collection[str]
    evidence: Collection[str]


def read_words(text: str, vocabulary: Vocabulary, locate: Locate) -> list[Token]:
    """Return the words of a predicate, all of them allowed.

    Raises:
        PolicyError: P121 too many words, P122 nested too deeply, P123 not readable, P124 a
            statement, P125 attribute, P126 parameter or P127 function not declared, P128 not
            allowed, P129 would hide a missing value.
    """
    try:
        tokens = Dialect.get_or_raise("duckdb").tokenize(text)
    except TokenError as error:
        raise PolicyError(
            "P123",
            observed="text that does not end",
            expected="a quote behind every quote",
            where=locate(0),
        ) from error
    if not tokens:
        raise PolicyError("P123", observed="nothing", expected="a predicate", where=locate(0))
    if len(tokens) > MAX_WORDS:
        raise PolicyError(
            "P121",
            observed=f"{len(tokens):,} words and signs",
            expected=f"at most {MAX_WORDS:,}",
            where=locate(tokens[MAX_WORDS].start),
            hint="put long lists into params, or split the rule",
        )
    _check_nesting(tokens, locate)
    for place, token in enumerate(tokens):
        if token.comments:
            raise _refused("P128", "a comment", token, locate, "comment in YAML, with #")
        before = tokens[place - 1] if place else None
        after = tokens[place + 1] if place + 1 < len(tokens) else None
        _check(token, before, after, vocabulary, locate)
    return tokens


def _check_nesting(tokens: list[Token], locate: Locate) -> None:
    depth = negations = 0
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        negations = negations + 1 if token.token_type == TokenType.NOT else 0
        if depth > MAX_PARENTHESES or negations > MAX_NEGATIONS:
            raise PolicyError(
                "P122",
                observed=f"more than {MAX_PARENTHESES} levels",
                expected=f"at most {MAX_PARENTHESES}",
                where=locate(token.start),
                hint="split the rule; rules of one effect are joined by OR",
            )


def _check(
    token: Token, before: Token | None, after: Token | None, names: Vocabulary, locate: Locate
) -> None:
    kind = token.token_type
    if before is not None and before.token_type in _MARKS:
        _check_param(token, names, locate)
    elif kind in _PLAIN or (kind == TokenType.NUMBER and _NUMBER.match(token.text)):
        return
    elif kind == TokenType.DASH and after is not None and after.token_type == TokenType.NUMBER:
        if before is not None and not _before_operand(before):
            raise _refused("P128", "arithmetic", token, locate, "compute it as an attribute")
    elif kind in _MARKS and after is not None and _WORD.match(after.text):
        return
    elif kind == TokenType.IDENTIFIER or (token.text in names.attributes and not _opens(after)):
        _check_attribute(token, names, locate)
    elif _WORD.match(token.text):
        _check_word(token, after, names, locate)
    else:
        raise _refused("P128", shown(token.text), token, locate)


def _before_operand(token: Token) -> bool:
    return token.token_type in _PLAIN and token.token_type not in {
        TokenType.STRING,
        TokenType.R_PAREN,
    }


def _opens(token: Token | None) -> bool:
    return token is not None and token.token_type == TokenType.L_PAREN


def _check_param(token: Token, names: Vocabulary, locate: Locate) -> None:
    if token.text not in names.params:
        raise _not_declared("P126", "parameter", token, names.params, locate)
    token.token_type = TokenType.VAR


def _check_attribute(token: Token, names: Vocabulary, locate: Locate) -> None:
    if token.text not in names.attributes:
        raise _not_declared("P125", "attribute", token, names.attributes, locate)
    token.token_type = TokenType.IDENTIFIER


def _check_word(token: Token, after: Token | None, names: Vocabulary, locate: Locate) -> None:
    word = token.text.lower()
    if word in _ABSORBING:
        hint = "a rule on a missing value is unknown and quarantines; write absence as a value"
        raise _refused("P129", token.text.upper(), token, locate, hint)
    if word in _STATEMENTS:
        raise PolicyError(
            "P124",
            observed=f"the statement word {token.text.upper()}",
            expected="a condition on attributes",
            where=locate(token.start),
        )
    if _opens(after):
        if word in FUNCTIONS or token.text in names.evidence:
            token.token_type = TokenType.VAR
            return
        raise _not_declared("P127", "function", token, [*FUNCTIONS, *names.evidence], locate)
    if token.token_type == TokenType.VAR:
        raise _not_declared("P125", "attribute", token, names.attributes, locate)
    raise _refused("P128", token.text.upper(), token, locate)


def _refused(code: str, what: str, token: Token, locate: Locate, hint: str = "") -> PolicyError:
    return PolicyError(
        code,
        observed=what,
        expected="AND OR NOT = <> < <= > >= IN BETWEEN LIKE, literals, names and parentheses",
        where=locate(token.start),
        hint=hint,
    )


def _not_declared(
    code: str, what: str, token: Token, allowed: Collection[str], locate: Locate
) -> PolicyError:
    close = difflib.get_close_matches(token.text, list(allowed), 1)
    names = sorted(set(allowed))
    return PolicyError(
        code,
        observed=f"the {what} {shown(token.text)}",
        expected=f"one of {', '.join(names)}" if names else f"a declared {what}",
        where=locate(token.start),
        hint=f"write {close[0]!r}" if close else "",
    )
