"""What import-linter's contracts cannot say, and that its lists stay complete."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

#: Rooms that record, execute or show training; every other room opens without torch.
TORCH_ROOMS = {
    "demo",
    "examine",
    "gradient",
    "integrations",
    "probe",
    "recorder",
    "replay",
    "update",
}
#: One room has a torch half: the submodules whose names begin so.
TORCH_HALF = "state/torch_"
SQL_ROOMS = {"query", "policy"}
MERKLE_ROOMS = {"log", "merkle", "verify"}
STANDARD_LIBRARY_ROOMS = {"_codes", "canon", "errors", "merkle", "schema"}
#: Modules that may start another room by name, so that importing them stays light.
DYNAMIC_IMPORT_ROOMS = {"__init__", "cli", "ledger", "verify"}
#: One module of another room: in a script that is executed again, ``gl.record`` begins a replay.
DYNAMIC_IMPORT_MODULE = "recorder/stand_in.py"


@pytest.fixture(scope="module")
def contracts(root: Path) -> dict[str, dict]:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return {entry["name"]: entry for entry in settings["tool"]["importlinter"]["contracts"]}


@pytest.fixture(scope="module")
def rooms(sources) -> set[str]:
    return {source.room for source in sources} - {"__init__"}


def _listed(contract: dict) -> set[str]:
    return {name.removeprefix("gradledger.") for name in contract["source_modules"]}


def test_every_room_is_torch_free_by_contract_or_a_torch_room(contracts, rooms) -> None:
    listed = _listed(contracts["auditing never needs torch"])
    assert listed == rooms - TORCH_ROOMS - {"state"}


def test_every_room_without_sql_is_held_to_it(contracts, rooms) -> None:
    listed = _listed(contracts["only query and policy speak SQL"])
    assert listed == rooms - SQL_ROOMS


def test_every_room_away_from_merkle_is_held_to_it(contracts, rooms) -> None:
    listed = _listed(contracts["only log and verify touch merkle"])
    assert listed == rooms - MERKLE_ROOMS


def test_the_standard_library_core_is_held_to_it(contracts, rooms) -> None:
    listed = _listed(contracts["the trusted core is standard library only"])
    assert listed == rooms & STANDARD_LIBRARY_ROOMS


def test_only_the_torch_half_of_state_imports_torch(sources) -> None:
    wrong = [
        source.name
        for source in sources
        if source.room == "state"
        and not source.name.startswith(TORCH_HALF)
        and any(name.split(".")[0] == "torch" for name in source.imports())
    ]
    assert not wrong


def test_only_segment_writes_parquet(sources) -> None:
    """Parquet is reached through pyarrow.parquet or SQL's COPY; neither is used elsewhere."""
    wrong = [
        source.name
        for source in sources
        if source.room != "segment"
        and (
            any(name.startswith("pyarrow.parquet") for name in source.imports())
            or "write_parquet" in source.text
            or "FORMAT PARQUET" in source.text.upper()
        )
    ]
    assert not wrong


def test_rooms_are_loaded_by_name_in_few_places(sources) -> None:
    """Elsewhere a dynamic import may name a third-party package, as a constant, and no room."""
    wrong = [
        f"{source.name}:{node.lineno}"
        for source in sources
        if source.room not in DYNAMIC_IMPORT_ROOMS and source.name != DYNAMIC_IMPORT_MODULE
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}
        and not (
            isinstance(node.args[0], ast.Constant)
            and not str(node.args[0].value).startswith("gradledger")
        )
    ]
    assert not wrong


def test_the_recorder_loads_one_module_by_name_and_no_other(root: Path) -> None:
    text = (root / "src" / "gradledger" / DYNAMIC_IMPORT_MODULE).read_text(encoding="utf-8")
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module"
    ]
    assert [ast.unparse(call.args[0]) for call in calls] == ["'gradledger.replay.guest'"]


def test_no_module_imports_the_package_root_for_its_parts(sources) -> None:
    """Rooms import from rooms; ``from gradledger import x`` would hide which one."""
    wrong = [
        f"{source.name}:{node.lineno}"
        for source in sources
        if source.name != "__init__.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "gradledger"
        and {alias.name for alias in node.names} != {"__version__"}
    ]
    assert not wrong
