"""Create the development environment: a virtual environment, torch, this package.

Runs on a bare Python, before anything is installed. Three things can go wrong on a fresh
machine, and each is reported in one line with its remedy: the interpreter is too old, it cannot
create environments (Debian splits ``ensurepip`` off), or no package index can be reached.

torch comes first, because the choice of its build decides between 0.2 and 3 GB of download.
Without a GPU the CPU build is taken. No index is named here: pip is asked what it would install,
and where its answer holds CUDA packages, uv is asked for the CPU build instead.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
#: The release that development and the published figures use; then whatever the package accepts.
TORCH_SPECS = ("torch==2.13.0", "torch>=2.11")
CUDA_PREFIXES = ("nvidia-", "cuda-")


def main() -> int:
    """Set up the environment named by the first argument; return the exit status."""
    root = Path(__file__).resolve().parent.parent
    venv = root / (sys.argv[1] if len(sys.argv) > 1 else ".venv")
    if sys.version_info < OLDEST:
        return _rerun_with_newer()
    try:
        python = _create(venv)
        _pip(python, "install", "--upgrade", "pip", check=False)
        _install_torch(python)
        _say("installing gradledger and its tools")
        _pip(python, "install", "-e", f"{root}[dev]")
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    (venv / ".ready").write_text("ready\n", encoding="utf-8")
    _say(f"ready: {venv}")
    return 0


class SetupError(Exception):
    """Set-up cannot go on; the message is one line and names the remedy."""


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def _rerun_with_newer() -> int:
    """Hand over to a newer interpreter on the path, if there is one."""
    for minor in (13, 12, 11, 14):
        newer = shutil.which(f"python3.{minor}")
        # A version manager's placeholder may exist and still run nothing.
        if newer and subprocess.call([newer, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return subprocess.call([newer, *sys.argv])
    found = ".".join(str(part) for part in sys.version_info[:3])
    print(
        f"setup: Python {found} is too old; install Python 3.11 or newer "
        "(Debian and Ubuntu: apt install python3.11 python3.11-venv) "
        "or name one: make setup PYTHON=/path/to/python3.11",
        file=sys.stderr,
    )
    return 1


def _create(venv: Path) -> Path:
    """Create the environment if it is not there; return its interpreter."""
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    if _works(python):
        return python
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    remedy = (
        f"install them (Debian and Ubuntu: apt install python{version}-venv) "
        "or name another Python: make setup PYTHON=/path/to/python"
    )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"Python {version} lacks {' and '.join(missing)}; {remedy}")
    _say(f"creating {venv} with Python {version}")
    answer = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0 or not _works(python):
        reason = " ".join((answer.stdout + answer.stderr).split())[-200:]
        raise SetupError(f"venv and ensurepip failed ({reason}); {remedy}")
    return python


def _works(python: Path) -> bool:
    """Whether this interpreter runs and has pip."""
    return python.exists() and _answer([str(python), "-m", "pip", "--version"]) is not None


def _answer(command: list[str]) -> str | None:
    """Return what a command prints, or None where it cannot be run or fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout if answer.returncode == 0 else None


def _pip(python: Path, *arguments: str, check: bool = True) -> bool:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    answer = subprocess.run([*command, *arguments], stderr=subprocess.PIPE, text=True, check=False)
    if answer.returncode == 0:
        return True
    if not check:
        return False
    errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")]
    reason = errors[-1] if errors else answer.stderr.strip()[-300:]
    raise SetupError(
        f"pip {' '.join(arguments)} failed ({reason}); check the connection to your package index"
    )


def _install_torch(python: Path) -> None:
    """Install torch once: the CPU build unless a GPU is seen."""
    wanted = os.environ.get("GRADLEDGER_TORCH", "")
    specs = (wanted,) if wanted else TORCH_SPECS
    present = _answer(
        [str(python), "-c", "from importlib.metadata import version; print(version('torch'))"]
    )
    if present and not wanted:
        _say(f"torch {present.strip()} is there")
        return
    if _sees_gpu():
        _say("installing torch for the GPU that nvidia-smi names")
        _install_first(python, specs)
        return
    for spec in specs:
        if _is_free_of_cuda(python, spec):
            _say(f"installing {spec} (CPU: no GPU was seen)")
            _pip(python, "install", spec)
            return
    _install_cpu_build_with_uv(python, specs)


def _install_first(python: Path, specs: tuple[str, ...]) -> None:
    for spec in specs[:-1]:
        if _pip(python, "install", spec, check=False):
            return
    _pip(python, "install", specs[-1])


def _sees_gpu() -> bool:
    listing = _answer(["nvidia-smi", "--list-gpus"])
    return listing is not None and "GPU" in listing


def _is_free_of_cuda(python: Path, spec: str) -> bool:
    """Ask pip what it would install; False where CUDA packages, or nothing, come back."""
    report = _answer(
        [
            *(str(python), "-m", "pip", "--disable-pip-version-check", "--no-input"),
            *("install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-", spec),
        ]
    )
    if report is None:
        return False
    names = [entry["metadata"]["name"].lower() for entry in json.loads(report)["install"]]
    return not any(name.startswith(CUDA_PREFIXES) for name in names)


def _install_cpu_build_with_uv(python: Path, specs: tuple[str, ...]) -> None:
    """Let uv, which knows where torch keeps its CPU builds, install one of them."""
    _say(f"installing {specs[0]} (CPU build, through uv: no GPU was seen)")
    if _pip(python, "install", "uv", check=False):
        for spec in specs:
            command = [
                str(python),
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
            ]
            if subprocess.call([*command, "--torch-backend=cpu", spec]) == 0:
                return
    _say("no CPU build was found; taking the larger build, which runs on a CPU as well")
    _install_first(python, specs)


if __name__ == "__main__":
    sys.exit(main())
