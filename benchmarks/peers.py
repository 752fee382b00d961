"""Attribution methods on one training of digits, ours and peers from PyPI, all in one shape.

A method returns, for every example and query, how the query's loss begins to change with the
example's weight: negative where the example lowered it. Peers score helpfulness, so their sign is
turned. A peer that is not installed is left out, and the results say so; none is a dependency.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from benchmarks.digits import Digits
from benchmarks.ensemble import recorded_batches
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.replay.adjoint import derive
from gradledger.replay.recorded import RecordedRun

State = dict[str, Tensor]


@dataclass
class Setting:
    """One training, and what is asked about it.

    Attributes:
        run: The training.
        num_queries: Queries that are attributed.
        states: Model after every epoch.
        order: Example numbers of every step.
    """

    run: Digits
    num_queries: int
    states: list[State] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Train plainly, and keep the model after every epoch; train recorded, for the order."""
        watched = _Watched(*self.run.build(), self.run.num_steps // self.run.epochs, self.states)
        self.run.loop(watched)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            with gl.record(path, *self.run.build(), level="decisions") as recorder:
                self.run.loop(recorder)
            self.order = recorded_batches(RecordedRun(path))

    def model(self) -> nn.Module:
        """Return the trained model."""
        model, _ = self.run.build()
        model.load_state_dict(self.states[-1])
        return model

    def queries(self) -> tuple[Tensor, Tensor]:
        """Return images and labels of the queries."""
        images, labels = self.run.queries
        return images[: self.num_queries], labels[: self.num_queries]

    def loaders(self) -> tuple[Any, Any]:
        """Return examples and queries, in order."""
        parts = (self.run.images, self.run.labels), self.queries()
        train, test = (
            DataLoader(TensorDataset(*part), batch_size=len(part[0]), shuffle=False)
            for part in parts
        )
        return train, test


class _Watched:
    """What a loop sees where nothing is recorded but models after epochs."""

    def __init__(
        self, model: nn.Module, optimizer: Any, steps_per_epoch: int, states: list[State]
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._every, self._states, self._done = steps_per_epoch, states, 0

    def admit(self, dataset: Any, metadata: Any = None) -> Any:  # noqa: ARG002 - as Recorder
        return dataset

    def batches(self, loader: Any) -> Any:
        return loader

    def step(self, batch: Any) -> AbstractContextManager[None]:  # noqa: ARG002 - as Recorder
        return self._step()

    @contextmanager
    def _step(self) -> Iterator[None]:
        yield
        self._done += 1
        if self._done % self._every == 0:
            self._states.append({k: v.clone() for k, v in self.model.state_dict().items()})


def exact_derivative(setting: Setting, blunt: float = 0.0) -> np.ndarray:
    """Return the derivative through the recorded run, shape (N, Q)."""
    run = setting.run
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        behaviours = run.behaviours(setting.num_queries)
        found = derive(RecordedRun(path), run.build, run.loop, behaviours, blunt=blunt)
    return found.by_example(run.num_train).T


def captum_tracin(setting: Setting) -> np.ndarray:
    """Return TracInCP of captum over the models after every epoch."""
    module = import_module("captum.influence")
    with TemporaryDirectory() as folder:
        paths = []
        for number, state in enumerate(setting.states):
            paths.append(f"{folder}/{number}.pt")
            torch.save(state, paths[-1])

        def load(model: nn.Module, path: str) -> float:
            model.load_state_dict(torch.load(path))
            return setting.run.learning_rate

        tracin = module.TracInCP(
            setting.model(),
            TensorDataset(setting.run.images, setting.run.labels),
            paths,
            checkpoints_load_func=load,
            loss_fn=nn.CrossEntropyLoss(reduction="sum"),
            batch_size=250,
            sample_wise_grads_per_batch=True,
        )
        found: Tensor = tracin.influence(setting.queries())
    return -found.detach().double().numpy().T


def _task(setting: Setting, states: Any) -> Any:
    model = setting.model()

    def loss(params: Any, rows: Any) -> Tensor:
        images, labels = rows
        # One row at a time under vmap, or a whole batch.
        images, labels = images.reshape(-1, images.shape[-1]), labels.reshape(-1)
        logits = functional_call(model, params, (images,))
        return nn.functional.cross_entropy(logits, labels)

    return import_module("dattri.task").AttributionTask(
        loss_func=loss, model=model, checkpoints=states
    )


def dattri_tracin(setting: Setting) -> np.ndarray:
    """Return TracIn of dattri over the models after every epoch."""
    rates = torch.full((len(setting.states),), setting.run.learning_rate)
    attributor = import_module("dattri.algorithm.tracin").TracInAttributor(
        task=_task(setting, setting.states), weight_list=rates, normalized_grad=False
    )
    found: Tensor = attributor.attribute(*setting.loaders())
    return -found.detach().double().numpy()


def dattri_influence(setting: Setting, damping: float = 1e-2) -> np.ndarray:
    """Return the influence function of dattri at the end of training, by conjugate gradients."""
    attributor = import_module("dattri.algorithm.influence_function").IFAttributorCG(
        task=_task(setting, setting.states[-1]), max_iter=20, regularization=damping
    )
    train, test = setting.loaders()
    attributor.cache(train)
    found: Tensor = attributor.attribute(train, test)
    return -found.detach().double().numpy()


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: In keys of figures.
        label: In tables.
        package: Of PyPI; empty for our own.
        score: Returns derivatives by weight, shape (N, Q).
    """

    name: str
    label: str
    package: str
    score: Callable[[Setting], np.ndarray]

    def version(self) -> str | None:
        """Return the installed version; None where the peer is missing."""
        if not self.package:
            return ""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def __call__(self, setting: Setting) -> np.ndarray:
        """Score, without the peers' warnings."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.score(setting)


METHODS = (
    Method("gradledger", "exact derivative through the recorded run", "", exact_derivative),
    Method(
        "gradledger_blunted",
        "the same, blunted at 3e-3",
        "",
        lambda setting: exact_derivative(setting, 3e-3),
    ),
    Method("captum_tracin", "TracInCP, every epoch", "captum", captum_tracin),
    Method("dattri_tracin", "TracIn, every epoch", "dattri", dattri_tracin),
    Method("dattri_influence", "influence function, CG, damping 0.01", "dattri", dattri_influence),
)
