"""What an example of weight 0 says cannot reach a block: 200 changes leave its delta bit for bit.

Caveat: a decoder of 3 layers (d = 48, T = 24), 6 visits a step, no clipping; SGD with momentum and
AdamW, five states of each after 1 to 9 routed steps, two threads. Each trial replaces 1 to 24 of
the tokens of one example and leaves length, mask and count of labels as they were; the groups of
every other block must change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.decoder import VOCABULARY, build_decoder, random_windows
from benchmarks.figure import Figure
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.policy import Policy, load_policy

NUM_TRIALS, NUM_STATES, ROWS, POSITIONS, NUM_WINDOWS = 200, 5, 6, 24, 60
PROTECTED = ("model.embed_tokens", "model.layers.0", "model.layers.1")
#: What each window of the data may reach, by its place: two in six reach the last blocks only.
SOURCES = ("full", "shallow", "half", "full", "shallow", "full")
POLICY = """
format: gradledger.policy/1
policy: benchmark.depth
version: "1"
attributes:
  source: {type: string}
rules:
  - {id: known, effect: admit, when: "source IN ('full', 'shallow', 'half')"}
classes:
  - {id: full, when: "source = 'full'"}
  - {id: shallow, when: "source = 'shallow'"}
  - {id: half, when: "source = 'half'"}
profiles:
  full: {default: 1}
  shallow:
    default: 1
    weights:
      - {blocks: "model.embed_tokens", weight: 0}
      - {blocks: "model.layers.0", weight: 0}
      - {blocks: "model.layers.1", weight: 0}
  half: {default: 1, weights: [{blocks: "model.layers.1", weight: 0.5}]}
assign:
  default: full
  by:
    - {class: shallow, profile: shallow}
    - {class: half, profile: half}
