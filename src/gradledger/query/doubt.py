"""Doubt about rights: licences that nobody vouches for, and rights that end."""

from __future__ import annotations

from typing import Final

from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.selection import Key, metadata_columns

#: Columns that may hold the licence of an example, the most considered one first.
LICENSE_COLUMNS: Final = ("effective_license", "license", "licence", "license_expression", "spdx")
#: Columns that may say where an example came from.
SOURCE_COLUMNS: Final = ("source", "package", "dataset", "publisher")
#: Columns that may say when a right to use an example ends.
END_COLUMNS: Final = (
    "expires_at",
    "valid_until",
    "rights_until",
    "license_expires",
    "withdrawn_at",
    "consent_withdrawn_at",
)

#: Words that stand where a licence should, in capitals: SPDX's own two, and what people write.
_NO_LICENSE: Final = (
    "NOASSERTION",
    "NONE",
    "UNKNOWN",
    "UNSPECIFIED",
    "N/A",
    "NAN",
    "NULL",
    "LICENSEREF-UNKNOWN",
)

KNOWN: Final = "known"

ENDED: Final = "ended"
UNREADABLE: Final = "end cannot be read"
SOON: Final = "ends within 90 days"
YEAR: Final = "ends within 365 days"
LATER: Final = "ends later"
OPEN: Final = "no end recorded"

_DAY_MICROSECONDS: Final = 86_400_000_000


def present_column(records: Records, names: tuple[str, ...]) -> str | None:
    """Return the first of these metadata columns that the run has."""
    present = metadata_columns(records)
    return next((name for name in names if name in present), None)


def license_doubt(records: Records) -> Key:
    """Return the key that tells why an example's licence counts as unknown, or ``known``.

    Unknown are: no licence column, no value, a word such as NOASSERTION anywhere in the
    expression, and the class ``unknown`` that a policy gives to what matches none of its classes.
    """
    joins = (
        'LEFT JOIN (SELECT decision, any_value("class") AS class FROM decisions GROUP BY 1) dc '
        "USING (decision)"
    )
    column = present_column(records, LICENSE_COLUMNS)
    if column is None:
        return Key("doubt", "'no licence column'", joins)
    words = ", ".join(f"'{word}'" for word in _NO_LICENSE)
    joins += (
        f" LEFT JOIN (SELECT example, upper(trim(CAST({quote(column)} AS VARCHAR))) AS held "
        "FROM examples) el USING (example)"
    )
    expression = (
        "CASE WHEN el.held IS NULL OR el.held = '' THEN 'no licence recorded' "
        f"WHEN len(list_intersect(string_split_regex(el.held, '[()\\s]+'), [{words}])) > 0 "
        "THEN 'licence says that it is not known' "
        "WHEN dc.class = 'unknown' THEN 'class unknown' "
        f"ELSE '{KNOWN}' END"
    )
    return Key("doubt", expression, joins)


def rights_end(records: Records, as_of_microseconds: int) -> Key | None:
    """Return the key that tells whether an example's right has ended at a moment.

    Args:
        records: The run.
        as_of_microseconds: The moment, in microseconds since 1970 UTC.

    Returns:
        The key; ``None`` where the run has no column that says when a right ends. Of several
        columns the earliest end counts; an end that cannot be read is a group of its own.
    """
    present = [name for name in END_COLUMNS if name in metadata_columns(records)]
    if not present:
        return None
    kinds = records.columns["examples"]
    ends, bad = [], []
    for name in present:
        column = quote(name)
        if kinds[name].startswith("TIMESTAMP"):
            ends.append(f"epoch_us({column})")
            continue
        text = f"nullif(trim(CAST({column} AS VARCHAR)), '')"
        moment = f"epoch_us(TRY_CAST({text} AS TIMESTAMP))"
        ends.append(moment)
        bad.append(f"({text} IS NOT NULL AND {moment} IS NULL)")
    joins = (
        f"LEFT JOIN (SELECT example, least({', '.join(ends)}) AS until, "
        f"{' OR '.join(bad) or 'false'} AS unreadable FROM examples) en USING (example)"
    )
    now = int(as_of_microseconds)
    expression = (
        f"CASE WHEN en.until < {now} THEN '{ENDED}' "
        f"WHEN en.unreadable THEN '{UNREADABLE}' "
        f"WHEN en.until IS NULL THEN '{OPEN}' "
        f"WHEN en.until < {now + 90 * _DAY_MICROSECONDS} THEN '{SOON}' "
        f"WHEN en.until < {now + 365 * _DAY_MICROSECONDS} THEN '{YEAR}' "
        f"ELSE '{LATER}' END"
    )
    return Key("end", expression, joins)
