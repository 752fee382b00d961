"""The licence of a Python distribution, from its METADATA, with the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gradledger.rights.spdx import NOASSERTION, all_of, normalise
from gradledger.rights.spellings import CLASSIFIERS, SPELLINGS, UMBRELLAS

__all__ = ["PackageLicense", "package_license"]

#: Evidence is quoted up to this many characters.
_QUOTED: Final = 1024
_FIELDS: Final = ("license-expression", "license", "classifier")


@dataclass(frozen=True)
class PackageLicense:
    """The licence of a distribution.

    Attributes:
        expression: SPDX expression in canonical spelling, ``NOASSERTION`` where none can be told.
        source: Field that says so: ``License-Expression``, ``License``, ``Classifier``; ``none``.
        evidence: Text of that field as it stands, several joined by line breaks, cut at 1,024
            characters; it is untrusted text. Empty without a field.
        ambiguous: Whether the evidence leaves open what holds: an unclear or unknown name, or
            fields that contradict each other. ``expression`` is then at most a part of the truth
            and must not admit anything by itself.
    """

    expression: str
    source: str
    evidence: str
    ambiguous: bool


def package_license(metadata: str) -> PackageLicense:
    """Read the licence of a distribution from the text of its METADATA.

    ``License-Expression`` speaks alone where it is present. Otherwise the ``License`` field counts
    if it is an SPDX expression or a well-known spelling of one licence, otherwise the
    ``License ::`` classifiers: of several, all known ones hold together, which is enough
    whether "all" or "either" was meant. One that is unclear ("BSD License") makes the result
    ambiguous: the known ones must not stand for it.

    Args:
        metadata: Text of METADATA.

    Returns:
        The licence and its evidence. Malformed text gives ``NOASSERTION``, never an error.

    Note:
        Fields: core metadata 2.4; expressions in them: PEP 639.
    """
    fields = _fields(metadata)
    if stated := fields["license-expression"]:
        expression = normalise(stated[0]) if len(stated) == 1 else None
        return _found(expression, "License-Expression", stated, ambiguous=expression is None)
    classifiers = [value for value in fields["classifier"] if value.startswith("License ::")]
    by_classifier, unclear = _by_classifiers(classifiers)
    written = [text for text in fields["license"] if text.casefold() not in {"", "unknown", "none"}]
    expression = _by_spelling(written[0]) if len(written) == 1 else None
    if expression is not None:
        contradicted = by_classifier is not None and by_classifier != expression
        return _found(expression, "License", written, ambiguous=contradicted)
    if classifiers and (by_classifier is not None or not written):
        return _found(by_classifier, "Classifier", classifiers, ambiguous=unclear)
    if written:
        return _found(None, "License", written + classifiers, ambiguous=True)
    return PackageLicense(NOASSERTION, "none", "", ambiguous=False)


def _found(
    expression: str | None, source: str, texts: list[str], *, ambiguous: bool
) -> PackageLicense:
    evidence = "\n".join(text[: _QUOTED + 1] for text in texts)
    if len(evidence) > _QUOTED:
        evidence = evidence[: _QUOTED - 1] + "…"
    return PackageLicense(expression or NOASSERTION, source, evidence, ambiguous)


def _fields(metadata: str) -> dict[str, list[str]]:
    """Values of the fields on licences, unfolded; the body after the head is not read."""
    values: dict[str, list[list[str]]] = {name: [] for name in _FIELDS}
    current: list[str] | None = None
    for line in metadata.replace("\r\n", "\n").split("\n"):
        if not line:
            break
        if line[0] in " \t":
            if current is not None:
                current.append(line.strip())
            continue
        name, _, value = line.partition(":")
        current = [value.strip()]
        if (held := values.get(name.strip().lower())) is not None:
            held.append(current)
    return {name: ["\n".join(lines) for lines in found] for name, found in values.items()}


def _by_spelling(text: str) -> str | None:
    """The licence that a License field names, None where it is no expression or known spelling."""
    if len(text) > _QUOTED:
        return None  # the text of a licence, not its name
    return SPELLINGS.get(" ".join(text.casefold().split())) or normalise(text)


def _by_classifiers(classifiers: list[str]) -> tuple[str | None, bool]:
    """The licences that classifiers name, all together, and if that leaves something open."""
    speaking = [text for text in dict.fromkeys(classifiers) if text not in UMBRELLAS]
    known = list(dict.fromkeys(CLASSIFIERS[text] for text in speaking if text in CLASSIFIERS))
    unclear = not known or any(text not in CLASSIFIERS for text in speaking)
    return (all_of(known) if known else None), unclear