"""
MAKERS: dict[str, Callable[[Iterable[nn.Parameter]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "adamw": lambda p: optim.AdamW(p, lr=1e-3),
}


@dataclass(frozen=True)
class State:
    """Where both runs of a trial begin."""

    kind: str
    model: dict[str, Tensor]
    optimizer: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """Compared bit by bit: whether every protected delta is the same, and how many others are."""

    protected_equal: bool
    others_equal: int


def measure(num_trials: int = NUM_TRIALS, num_states: int = NUM_STATES) -> list[Figure]:
    """Count the trials in which every protected group moved bit for bit as it did before."""
    torch.set_num_threads(2)
    outcomes = list(trials(num_trials, num_states, POLICY))
    if any(outcome.others_equal for outcome in outcomes):
        raise RuntimeError("a change of content did not reach every other group: nothing is shown")
    return [
        Figure(
            "books.non_interference",
            float(sum(outcome.protected_equal for outcome in outcomes)),
            "count",
            "equal",
            float(num_trials),
            caveat=f"content changes of {num_trials} with bitwise equal deltas in every group of "
            f"{len(PROTECTED)} blocks of weight 0; SGD with momentum and AdamW",
        )
    ]


def trials(num_trials: int, num_states: int, policy_text: str) -> Iterator[Outcome]:
    """Change one example of weight 0 per trial, from states that routed training left."""
    tokens = random_windows(NUM_WINDOWS, POSITIONS)
    random = Random(2026)  # noqa: S311  (batches, no secrets)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        path.write_text(policy_text, encoding="utf-8")
        policy = load_policy(path)
        states = [
            state
            for kind in MAKERS
            for state in train(Path(folder), policy, kind, tokens, num_states)
        ]
        for trial in range(num_trials):
            state = states[trial % len(states)]
            places = draw_batch(random)
            changed = tokens.clone()
            victim = random.choice([place for place in places if source_of(place) == "shallow"])
            change_content(changed[victim], random)
            where = Path(folder) / f"trial-{trial}"
            yield compare(
                one_step(where / "first", policy, state, tokens[places], places),
                one_step(where / "second", policy, state, changed[places], places),
            )


def train(folder: Path, policy: Policy, kind: str, tokens: Tensor, num_states: int) -> list[State]:
    """Train with every step routed; keep the state after every second step."""
    model = build()
    optimizer = MAKERS[kind](model.parameters())
    random, states = Random(kind), []  # noqa: S311
    with gl.record(
        folder / f"train-{kind}", model, optimizer, policy=policy, on_imbalance="strict"
    ) as run:
        run.admit(*admitted(tokens, range(len(tokens))))
        for number in range(2 * num_states):
            places = draw_batch(random)
            update(run, model, optimizer, tokens[places], places)
            if number % 2 == 0:
                states.append(
                    State(kind, deepcopy(model.state_dict()), deepcopy(optimizer.state_dict()))
                )
    return states


def one_step(
    folder: Path, policy: Policy, state: State, tokens: Tensor, places: list[int]
) -> dict[str, dict[str, Tensor]]:
    """Take one recorded step from a state; return block -> tensor name -> delta."""
    model = build()
    optimizer = MAKERS[state.kind](model.parameters())
    model.load_state_dict(state.model)
    optimizer.load_state_dict(deepcopy(state.optimizer))
    with gl.record(folder, model, optimizer, policy=policy, on_imbalance="strict") as run:
        run.admit(*admitted(tokens, places))
        update(run, model, optimizer, tokens, list(range(len(places))))
        deltas: dict[str, dict[str, Tensor]] = {}
        for group in run.grouping.groups:
            for name, value in group.parameters.items():
                delta = value.detach() - state.model[name]
                deltas.setdefault(group.record.block, {})[name] = delta
    return deltas


def update(
    run: gl.Recorder,
    model: nn.Module,
    optimizer: optim.Optimizer,
    tokens: Tensor,
    examples: list[int],
) -> None:
    """Take one ordinary step under the recorder, without clipping."""
    with run.step({"tokens": tokens}, examples=examples):
        logits = model(input_ids=tokens).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()


def compare(first: dict[str, dict[str, Tensor]], second: dict[str, dict[str, Tensor]]) -> Outcome:
    """Compare two runs block by block and tensor by tensor."""
    if missing := set(PROTECTED) - set(first):
        raise LookupError(f"the model has no blocks {sorted(missing)}")
    equal = {
        block: [same_bits(delta, second[block][name]) for name, delta in deltas.items()]
        for block, deltas in first.items()
    }
    return Outcome(
        all(all(equal[block]) for block in PROTECTED),
        sum(sum(same) for block, same in equal.items() if block not in PROTECTED),
    )


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two float32 tensors are equal in every bit; -0.0 and 0.0 are not."""
    return torch.equal(first.view(torch.int32), second.view(torch.int32))


def build() -> nn.Module:
    """Build the decoder with the same seeded weights every time."""
    return build_decoder(layers=3, width=48, heads=4)


def source_of(place: int) -> str:
    """Say which source a window of the data has."""
    return SOURCES[place % len(SOURCES)]


def admitted(tokens: Tensor, places: Any) -> tuple[list[dict[str, Tensor]], dict[str, list[str]]]:
    """Return the windows as a data set, and their metadata."""
    return [{"tokens": row} for row in tokens], {"source": [source_of(place) for place in places]}


def draw_batch(random: Random) -> list[int]:
    """Draw distinct windows of which at least one is shallow and at least one is not."""
    while True:
        places = random.sample(range(NUM_WINDOWS), ROWS)
        if 0 < sum(source_of(place) == "shallow" for place in places) < ROWS:
            return places


def change_content(row: Tensor, random: Random) -> None:
    """Replace some tokens by others, in place; the length stays."""
    for position in random.sample(range(len(row)), random.randint(1, len(row))):
        row[position] = (int(row[position]) + random.randint(1, VOCABULARY - 1)) % VOCABULARY
