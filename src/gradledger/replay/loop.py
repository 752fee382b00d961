"""A training loop that can be executed again, and what is observed of the model it ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradledger.errors import InputError, ReplayError
from gradledger.probe import Probe
from gradledger.replay.rerun import Build, Train
from gradledger.state import read_arrays
from gradledger.state.torch_state import array_tensor, model_tensors, preserved_rng

#: One figure of a model: a loss in nats, an accuracy, anything that is a number.
Observable = Callable[[nn.Module], Any]
#: By name; or what gives them for the examples that an intervention is about.
Observables = Mapping[str, Observable] | Callable[[frozenset[int]], Mapping[str, Observable]]
#: Prompt -> what writes the text of a model that follows it; must not depend on random numbers.
Generators = Mapping[str, Callable[[nn.Module], str]]

#: What a model writes, piece by piece, and the loss of each piece in nats, shape (S,), as a
#: function of another model: the pieces stay those that the first one wrote.
Written = Callable[[nn.Module], tuple[Sequence[str], Callable[[nn.Module], Tensor]]]
#: By prompt; or what gives it for any prompt.
Writings = Mapping[str, Written] | Callable[[str], Written]

#: A text in the pieces that a model predicts one by one (joined, they are it), and the loss of each
#: in nats, 0 for what is not predicted, shape (S,), as a function of a model.
Read = Callable[[str], tuple[Sequence[str], Callable[[nn.Module], Tensor]]]

#: Probes of a run, supplied again; or what builds them.
Probes = Sequence[Probe] | Callable[[], Sequence[Probe]]


@dataclass(frozen=True)
class TrainingLoop:
    """What a replay executes.

    Attributes:
        build: Builds model and optimizer as the recorded run did.
        train: The training loop that was recorded; it does not close the recorder.
        observe: Figures of the final model, by name; evaluated without gradients in eval mode.
        generate: Texts of the final model, by prompt; likewise.
        probes: The probes that the run was recorded with, or a function that builds them.
        written: What a model writes after a prompt, with losses; for explanations.
        texts: Text of an example, by its number, for showing it.
        read: How a text comes to the model, where it reads texts; None where it does not.
    """

    build: Build
    train: Train
    observe: Observables = field(default_factory=dict)
    generate: Generators = field(default_factory=dict)
    probes: Probes = ()
    written: Writings = field(default_factory=dict)
    texts: Callable[[int], str | None] | None = None
    read: Read | None = None

    def observables(self, examples: Sequence[int]) -> dict[str, Observable]:
        """Return the figures that are observed when an intervention is about these examples."""
        given = self.observe(frozenset(examples)) if callable(self.observe) else self.observe
        return named_observables(given)


def named_observables(given: Any) -> dict[str, Observable]:
    """Return figures by name, from a mapping of functions or from probes.

    Args:
        given: Name -> function of the model; or objects with ``name``, ``inputs`` and
            ``loss(model, inputs)``, alone, in a sequence or as the values of a mapping.

    Raises:
        InputError: Something else. Code I104.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): _observable(value) for name, value in given.items()}
    probes = given if isinstance(given, list | tuple) else [given]
    return {str(getattr(probe, "name", "")): _observable(probe) for probe in probes}


def _observable(value: Any) -> Observable:
    if hasattr(value, "loss") and hasattr(value, "inputs"):
        return lambda model: value.loss(model, value.inputs)
    if callable(value):
        observable: Observable = value
        return observable
    raise InputError(
        "I104",
        observed=f"an observable of type {type(value).__name__}",
        expected="a function of the model, or a probe with name, inputs and loss",
        where="observe",
        hint="pass observe={'loss': lambda model: ...}",
    )


def observe_model(
    build: Build, model_file: Path, observables: Mapping[str, Observable]
) -> dict[str, float]:
    """Evaluate figures on a stored model; global random numbers are left as they were.

    Args:
        build: Builds the model.
        model_file: Its parameters and buffers.
        observables: Name -> function of the model.

    Raises:
        ReplayError: The stored model is not one that ``build`` builds. Code R135.
    """
    found: dict[str, float] = _evaluate(build, model_file, observables, float)
    return found


def write_texts(build: Build, model_file: Path, generators: Generators) -> dict[str, str]:
    """Let a stored model write; as ``observe_model``.

    Args:
        build: Builds the model.
        model_file: Its parameters and buffers.
        generators: Prompt -> function of the model.

    Raises:
        ReplayError: The stored model is not one that ``build`` builds. Code R135.
    """
    found: dict[str, str] = _evaluate(build, model_file, generators, str)
    return found


def ask_model(build: Build, model_file: Path, function: Callable[[nn.Module], Any]) -> Any:
    """Return what a function makes of a stored model; as ``observe_model``.

    Raises:
        ReplayError: The stored model is not one that ``build`` builds. Code R135.
    """
    return _evaluate(build, model_file, {"": function}, lambda found: found)[""]


def _evaluate(
    build: Build, model_file: Path, asked: Mapping[str, Callable[[nn.Module], Any]], kind: Any
) -> dict[str, Any]:
    if not asked:
        return {}
    with preserved_rng():
        model, _ = build()
        arrays, live = read_arrays(model_file).arrays, model_tensors(model)
        if live.keys() != arrays.keys():
            raise ReplayError(
                "R135",
                observed=f"{len(live)} tensors, not those of the stored model",
                expected=f"the {len(arrays)} tensors of {model_file.name}",
                where=str(model_file),
                hint="build the model as the recorded run did",
            )
        with torch.no_grad():
            for name, tensor in live.items():
                tensor.copy_(array_tensor(arrays[name]))
            model.eval()
            return {name: kind(figure(model)) for name, figure in asked.items()}
