"""A stand-in for ``gl.record``: how a script is examined or executed again without being changed.

``gradledger doctor`` runs a script in a process of its own, with a function that is called in place
of recording. Processes that the script starts itself have no stand-in, but they inherit the
environment variable ``GRADLEDGER_DOCTOR``: in them recording is refused, and nothing is trained.

``gradledger replay`` starts the script's own command, whatever it is, with the environment variable
``GRADLEDGER_REPLAY``. Only an environment reaches through a launcher; so the room that replays is
loaded from here, by its name, when ``gl.record`` is called and the variable is set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gradledger.errors import InputError

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder

#: Set to anything while a script is examined.
VARIABLE: Final = "GRADLEDGER_DOCTOR"
#: Names the request of a replay, in a process that ``gradledger replay`` started.
REPLAY_VARIABLE: Final = "GRADLEDGER_REPLAY"

#: Called like ``record``.
StandIn = Callable[..., "Recorder"]

_ACTIVE: list[StandIn | None] = []


@contextmanager
def standing_in(function: StandIn | None) -> Iterator[None]:
    """Call ``function`` wherever ``record`` is called inside; None records after all."""
    _ACTIVE.append(function)
    try:
        yield
    finally:
        _ACTIVE.pop()


def stand_in() -> StandIn | None:
    """Return what is called in place of recording; None to record.

    Raises:
        InputError: This process was started by a script that is examined. Code I143.
    """
    if _ACTIVE:
        return _ACTIVE[-1]
    if os.environ.get(VARIABLE):
        raise InputError(
            "I143",
            observed="gl.record in a process that the examined script started",
            expected="gl.record in the process of the script itself",
            where="gradledger doctor",
            hint="examine a function instead: gradledger doctor package.module:function",
        )
    return None


def call_of(run_dir: Any, model: Any, optimizer: Any, settings: dict[str, Any]) -> Any:
    """Call the stand-in, if there is one; None where recording goes on."""
    request = os.environ.get(REPLAY_VARIABLE)
    if request and not _ACTIVE:
        return import_module("gradledger.replay.guest").take_over(
            request, run_dir, model, optimizer
        )
    function = stand_in()
    return None if function is None else function(run_dir, model, optimizer, **settings)
