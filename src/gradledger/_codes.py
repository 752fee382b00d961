"""The catalogue of error codes: code -> title. Codes are never reused.

Each code has an entry in ``docs/reference/errors.md``; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    # I: input
    "I101": "example was never admitted",
    "I102": "batch does not match its examples",
    "I103": "metadata does not fit the data set",
    "I104": "setting is not one of those allowed",
    "I105": "batch did not come from run.batches and names no examples",
    "I106": "step begun out of order",
    "I107": "update outside a recorded step",
    "I108": "closures are not recorded",
    "I109": "optimizer and model do not belong together",
    "I110": "loader whose order cannot be noted",
    "I111": "gradients left from before the step",
    "I121": "value has no canonical form",
    "I122": "text is not strict JSON",
    "I123": "salt is too short",
    "I151": "manifest of the demo is malformed",
    "I152": "wheel is not safe to read",
    "I153": "wheel does not match its own record",
    # P: policy
    # G: gradient
    "G101": "rows of a module do not match the visits of the batch",
    "G102": "profile other than full on coupled rows",
    "G103": "gradient is not finite",
    "G104": "profile needs capture on a parameter that has none",
    "G105": "parameter received gradient outside its module",
    "G106": "input of a module was changed in place",
    "G107": "rows of a batch are mixed",
    # U: update
    "U101": "optimizer is not supported",
    "U102": "optimizer setting is not supported",
    "U103": "parameter cannot be booked",
    "U104": "optimizer state is not that of one step later",
    "U105": "loss scale is applied inside the optimizer",
    "U106": "accounts do not fit their parameter",
    # B: books
    "B101": "books of a step do not balance",
    "B102": "state changed between steps",
    # S: storage
    "S101": "run directory exists already",
    "S111": "run is held by another writer",
    "S112": "file cannot be written",
    "S113": "file cannot be read",
    "S114": "rows do not fit their table",
    "S115": "table cannot be read",
    "S121": "model state exists already",
    "S122": "model state does not fit",
    "S123": "model state is damaged",
    "S124": "value cannot be stored in a model state",
    "S131": "run holds a file that cannot be sealed",
    "S151": "wheels of the demo cannot be downloaded",
    "S152": "cache of the demo cannot be written",
    "S153": "wheels of the demo are not in the cache",
    # R: replay
    "R101": "run is not closed",
    "R102": "model state is not stored",
    "R103": "replay differs from the record",
    "R104": "content differs from the record",
    "R105": "training loop ended at another step",
    # Q: query
    "Q101": "directory is not a run",
    "Q102": "run is damaged",
    "Q103": "format of the run is not known",
    "Q104": "parameter group is not known",
    "Q105": "column or table is not known",
    "Q106": "steps are outside the run",
    "Q107": "measure is not available",
    "Q108": "nothing matches the selection",
    "Q109": "optional package is missing",
    "Q110": "argument is not one of those allowed",
    "Q111": "run has no steps",
}
