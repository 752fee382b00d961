"""The public surface is frozen, and the audit side opens without torch."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gradledger

PUBLIC_NAMES = ["Ledger", "Probe", "Recorder", "__version__", "doctor", "errors", "open", "record"]


def test_public_names_are_these() -> None:
    """A change here is a change of the public interface: it belongs in the changelog."""
    assert gradledger.__all__ == PUBLIC_NAMES
    assert dir(gradledger) == PUBLIC_NAMES


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_names_load(name: str) -> None:
    assert getattr(gradledger, name) is getattr(gradledger, name)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recrod'"):
        gradledger.recrod  # noqa: B018


def test_no_function_bears_a_rooms_name() -> None:
    """A lazily loaded function would be replaced by the room once that is imported."""
    rooms = {path.name for path in Path(gradledger.__file__).parent.iterdir() if path.is_dir()}
    assert not rooms & set(PUBLIC_NAMES)


@pytest.mark.parametrize("module", ["gradledger", "gradledger.cli.main", "gradledger.ledger"])
def test_importing_leaves_torch_out(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "heavy = [m for m in ('torch', 'transformers', 'pandas', 'IPython') if m in sys.modules]\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_importing_the_package_is_instant() -> None:
    """The root loads nothing of the package until a name is used."""
    program = (
        "import sys, gradledger; print([m for m in sys.modules if m.startswith('gradledger.')])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_typed_marker_is_shipped() -> None:
    assert (Path(gradledger.__file__).parent / "py.typed").exists()


def test_the_command_is_declared(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"gradledger": "gradledger.cli.main:main"}
