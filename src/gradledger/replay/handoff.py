"""A script as something that builds and trains: its own thread runs it, the engine waits beside it.

A replay calls ``build`` and ``train``. A script does both from its top to its end and calls
``gl.record`` in between, so that it cannot be called in pieces. The engine therefore runs in a
thread of its own: ``build`` returns what the script passed to ``gl.record``, ``train`` hands the
recorder over and waits until the script closes it. Only one of the two threads ever runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from torch import nn, optim

from gradledger.errors import ReplayError
from gradledger.recorder.order import RecordEnd
from gradledger.recorder.recorder import Recorder
from gradledger.replay.loop import TrainingLoop

#: What the engine does with a loop.
Work = Callable[[TrainingLoop], None]


class Handoff:
    """Two threads by turns: the script's and the engine's.

    Args:
        model: What the script built.
        optimizer: Its optimizer.
        work: Executed in the engine's thread.
    """

    def __init__(self, model: nn.Module, optimizer: optim.Optimizer, work: Work) -> None:
        self._model, self._optimizer, self._work = model, optimizer, work
        self._to_script: SimpleQueue[Recorder | BaseException] = SimpleQueue()
        self._to_engine: SimpleQueue[BaseException | None] = SimpleQueue()
        self._engine = threading.Thread(target=self._run, name="gradledger-replay", daemon=True)
        self._is_trained = self._is_over = False

    def begin(self) -> Recorder:
        """Start the engine; return the recorder that the script goes on with.

        Raises:
            GradledgerError: The engine refuses to begin.
        """
        self._engine.start()
        answer = self._to_script.get()
        if isinstance(answer, BaseException):
            self._is_over = True
            raise answer
        return answer

    def end(self, failure: BaseException | None = None) -> None:
        """Tell the engine that the script's training is over, and wait until it is done too.

        Args:
            failure: What ended it early.
        """
        if not self._is_over:
            self._is_over = True
            self._to_engine.put(failure)
            self._engine.join()

    @property
    def is_over(self) -> bool:
        """Whether the engine was told that training is over."""
        return self._is_over

    def _run(self) -> None:
        try:
            self._work(TrainingLoop(self._build, self._train))
            if not self._is_trained:  # Everything was known already.
                self._to_script.put(RecordEnd())
        except BaseException as error:  # noqa: BLE001 - raised again, in the thread of the script
            self._to_script.put(error)

    def _build(self) -> tuple[nn.Module, optim.Optimizer]:
        return self._model, self._optimizer

    def _train(self, recorder: Recorder) -> None:
        if self._is_trained:
            raise ReplayError(
                "R144",
                observed="a second training",
                expected="one training in each process of a script",
                where="gl.record",
                hint="execute each part of the run in a process of its own",
            )
        self._is_trained = True
        self._to_script.put(recorder)
        failure = self._to_engine.get()
        if failure is not None:
            raise failure


class GuestRecorder:
    """What ``gl.record`` gives a script that is executed again: closing it ends the script.

    Args:
        recorder: The recorder of the replay.
        finish: Called once, when the script closes the recorder or everything is executed.
    """

    def __init__(self, recorder: Recorder, finish: Callable[[], None]) -> None:
        self._recorder, self._finish = recorder, finish

    def __getattr__(self, name: str) -> Any:
        """Return what the recorder has."""
        return getattr(self._recorder, name)

    def close(self) -> None:
        """Close, and end the script."""
        self._recorder.close()
        self._finish()

    def __enter__(self) -> GuestRecorder:
        """Use as a context, as a recorder is."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close after success, and where nothing is left to execute; else let the error pass."""
        if kind is None or issubclass(kind, RecordEnd):
            self.close()
        else:
            self._recorder.__exit__(kind, error, trace)
