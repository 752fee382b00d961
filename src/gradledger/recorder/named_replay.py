"""The name under which the training loop of a run is found again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json
from gradledger.errors import InputError

#: Dotted module, colon, one function.
_FORM: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def named_replay(
    entry: str | None, arguments: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Return what the begin record says of the training loop; nothing is imported.

    Args:
        entry: ``package.module:function``; None where the run names none.
        arguments: Its keyword arguments.

    Raises:
        InputError: The name has another form, or arguments come without a name (I104); an
            argument is no JSON value (I121).
    """
    if entry is None and not arguments:
        return None
    if entry is None or not _FORM.fullmatch(entry):
        raise InputError(
            "I104",
            observed=f"replay={entry!r:.200}",
            expected="'package.module:function'",
            where="gl.record",
            hint="name a function that returns build and train",
        )
    return {"entry": entry, "arguments": parse_json(canonical_json(dict(arguments or {})))}
