"""The steps of a run: visits, loss, size of the change, balance, time."""

from __future__ import annotations

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.measures import USABLE, numbers
from gradledger.query.names import match_groups, match_steps
from gradledger.query.orphans import resumed_steps
from gradledger.query.records import Records
from gradledger.query.standing import standing_notes

_COLUMNS = (
    Column("step", "step", "integer"),
    Column("visits", "visits", "integer"),
    Column("loss", "loss [nats]", "number"),
    Column("learning_rate", "lr", "number"),
    Column("clip", "clip", "number", in_text=False),
    Column("delta_norm", "|delta|", "number"),
    Column("visits_share", "visits", "share"),
    Column("residual_ratio", "residual", "number"),
    Column("milliseconds", "ms", "number", in_text=False),
    Column("record_percent", "rec. %", "number"),
    Column("flags", "flags"),
    Column("verdict", "verdict"),
)


def steps(records: Records, start: int | None = None, stop: int | None = None) -> Answer:
    """Return one row per step from ``start`` to ``stop``, both included.

    Raises:
        QueryError: Q106 steps outside the run, Q111 no steps.
    """
    matched, span = match_groups(records, None), match_steps(records, start, stop)
    resumed = numbers(resumed_steps(records))
    rows = records.ask(
        f"""
        WITH b AS (
            SELECT step, sqrt(sum(delta_norm * delta_norm) FILTER ({USABLE})) AS delta_norm,
                   sum(contributions_dot) FILTER ({USABLE} AND isfinite(contributions_dot))
                       / nullif(sum(delta_norm * delta_norm) FILTER ({USABLE}), 0) AS share,
                   max(CASE WHEN isfinite(residual_ratio) THEN residual_ratio END) AS residual,
                   max(learning_rate) AS learning_rate, min(clip) AS clip
            FROM books WHERE "group" IN ({numbers(matched.numbers)}) AND step BETWEEN ? AND ?
            GROUP BY step
        )
        SELECT s.step, s.visits, s.loss, b.learning_rate, b.clip, b.delta_norm, b.share, b.residual,
               1000 * s.wall_seconds, 100 * s.record_seconds / nullif(s.wall_seconds, 0),
               concat_ws(' ', CASE WHEN s.step IN ({resumed}) THEN 'resumed' END,
                         CASE WHEN s.skipped THEN 'skipped' END,
                         CASE WHEN s.coupled THEN 'coupled' END,
                         CASE WHEN s.micro_batches > 1 THEN s.micro_batches || ' micro' END),
               s.verdict
        FROM steps s LEFT JOIN b USING (step) WHERE s.step BETWEEN ? AND ? ORDER BY s.step
        """,
        [span.start, span.stop] * 2,
    )
    return Answer(
        question="steps",
        title=str(span).capitalize(),
        kind="accounting",
        tables=(Table("steps", f"{len(rows)} steps", _COLUMNS, tuple(rows)),),
        notes=(
            "visits (share): cash share of |delta|^2 that is booked to this step's own visits",
            "lr: the largest over the groups; residual: the largest ratio",
            "rec. %: part of the wall time that was spent on recording",
            *standing_notes(records, matched, span),
        ),
    )
