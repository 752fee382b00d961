"""The training loop that a run names: loaded by name, and only where that is trusted.

A run directory is data. Its begin record may name ``package.module:function``, and importing that
executes code which the sender of the run chose. So the name is followed only if it is one that this
package brings along, or if the caller says that this run's entry is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from gradledger.errors import QueryError, ReplayError
from gradledger.query import Records

#: Entries that come with this package; their arguments are checked by themselves.
OWN_ENTRIES: Final[frozenset[str]] = frozenset({"gradledger.demo.replay:entry"})

#: Lengths of what an entry may return in place of a TrainingLoop: build, train, observe, generate.
_PARTS: Final = (2, 3, 4)


def load_replay() -> Any:
    """Return the room that executes runs again.

    Raises:
        QueryError: torch is not installed. Code Q109.
    """
    return _load("gradledger.replay")


def load_adjoint() -> Any:
    """Return what differentiates runs.

    Raises:
        QueryError: torch is not installed. Code Q109.
    """
    return _load("gradledger.replay.adjoint")


def _load(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        raise QueryError(
            "Q109",
            observed=f"no module named {missing.name}",
            expected="the packages of the extra 'train'",
            where="replay",
            hint="pip install 'gradledger[train]'",
        ) from missing


def load_loop(
    records: Records,
    *,
    trust: bool,
    arguments: Mapping[str, Any] | None = None,
    entry: str | None = None,
) -> Any:
    """Import the entry that a run names and call it.

    Args:
        records: The run.
        trust: Whether code that the run names may be imported though this package does not bring
            it along.
        arguments: Take the place of recorded arguments of the same name.
        entry: ``package.module:function`` in place of the one that the run names.

    Returns:
        A ``TrainingLoop``.

    Raises:
        ReplayError: The run names none (R134), it is not trusted (R133), or it cannot be loaded
            (R135).
        QueryError: A package is missing. Code Q109.
    """
    where = str(records.path)
    if entry is not None:
        loop = _function(entry, where)(**(arguments or {}))
        return _loop(load_replay().TrainingLoop, loop, entry, where)
    named = records.begin.settings.get("replay")
    if not isinstance(named, dict) or not isinstance(named.get("entry"), str):
        raise ReplayError(
            "R134",
            observed="no replay entry in run.json",
            expected="build and train, or a run recorded with replay='package.module:function'",
            where=where,
            hint="pass build= and train= to ledger.whatif",
        )
    entry = str(named["entry"])
    if entry not in OWN_ENTRIES and not trust:
        raise ReplayError(
            "R133",
            observed=f"the entry {entry!r:.200}",
            expected=f"one of {', '.join(sorted(OWN_ENTRIES))}, or consent",
            where=where,
            hint="read that code; then pass --trust-entry (trust_entry=True in Python)",
        )
    given = {**(named.get("arguments") or {}), **(arguments or {})}
    return _loop(load_replay().TrainingLoop, _function(entry, where)(**given), entry, where)


def _function(entry: str, where: str) -> Any:
    module, _, name = entry.partition(":")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        missing = getattr(error, "name", None) or ""
        if missing.partition(".")[0] not in ("", module.partition(".")[0]):
            raise QueryError(
                "Q109",
                observed=f"no module named {missing}",
                expected="the packages that the training loop needs",
                where=entry,
                hint=f"install {missing}",
            ) from error
        raise _unloadable(f"{type(error).__name__}: {error}", entry, where) from error
    if not callable(found):
        raise _unloadable(f"no function {name!r} in {module}", entry, where)
    return found


def _loop(kind: Any, returned: Any, entry: str, where: str) -> Any:
    if isinstance(returned, kind):
        return returned
    if isinstance(returned, tuple) and len(returned) in _PARTS:
        return kind(*returned)
    raise _unloadable(f"a return value of type {type(returned).__name__}", entry, where)


def _unloadable(observed: str, entry: str, where: str) -> ReplayError:
    return ReplayError(
        "R135",
        observed=observed,
        expected="an importable function that returns build, train and, if any, observe",
        where=f"{where}, entry {entry!r:.200}",
        hint="run from the folder of the training script, with PYTHONPATH=.",
    )
