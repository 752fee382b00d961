"""Tables of a run: folder, fixed columns and their logical types.

Column types are words that ``segment`` turns into Arrow types: ``int32``, ``int16``, ``float32``,
``float64``, ``string``, ``label`` (dictionary-coded string), ``digest`` (32 bytes), ``bool``.
Tables may carry further columns: the visits table has ``align_G`` (inner product of the accrual
entry with the step's delta), ``gnorm_G`` (gradient norm) and, where asked for, ``unorm_G`` (norm of
the accrual entry) for each group number G; ``examples`` has one column per metadata field; the
sketches table has ``sketch_G`` (``bytesK``: K signed bytes) and ``scale_G`` (what they are to be
multiplied by); the displacement table has ``share_G`` (inner product of the entry with the group's
displacement), the probes' table of visits ``nats_G`` (inner product of the entry with the probe's
gradient).
"""

from __future__ import annotations

from typing import Final

from gradledger.schema.lines import ACCRUAL_LINES, CASH_LINES

Columns = dict[str, str]

EXAMPLES: Final[Columns] = {
    "example": "int32",  # dense number, in the order of admission
    "example_id": "string",  # keyed by the run's salt
    "decision": "int32",
    "content": "string",  # keyed commitment to the content, hex; null where none was taken
}

DECISIONS: Final[Columns] = {
    "decision": "int32",
    "verdict": "label",
    "class": "label",
    "profile": "label",
    "policy_digest": "label",
    "policy_id": "label",
    "policy_version": "label",
    "decided_at": "label",
    "attributes": "string",  # canonical JSON
    "reason": "string",
}

TRUTHS: Final[Columns] = {
    "decision": "int32",
    "rule": "label",
    "effect": "label",
    "truth": "label",
    "determining": "bool",
}

VISITS: Final[Columns] = {
    "step": "int32",
    "micro_batch": "int16",
    "position": "int16",
    "example": "int32",
    "decision": "int32",
    "loss": "float32",  # nats; null where the caller gave none
    "tokens": "int32",  # null where the batch has no token axis
    "digest": "digest",  # SHA-256 of the tensors presented
}

STEPS: Final[Columns] = {
    "step": "int32",
    "micro_batches": "int16",
    "visits": "int32",
    "loss": "float64",
    "wall_seconds": "float64",
    "record_seconds": "float64",
    "fingerprint_before": "string",  # 16 hex digits; parameters, optimizer state, buffers
    "fingerprint_after": "string",
    "rng_fingerprint": "string",
    "skipped": "bool",
    "coupled": "bool",
    "verdict": "label",  # worst verdict over the groups
}

BOOKS: Final[Columns] = {
    "step": "int32",
    "group": "int32",
    "delta_norm": "float64",
    "learning_rate": "float64",
    "clip": "float64",  # kappa: factor between accumulated and consumed gradient
    "cash_factor": "float64",  # cash alignment = cash_factor * accrual alignment
    "routed": "bool",
    **{f"{line}_{part}": "float64" for line in CASH_LINES for part in ("norm", "dot")},
    **{f"{line}_{part}": "float64" for line in ACCRUAL_LINES for part in ("norm", "dot")},
    "visit_norms": "float64",  # sum over visits of |C kappa gamma_v|
    "residual_ratio": "float64",
    "gap_ratio": "float64",
    "gap_noise_ratio": "float64",  # bound on rounding noise of the gap; null: gap within its bar
    "gap_excess_ratio": "float64",  # what of the gap is beyond that bound; null likewise
    "rounding_ratio": "float64",  # |rho| / |delta|
    "ulp_ratio": "float64",  # 2 |ulp(theta)| / |delta|
    "verdict": "label",
}

SKETCHES: Final[Columns] = {
    "step": "int32",
    "micro_batch": "int16",
    "position": "int16",
    "example": "int32",
    "decision": "int32",
}

DISPLACEMENT: Final[Columns] = {
    "interval": "int32",
    "start_step": "int32",  # displacement is theta after stop_step minus theta after start_step
    "stop_step": "int32",
    "step": "int32",
    "micro_batch": "int16",
    "position": "int16",
    "example": "int32",
    "decision": "int32",
}

DISPLACEMENT_LINES: Final[Columns] = {
    "interval": "int32",
    "start_step": "int32",
    "stop_step": "int32",
    "group": "int32",
    "line": "label",
    "dot": "float64",  # inner product of the line's sum with the displacement
    "displacement_sq": "float64",  # squared norm of the displacement
}

PROBE_VALUES: Final[Columns] = {
    "probe": "label",  # name
    "step": "int32",  # measured after this step; 0 is before the first
    "value": "float64",  # mean loss in nats
}

_PROBE_INTERVAL: Final[Columns] = {
    "probe": "label",
    "interval": "int32",  # numbered per probe
    "start_step": "int32",  # from the state after start_step to that after stop_step
    "stop_step": "int32",
}

PROBE_VISITS: Final[Columns] = {
    **_PROBE_INTERVAL,
    "step": "int32",
    "micro_batch": "int16",
    "position": "int16",
    "example": "int32",
    "decision": "int32",
}

#: Line of what buffers (running statistics) did to a probe: they have no accrual lines.
BUFFERS_LINE: Final = "buffers"

PROBE_LINES: Final[Columns] = {
    **_PROBE_INTERVAL,
    "group": "int32",  # null for all buffers together
    "line": "label",  # an accrual line, or "buffers"
    "nats": "float64",  # inner product of the line's sum with the mean gradient of both ends
}

PROBE_INTERVALS: Final[Columns] = {
    **_PROBE_INTERVAL,
    "before": "float64",  # value after start_step
    "after": "float64",
    "measured": "float64",  # after - before
    "linear": "float64",  # inner product of the mean gradient with the displacement itself
    "explained": "float64",  # sum of all lines; equals linear but for rounding of the books
    "residual": "float64",  # measured - explained: curvature within the interval
}

#: Tables that are computed from a run after its end.
DERIVED_TABLES: Final = (
    "displacement/visits",
    "displacement/lines",
    "frozen/visits",
    "frozen/lines",
    "probes/visits",
    "probes/lines",
    "probes/intervals",
)

TABLES: Final[dict[str, Columns]] = {
    "decisions/examples": EXAMPLES,
    "decisions/distinct": DECISIONS,
    "decisions/truths": TRUTHS,
    "visits": VISITS,
    "steps": STEPS,
    "books": BOOKS,
    "sketches": SKETCHES,
    "displacement/visits": DISPLACEMENT,
    "displacement/lines": DISPLACEMENT_LINES,
    "frozen/visits": DISPLACEMENT,
    "frozen/lines": DISPLACEMENT_LINES,
    "probes/values": PROBE_VALUES,
    "probes/visits": PROBE_VISITS,
    "probes/lines": PROBE_LINES,
    "probes/intervals": PROBE_INTERVALS,
}
