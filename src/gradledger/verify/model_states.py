"""Stored model states: their digests, computed again, and how they join the records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradledger.errors import GradledgerError
from gradledger.segment import read_json
from gradledger.state import model_file_digest
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded


@dataclass(frozen=True)
class StateDigest:
    """What was found of the weights in a stored state: their digest, or why there is none."""

    digest: str
    problem: str = ""


def stored_weights(run_dir: Path) -> dict[int, Path]:
    """Return the file of weights of every stored state, by step."""
    names = [path.name.removeprefix("step=") for path in (run_dir / "states").glob("step=*")]
    steps = sorted(int(name) for name in names if name.isdecimal())
    return {step: run_dir / f"states/step={step}" / "model.safetensors" for step in steps}


def digest_state(path: Path) -> StateDigest:
    """Digest the weights of a stored state."""
    try:
        return StateDigest(model_file_digest(path))
    except GradledgerError as error:
        return StateDigest("", error.observed)


def check_states(
    found: Recorded, states: Mapping[int, StateDigest], erased: Collection[str] = frozenset()
) -> Iterator[Finding]:
    """Check every stored state, the opening one and the final one.

    Args:
        found: The run.
        states: Step -> what was found of the state there.
        erased: Folders of states that an erasure removed, as the log says.
    """
    if not found.scope.whole:
        return
    columns = found.steps.to_pydict()
    after = dict(zip(columns["step"], columns["fingerprint_after"], strict=True))
    digests: dict[int, str] = {}
    for step, state in states.items():
        folder = f"states/step={step}"
        try:
            record: Any = read_json(found.run_dir / folder / "state.json")
            if not state.problem:
                digests[step] = state.digest
            said, position = record["model_digest"], record["position"]
        except (GradledgerError, KeyError, TypeError) as error:
            observed = error.observed if isinstance(error, GradledgerError) else str(error)
            yield Finding("V801", folder, observed, "a model state that can be read")
            continue
        if state.problem:
            yield Finding("V801", folder, state.problem, "a model state that can be read")
            continue
        if digests[step] != said:
            yield Finding("V801", folder, f"digest {digests[step]}", f"{said}, in its record")
        if step and after.get(step, "") != position.get("fingerprint"):
            observed = f"fingerprint {position.get('fingerprint')}"
            yield Finding("V801", folder, observed, f"{after.get(step)}, as after step {step}")
    yield from _ends(found, digests, erased)


def _ends(found: Recorded, digests: dict[int, str], erased: Collection[str]) -> Iterator[Finding]:
    opening = found.begin["opening_balance"].get("state_digest")
    if digests.get(0) != opening:
        yield Finding(
            "V801", "states/step=0", f"digest {digests.get(0)}", f"{opening}, in run.json"
        )
    if found.end is None:
        return
    step, final = found.end["num_steps"], found.end["final_digest"]
    if step not in digests and f"states/step={step}" in erased:
        return  # its leaf says so, with a notice
    if digests.get(step) != final:
        observed = f"{final}, in end.json"
        yield Finding("V802", "end.json", observed, f"{digests.get(step)}, of states/step={step}")
