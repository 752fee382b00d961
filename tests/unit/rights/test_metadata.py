"""The licence of a distribution and the evidence for it."""

from __future__ import annotations

import dataclasses
import time

import pytest

from gradledger.rights import NOASSERTION, PackageLicense, normalise, package_license
from gradledger.rights.spellings import CLASSIFIERS, SPELLINGS

OSI = "Classifier: License :: OSI Approved ::"


@pytest.mark.parametrize(
    ("metadata", "expression", "source", "ambiguous"),
    [
        ("License-Expression: mit\nLicense: GPLv3\n", "MIT", "License-Expression", False),
        ("license-expression: MIT\r\n\r\nBody", "MIT", "License-Expression", False),
        ("License-Expression: Odd-1\nLicense: MIT\n", NOASSERTION, "License-Expression", True),
        (
            "License-Expression: MIT\nLicense-Expression: ISC\n",
            NOASSERTION,
            "License-Expression",
            True,
        ),
        ("License: MIT\n", "MIT", "License", False),
        ("License: The  MIT License\n", "MIT", "License", False),
        ("License: Apache License, Version 2.0\n", "Apache-2.0", "License", False),
        (f"License: Apache 2.0\n{OSI} Apache Software License\n", "Apache-2.0", "License", False),
        ("License: GPLv3+\n", "GPL-3.0-or-later", "License", False),
        ("License: GPLv3\n", "GPL-3.0-only", "License", False),
        (f"License: MIT\n{OSI} ISC License (ISCL)\n", "MIT", "License", True),
        ("License: BSD\n", NOASSERTION, "License", True),
        (f"License: BSD\n{OSI} BSD License\n", NOASSERTION, "License", True),
        (f"License: see file\n{OSI} MIT License\n", "MIT", "Classifier", False),
        (f"License: UNKNOWN\n{OSI} MIT License\n", "MIT", "Classifier", False),
        (f"{OSI[:-3]}\n{OSI} MIT License\n", "MIT", "Classifier", False),
        (f"{OSI[:-3]}\n", NOASSERTION, "Classifier", True),
        (f"{OSI} BSD License\n", NOASSERTION, "Classifier", True),
        (f"{OSI} MIT License\n{OSI} ISC License (ISCL)\n", "MIT AND ISC", "Classifier", False),
        (f"{OSI} MIT License\n{OSI} BSD License\n", "MIT", "Classifier", True),
        (
            f"{OSI} Python Software Foundation License\n{OSI} GNU General Public License (GPL)\n",
            "PSF-2.0",
            "Classifier",
            True,
        ),
        (
            "Classifier: License :: Other/Proprietary License\n",
            "LicenseRef-Proprietary",
            "Classifier",
            False,
        ),
        ("Classifier: Programming Language :: Python\n", NOASSERTION, "none", False),
        ("License: UNKNOWN\n", NOASSERTION, "none", False),
        ("Name: p\n\nLicense: MIT\n", NOASSERTION, "none", False),
        ("Summary: p\n  License: MIT\n", NOASSERTION, "none", False),
        ("", NOASSERTION, "none", False),
    ],
)
def test_evidence(metadata: str, expression: str, source: str, ambiguous: bool) -> None:
    found = package_license(metadata)
    assert (found.expression, found.source, found.ambiguous) == (expression, source, ambiguous)


def test_evidence_is_the_text_as_it_stands() -> None:
    assert package_license("License: the  MIT license\n").evidence == "the  MIT license"
    both = package_license(f"{OSI} MIT License\n{OSI} BSD License\n")
    assert both.evidence == (
        "License :: OSI Approved :: MIT License\nLicense :: OSI Approved :: BSD License"
    )


def test_result_is_frozen() -> None:
    found = PackageLicense("MIT", "License", "MIT", ambiguous=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.expression = "ISC"  # type: ignore[misc]


def test_tables_hold_canonical_expressions_under_reachable_names() -> None:
    for expression in {*SPELLINGS.values(), *CLASSIFIERS.values()}:
        assert normalise(expression) == expression
    for name in SPELLINGS:
        assert name == " ".join(name.casefold().split())


@pytest.mark.parametrize(
    "metadata",
    [
        "License: " + "(" * 50_000,
        "License-Expression: " + "(" * 500 + "MIT" + ")" * 500,
        "License: " + "MIT OR " * 150_000,
        "License: MIT\x00\n",
        "License-Expression: MIT\x1b[2J\n",
        "License: x\n" + " y\n" * 300_000,
        "License: MIT\n" * 80_000,
        f"{OSI} Nonesuch\n" * 20_000,
        ":" * 1_000_000,
        "\n".join(["\x00\r\t"] * 300_000),
    ],
    ids=range(10),
)
def test_hostile_text_is_noassertion_and_quick(metadata: str) -> None:
    begun = time.perf_counter()
    found = package_license(metadata)
    assert found.expression == NOASSERTION
    assert len(found.evidence) <= 1024
    assert time.perf_counter() - begun < 2
