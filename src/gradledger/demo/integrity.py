"""The demonstration's key, and the check of the run that it signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from gradledger.demo.evidence import show_evidence
from gradledger.ledger import verify_run
from gradledger.log import SigningKey, load_key, save_key
from gradledger.query import inert

_NAME: Final = "gradledger.demo"
_SHOWN: Final = 5


def key_path(run_dir: Path) -> Path:
    """Return where the key of a demonstration lies: beside the run, never in it."""
    return run_dir.with_name(f"{run_dir.name}.key")


def demo_key(run_dir: Path) -> SigningKey:
    """Return the key of a demonstration; one is made, for its owner's eyes only, where it lacks.

    Raises:
        LogError: The file that is there holds no key (L101), or others may read it (L102).
        StorageError: The disk refuses. Codes S112 and S113.
    """
    path = key_path(run_dir)
    if not path.exists():
        save_key(SigningKey.generate(_NAME), path)
    return load_key(path)


def show_integrity(run_dir: Path, handed: dict[str, Any], console: Console) -> bool:
    """Verify the run against the key beside it, say so in one line, and name what is wrong.

    Args:
        run_dir: The run.
        handed: What the summary says of the evidence that was written.
        console: Where it is shown.
    """
    key = load_key(key_path(run_dir)).verifier
    holds = show_evidence(handed, str(key), console)
    with console.status("verify"):
        report = verify_run(run_dir, [key])
    wrong = [finding for finding in report.findings if not finding.is_notice]
    console.print(Text(inert(report.in_words, 400)), soft_wrap=True)
    for finding in wrong[:_SHOWN]:
        console.print(Text(inert(finding, 400)), soft_wrap=True)
    console.print(
        Text(f"again: gradledger verify {run_dir} --key {key}", style="dim"), soft_wrap=True
    )
    return report.is_clean and holds
