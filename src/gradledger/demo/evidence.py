"""Evidence from the demonstration: a receipt of one example and a bundle of its package."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradledger.evidence import check_evidence
from gradledger.ledger import open_ledger
from gradledger.log import SigningKey
from gradledger.query import inert

RECEIPT: Final = "example.receipt.json"
BUNDLE: Final = "package.zip"


def evidence_folder(run_dir: Path) -> Path:
    """Return where the evidence of a demonstration lies: beside the run."""
    return run_dir.with_name(f"{run_dir.name}.evidence")


def hand_over(run_dir: Path, key: SigningKey, packages: Sequence[str]) -> dict[str, Any]:
    """Write a receipt of the example that moved the model most, and a bundle of its package.

    Both are then checked as whoever is handed them would: from the files, with the key that signs.

    Args:
        run_dir: The closed run.
        key: The key that signed it.
        packages: Package of every example.

    Returns:
        What the summary says of them.

    Raises:
        LogError: A row cannot be proved. Code L181.
        StorageError: The disk refuses. Code S112.
    """
    folder = evidence_folder(run_dir)
    if folder.is_dir():
        shutil.rmtree(folder)  # an earlier demonstration's
    folder.mkdir(parents=True)
    with open_ledger(run_dir) as ledger:
        example = int(ledger.trace(top=1).rows[0]["example"])
        package = packages[example]
        ledger.receipt(example, out=folder / RECEIPT)
        ledger.bundle(where={"package": package}, out=folder / BUNDLE)
    found: dict[str, Any] = {"example": example, "package": package, "folder": str(folder)}
    for name, file in (("receipt", RECEIPT), ("bundle", BUNDLE)):
        checked = check_evidence(folder / file, [key.verifier])
        found[name] = {
            "file": file,
            "bytes": (folder / file).stat().st_size,
            "about": checked.about,
            "holds": checked.is_sound,
            "findings": [str(finding) for finding in checked.findings if not finding.is_notice],
        }
    return found


def show_evidence(found: dict[str, Any], key: str, console: Console) -> bool:
    """Show what was handed over and whether it holds; returns whether it does."""
    console.print()
    console.rule(Text("What could somebody without the run be handed?", style="bold"), align="left")
    folder = Path(found["folder"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("file", "about", "bytes", "checked from the file alone"):
        table.add_column(name, justify="right" if name == "bytes" else "left")
    for name in ("receipt", "bundle"):
        item = found[name]
        result = "holds" if item["holds"] else "REFUSED"
        about = Text(inert(item["about"], 60))
        table.add_row(inert(folder / item["file"], 200), about, f"{item['bytes']:,}", result)
        for finding in item["findings"]:
            console.print(Text(inert(finding, 400)), soft_wrap=True)
    console.print(table)
    files = " ".join(str(folder / found[name]["file"]) for name in ("receipt", "bundle"))
    console.print(Text(f"again: gradledger check {files} --key {key}", style="dim"), soft_wrap=True)
    return bool(found["receipt"]["holds"] and found["bundle"]["holds"])
