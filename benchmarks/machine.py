"""What a figure was measured on: hardware, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gradledger", "torch", "numpy", "pyarrow", "duckdb", "sqlglot", "transformers")


def describe() -> dict[str, Any]:
    """Describe this machine; equal descriptions mean comparable figures."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "num_cores": _num_cores(),
        "memory_gib": _memory_gib(),
        "gpu": _answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines(),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "python": platform.python_version(),
        "versions": _versions(),
    }


def commit() -> str:
    """Return the commit, marked where files other than results differ from it."""
    head = _answer("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = _answer("git", "status", "--porcelain", "--", ":!benchmarks/results")
    return f"{head}+changes" if changed and head != "unknown" else head


def _answer(*command: str) -> str:
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    return round(num_bytes / 2**30, 1)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
