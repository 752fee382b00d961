"""Every way in which a policy can be wrong: its code, its line and its column."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradledger.errors import PolicyError
from gradledger.policy import check, load_policy, resolve_profile

HEAD = """format: gradledger.policy/1
policy: test.bad
version: "1"
attributes:
  license: {type: spdx}
  stars: {type: int}
  born: {type: timestamp}
  ok: {type: bool}
params: {open: [MIT, ISC], limit: 3}
"""
RULES = "rules:\n  - {id: a, effect: admit, when: ok}\n"


@dataclass(frozen=True)
class Bad:
    """A document and where its mistake stands; ``^`` in the text marks the place."""

    code: str
    marked: str

    @property
    def text(self) -> str:
        return self.marked.replace("^", "", 1)

    @property
    def place(self) -> str:
        before = self.marked[: self.marked.index("^")]
        return f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"


def when(predicate: str) -> str:
    return HEAD + f"rules:\n  - id: a\n    effect: deny\n    when: {predicate}\n"


def profile(weights: str) -> str:
    return HEAD + RULES + f"profiles: {{p: {{default: 1, weights: [{weights}]}}}}\n"


CASES = {
    # YAML
    "alias-bomb": Bad("P104", "a: ^&a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"),
    "alias": Bad("P104", HEAD + "rules: ^*nothing\n"),
    "merge-key": Bad("P104", "^<<: {a: 1}\n" + HEAD),
    "tag": Bad("P104", "a: ^!!python/object/apply:os.system ['true']\n"),
    "second-document": Bad("P104", HEAD + RULES + "^---\na: 1\n"),
    "key-twice": Bad("P105", HEAD + "^policy: again\n" + RULES),
    "deep-lists": Bad("P106", "a: " + "[" * 15 + "^[" + "]" * 16 + "\n"),
    "control": Bad("P107", 'a: ^"\\x1b[2J"\nb: 1\n'),
    "broken": Bad("P103", HEAD + "rules: [a\nb^: c\n"),
    "integer": Bad("P113", HEAD + "description: ^99999999999999999999\n" + RULES),
    # Fields
    "format": Bad("P114", HEAD.replace("gradledger.policy/1", "^gradledger.policy/2") + RULES),
    "no-version": Bad("P111", "^" + HEAD.replace('version: "1"\n', "") + RULES),
    "version-number": Bad("P113", HEAD.replace('"1"', "^1") + RULES),
    "unknown-field": Bad("P112", HEAD + RULES + "^rule: []\n"),
    "effect": Bad("P113", HEAD + "rules:\n  - {id: a, effect: ^allow, when: ok}\n"),
    "effect-missing": Bad("P111", HEAD + "rules:\n  - ^{id: a, when: ok}\n"),
    "attribute-type": Bad("P113", HEAD.replace("type: int", "type: ^integer") + RULES),
    "attribute-name": Bad("P113", HEAD.replace("  stars:", "  ^star-s:") + RULES),
    "huge-prose": Bad("P113", HEAD + f"description: ^{'x' * 2001}\n" + RULES),
    # Names
    "rule-twice": Bad("P115", HEAD + RULES + "  - {id: ^a, effect: deny, when: ok}\n"),
    "class-twice": Bad("P115", HEAD + RULES + "classes: [{id: a, when: ok}, {id: ^a, when: ok}]\n"),
    "reserved-class": Bad("P116", HEAD + RULES + "classes:\n  - {id: ^unknown, when: ok}\n"),
    "reserved-attribute": Bad("P116", HEAD.replace("  ok:", "  ^and:") + RULES),
    "reserved-profile": Bad("P116", HEAD + RULES + "profiles:\n  ^least: {default: 1}\n"),
    "redefined-full": Bad("P116", HEAD + RULES + "profiles:\n  ^full: {default: 0.5}\n"),
    "assigned-profile": Bad("P117", HEAD + RULES + "assign: {default: ^shalow}\n"),
    "assigned-class": Bad("P117", HEAD + RULES + "assign: {by: [{class: ^x, profile: full}]}\n"),
    "assigned-nothing": Bad("P115", HEAD + RULES + "assign: {by: [^{profile: full}]}\n"),
    "band-measure": Bad(
        "P117", HEAD + RULES + "bands: {attribute: ^license, edges: [1], names: [a, b]}\n"
    ),
    "band-edges": Bad(
        "P119", HEAD + RULES + "bands: {attribute: stars, edges: ^[2, 1], names: [a, b, c]}\n"
    ),
    "band-names": Bad(
        "P119", HEAD + RULES + "bands: {attribute: stars, edges: [1], names: ^[a, b, c]}\n"
    ),
    "params-mixed": Bad("P130", HEAD.replace("[MIT, ISC]", "^[MIT, 1]") + RULES),
    "rows-disagree": Bad(
        "P118",
        HEAD + RULES + "classes: [{id: c, when: ok}]\n"
        "bands: {attribute: stars, edges: [1], names: [lo, hi]}\n"
        "profiles: {half: {default: 0.5}}\n"
        "assign:\n  by:\n    - {class: c, profile: full}\n    - ^{band: lo, profile: half}\n",
    ),
    # Predicates
    "unknown-attribute": Bad("P125", when("ok AND ^licence = 'MIT'")),
    "unknown-parameter": Bad("P126", when("license IN :^closed")),
    "unknown-function": Bad("P127", when("^regexp_matches(license, 'x')")),
    "type-error": Bad("P130", when("ok OR ^stars = 'MIT'")),
    "type-error-order": Bad("P130", when("^ok < TRUE")),
    "list-as-value": Bad("P130", when("^license = :open")),
    "moment": Bad("P131", when("^born < 'tomorrow'")),
    "not-a-condition": Bad("P124", when("^stars")),
    "select": Bad("P124", when("^SELECT 1")),
    "subquery": Bad("P124", when("license IN (^SELECT 'MIT')")),
    "ddl": Bad("P124", when("^DROP TABLE tuples")),
    "copy": Bad("P124", when("^COPY tuples TO '/tmp/x'")),
    "semicolon": Bad("P128", when("ok^; DROP TABLE tuples")),
    "comment": Bad("P128", when("^ok /* x */ AND ok")),
    "arithmetic": Bad("P128", when("stars ^- 1 > 2")),
    "cast": Bad("P128", when("stars^::text = '1'")),
    "star": Bad("P128", when("ok = ^*")),
    "is-null": Bad("P129", when("license ^IS NULL")),
    "coalesce": Bad("P129", when("^COALESCE(ok, TRUE)")),
    "case": Bad("P129", when("^CASE WHEN ok THEN TRUE ELSE TRUE END")),
    "open-quote": Bad("P123", when("^license = 'MIT")),
    "order-of-words": Bad("P123", when("ok AND ^OR ok")),
    "file-table": Bad("P127", when("^read_csv('/etc/passwd')")),
    "deep-parentheses": Bad("P122", when("(" * 16 + "^(ok" + ")" * 17)),
    "long-predicate": Bad("P121", when("^" + " OR ".join(["ok"] * 1000))),
    "many-words": Bad("P121", when(" OR ".join(["ok"] * 512) + " OR ^ok")),
    "huge-string": Bad("P121", when("^license = '" + "x" * 5000 + "'")),
    # Profiles
    "weight-default": Bad("P141", HEAD + RULES + "profiles: {p: {default: ^1.5}}\n"),
    "weight-negative": Bad(
        "P141", profile("{blocks: a, weight: ^-0.1}")
    ),
    "weight-nan": Bad("P141", HEAD + RULES + "profiles: {p: {default: ^.nan}}\n"),
    "weight-max": Bad("P141", HEAD + RULES + "profiles: {p: {default: 1, max: ^11}}\n"),
    "selector": Bad(
        "P144", profile("{blocks: ^'a.[3:', weight: 0}")
    ),
    "empty-range": Bad(
        "P144", profile("{blocks: ^'a[3:2]', weight: 0}")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_mistake_has_its_code_line_and_column(name: str) -> None:
    case = CASES[name]
    with pytest.raises(PolicyError) as caught:
        load_policy(case.text)
    assert (caught.value.code, caught.value.where) == (case.code, f"policy:{case.place}")
    assert caught.value.observed
    assert caught.value.expected


@pytest.mark.parametrize("name", CASES)
def test_check_reports_the_same_mistake(name: str) -> None:
    case = CASES[name]
    result = check(case.text)
    assert not result.ok
    assert result.policy is None
    found = [(problem.code, problem.where) for problem in result.problems]
    assert (case.code, f"policy:{case.place}") in found


BLOCKS = ["embed", "layers.0", "layers.1", "layers.2", "head"]
PROFILES = {
    "unknown-block": Bad("P142", "[{blocks: ^hed, weight: 0}]"),
    "unknown-stack": Bad("P142", "[{blocks: '^blocks.*', weight: 0}]"),
    "range-too-far": Bad("P142", "[{blocks: '^layers[1:9]', weight: 0}]"),
    "overlapping-ranges": Bad(
        "P143", "[{blocks: 'layers[0:2]', weight: 0}, {blocks: '^layers[1:3]', weight: 1}]"
    ),
    "pattern-and-range": Bad(
        "P143", "[{blocks: 'layers.*', weight: 0}, {blocks: '^layers[-1:]', weight: 1}]"
    ),
    "twice": Bad("P143", "[{blocks: head, weight: 0}, {blocks: ^head, weight: 1}]"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_that_do_not_fit_the_model(name: str) -> None:
    given = PROFILES[name]
    marked = given.marked.replace("'^", "^'")
    case = Bad(given.code, profile(marked[1:-1]))
    policy = load_policy(case.text)
    with pytest.raises(PolicyError) as caught:
        resolve_profile(policy.profiles["p"], BLOCKS)
    assert caught.value.code == case.code
    assert caught.value.where.startswith(f"policy:{case.place}")
    (problem,) = check(case.text, BLOCKS).problems
    assert (problem.code, problem.where) == (case.code, caught.value.where)


def test_single_names_go_before_patterns() -> None:
    text = (
        HEAD
        + RULES
        + (
            "profiles: {p: {default: 1, weights: [{blocks: layers.1, weight: 0.5},"
            " {blocks: 'layers.*', weight: 0}]}}\n"
        )
    )
    profile = load_policy(text).profiles["p"]
    assert resolve_profile(profile, BLOCKS) == [1.0, 0.0, 0.5, 0.0, 1.0]


def test_size_is_met_before_anything_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("a: " + "[" * 80_000, encoding="utf-8")
    start = time.perf_counter()
    with pytest.raises(PolicyError, match="P102"):
        load_policy(path)
    with pytest.raises(PolicyError, match="P102"):
        load_policy("a:\n" + "[" * 80_000)
    (problem,) = check(path).problems
    assert problem.code == "P102"
    assert time.perf_counter() - start < 2


def test_bombs_below_the_size_limit_end_quickly() -> None:
    start = time.perf_counter()
    for text in (
        "a:\n " + "[" * 60_000,
        "a:\n " + "- " * 30_000,
        "a:\n " + "{b: " * 15_000,
        when("(" * 2000 + "ok" + ")" * 2000),
        when("NOT " * 1000 + "ok"),
        when(" AND ".join(["(ok OR ok)"] * 300)),
    ):
        with pytest.raises(PolicyError):
            load_policy(text)
    assert time.perf_counter() - start < 10


def test_unreadable_files(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"policy: caf\xe9\n")
    for path in (tmp_path / "absent.yaml", tmp_path, latin):
        with pytest.raises(PolicyError, match="P101"):
            load_policy(path)
        with pytest.raises(PolicyError, match="P101"):
            check(path)


@pytest.mark.parametrize("style", ["'{}'", '"{}"', ">-\n      {}", "|-\n      {}", "{}"])
def test_place_is_exact_in_every_style_of_yaml(style: str) -> None:
    marked = when(style.format("ok AND ^licence > 3"))
    case = Bad("P125", marked)
    with pytest.raises(PolicyError) as caught:
        load_policy(case.text)
    assert caught.value.where == f"policy:{case.place}"
