"""Truth of predicates, as columns: DuckDB over the distinct tuples, locked and without files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.errors import PolicyError
from gradledger.policy import predicate as p
from gradledger.policy.columns import Coded
from gradledger.policy.place import shown
from gradledger.policy.sql import UNKNOWN, truth_column

#: Evidence about one text under a set of texts: whether it holds, or None where that is not known.
EvidenceFunction = Callable[[str, frozenset[str]], bool | None]

_SETTINGS: Final = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "true",
}


def evaluate(
    trees: Sequence[p.Predicate],
    columns: Mapping[str, pa.Array],
    evidence: Mapping[p.Evidence, pa.Array],
    num_rows: int,
    now: datetime,
) -> NDArray[np.uint8]:
    """Return the truth of every predicate for every row.

    Args:
        trees: Predicates.
        columns: Attribute -> its values, null where missing.
        evidence: Evidence -> its truth values, null where unknown.
        num_rows: Length of the columns.
        now: Recorded moment of decision, in UTC.

    Returns:
        Shape (predicates, rows): 0 false, 1 unknown, 2 true.
    """
    names: dict[str | p.Evidence, str] = {}
    data: dict[str, pa.Array] = {"row": pa.array(np.arange(num_rows))}
    for place, (name, values) in enumerate(columns.items()):
        names[name] = f"a{place}"
        data[f"a{place}"] = values
    for place, (node, truths) in enumerate(evidence.items()):
        names[node] = f"e{place}"
        data[f"e{place}"] = truths
    # Equal predicates are evaluated once.
    unique = dict.fromkeys(trees)
    selected = [
        f"{truth_column(tree, names, now)} AS t{place}" for place, tree in enumerate(unique)
    ]
    found = np.full((len(unique), num_rows), UNKNOWN, np.uint8)
    if num_rows and unique:
        with duckdb.connect(":memory:", config=dict(_SETTINGS)) as connection:
            connection.execute("SET lock_configuration = true")
            connection.register("tuples", pa.table(data))
            query = f"SELECT row, {', '.join(selected)} FROM tuples"  # noqa: S608
            answer = connection.execute(query).fetchnumpy()
        rows = answer["row"]
        for place in range(len(unique)):
            found[place, rows] = answer[f"t{place}"]
    where = {tree: place for place, tree in enumerate(unique)}
    return found[[where[tree] for tree in trees]]


def gather_evidence(
    trees: Sequence[p.Predicate],
    coded: Mapping[str, Coded],
    functions: Mapping[str, EvidenceFunction],
) -> dict[p.Evidence, NDArray[np.uint8]]:
    """Ask every evidence function once per distinct text of its attribute.

    Returns:
        Evidence -> truth by code of its attribute; a missing value (code 0) is unknown, whatever
        the function would say.

    Raises:
        PolicyError: P153 a function is not given, P154 a function fails or answers anything but
            True, False or None.
    """
    nodes = dict.fromkeys(
        node for tree in trees for node in p.walk(tree) if isinstance(node, p.Evidence)
    )
    found = {}
    for node in nodes:
        if node.function not in functions:
            raise PolicyError(
                "P153",
                observed=f"no function {node.function!r}",
                expected="every evidence function that the policy calls",
                where="decide",
                hint=f"pass functions={{{node.function!r}: ...}}",
            )
        texts = coded[node.attribute].values.to_pylist()
        found[node] = np.asarray(
            [UNKNOWN, *(_asked(node, functions[node.function], text) for text in texts)], np.uint8
        )
    return found


def _asked(node: p.Evidence, function: EvidenceFunction, text: str) -> int:
    try:
        answer = function(text, frozenset(node.allowed))
    except Exception as error:
        raise PolicyError(
            "P154",
            observed=f"{type(error).__name__}: {shown(str(error))}",
            expected="True, False or None",
            where=f"{node.function}({shown(text)})",
        ) from error
    if answer is None:
        return UNKNOWN
    if not isinstance(answer, bool | np.bool_):
        raise PolicyError(
            "P154",
            observed=shown(answer),
            expected="True, False or None",
            where=f"{node.function}({shown(text)})",
        )
    return 2 * int(answer)
