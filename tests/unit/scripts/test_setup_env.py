"""Set-up on a fresh machine: what it says when it cannot go on, and which torch it takes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "setup_env.py"


@pytest.fixture
def setup_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_env", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.sys, "argv", [str(SCRIPT), str(tmp_path / "env")])
    monkeypatch.delenv("GRADLEDGER_TORCH", raising=False)
    return module


@pytest.mark.parametrize("lacking", ["venv", "ensurepip"])
def test_a_python_without_ensurepip_is_one_line_with_its_remedy(
    setup_env, monkeypatch, capsys, lacking: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        setup_env.importlib.util,
        "find_spec",
        lambda name: None if name == lacking else find_spec(name),
    )
    assert setup_env.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"lacks {lacking}" in line
    assert "-venv" in line


def test_an_old_python_is_one_line_with_its_remedy(setup_env, monkeypatch, capsys) -> None:
    monkeypatch.setattr(setup_env.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: None)
    assert setup_env.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "Python 3.9.2 is too old" in line
    assert "PYTHON=" in line


def test_an_old_python_hands_over_to_a_newer_one(setup_env, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(setup_env.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(
        setup_env.shutil, "which", lambda name: f"/bin/{name}" if name != "python3.13" else None
    )
    monkeypatch.setattr(
        setup_env.subprocess, "call", lambda command, **_: calls.append(command) or 0
    )
    assert setup_env.main() == 0
    assert calls[-1][0] == "/bin/python3.12"
    assert calls[-1][1:] == setup_env.sys.argv


class Pip:
    """Stands in for pip, nvidia-smi and uv; plans name what pip would install for a spec."""

    def __init__(self, plans: dict[str, list[str]], *, gpu: bool = False, uv: bool = True) -> None:
        self.plans, self.gpu, self.uv = plans, gpu, uv
        self.installed: list[str] = []

    def answer(self, command: list[str]) -> str | None:
        if command[0] == "nvidia-smi":
            return "GPU 0: one" if self.gpu else None
        if "--report" not in command:
            return None
        names = self.plans.get(command[-1])
        if names is None:
            return None
        return json.dumps({"install": [{"metadata": {"name": name}} for name in names]})

    def pip(self, _python: Path, *arguments: str, check: bool = True) -> bool:
        self.installed.append(f"pip {arguments[-1]}")
        return True

    def call(self, command: list[str]) -> int:
        self.installed.append(f"uv {command[-1]}")
        return 0 if self.uv else 1


PINNED, RANGE = "torch==2.13.0", "torch>=2.11"
CUDA = ["torch", "nvidia-cublas"]


@pytest.mark.parametrize(
    ("pip", "installed"),
    [
        pytest.param(Pip({PINNED: ["torch"], RANGE: CUDA}), [f"pip {PINNED}"], id="pinned is CPU"),
        pytest.param(Pip({RANGE: ["torch"]}), [f"pip {RANGE}"], id="pinned is not there"),
        pytest.param(
            Pip({PINNED: CUDA, RANGE: CUDA}),
            ["pip uv", f"uv {PINNED}"],
            id="uv finds the CPU build",
        ),
        pytest.param(
            Pip({PINNED: CUDA, RANGE: CUDA}, uv=False),
            ["pip uv", f"uv {PINNED}", f"uv {RANGE}", f"pip {PINNED}"],
            id="only CUDA builds are reachable",
        ),
        pytest.param(Pip({PINNED: CUDA}, gpu=True), [f"pip {PINNED}"], id="GPU"),
    ],
)
def test_which_torch_is_taken(setup_env, monkeypatch, pip: Pip, installed: list[str]) -> None:
    pip.installed.clear()
    monkeypatch.setattr(setup_env, "_answer", pip.answer)
    monkeypatch.setattr(setup_env, "_pip", pip.pip)
    monkeypatch.setattr(setup_env.subprocess, "call", pip.call)
    setup_env._install_torch(Path("python"))
    assert pip.installed == installed


def test_the_release_can_be_named(setup_env, monkeypatch) -> None:
    pip = Pip({"torch==2.12.1": ["torch"]})
    monkeypatch.setenv("GRADLEDGER_TORCH", "torch==2.12.1")
    monkeypatch.setattr(setup_env, "_answer", pip.answer)
    monkeypatch.setattr(setup_env, "_pip", pip.pip)
    setup_env._install_torch(Path("python"))
    assert pip.installed == ["pip torch==2.12.1"]
