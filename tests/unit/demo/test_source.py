"""Evidence of a licence, file by file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gradledger.demo.manifest import WheelPin
from gradledger.demo.source import SourceFile, effective_license, source_files
from gradledger.demo.wheels import read_wheel
from gradledger.rights import NOASSERTION

Make = Callable[..., WheelPin]
CLASSIFIER = "Classifier: License :: OSI Approved :: "
HEADER = "# SPDX-License-Identifier: Apache-2.0\n"


def read(make_wheel: Make, folder: Path, metadata: str, **files: str) -> dict[str, SourceFile]:
    paths = {name.replace("__", "/") + ".py": text for name, text in files.items()}
    pin = make_wheel("one", paths, metadata=metadata)
    wheel = read_wheel(folder / "wheels" / pin.filename)
    return {file.path: file for file in source_files(wheel, min_bytes=1, max_bytes=9999)}


@pytest.mark.parametrize(
    ("package", "header", "vendored", "expected"),
    [
        ("MIT", None, False, "MIT"),
        ("MIT", "ISC", False, "ISC"),
        ("MIT", None, True, NOASSERTION),
        ("MIT", "ISC", True, "ISC"),
        (NOASSERTION, None, False, NOASSERTION),
        (NOASSERTION, "ISC", False, "ISC"),
    ],
)
def test_the_effective_licence(
    package: str, header: str | None, vendored: bool, expected: str
) -> None:
    assert effective_license(package, header, vendored=vendored) == expected


def test_the_header_overrides_the_package(make_wheel: Make, tmp_path: Path) -> None:
    files = read(make_wheel, tmp_path, "License-Expression: MIT\n", a=HEADER + "x = 1\n", b="y\n")
    assert files["a.py"].file_license == files["a.py"].effective_license == "Apache-2.0"
    assert files["b.py"].file_license is None
    assert files["b.py"].effective_license == files["b.py"].license == "MIT"


def test_vendored_code_does_not_inherit(make_wheel: Make, tmp_path: Path) -> None:
    files = read(
        make_wheel,
        tmp_path,
        "License-Expression: MIT\n",
        p___vendor__a="x = 1\n",
        p___vendor__b=HEADER + "x = 2\n",
    )
    assert files["p/_vendor/a.py"].effective_license == NOASSERTION
    assert files["p/_vendor/a.py"].license == "MIT"
    assert files["p/_vendor/b.py"].effective_license == "Apache-2.0"


def test_a_choice_stays_a_choice(make_wheel: Make, tmp_path: Path) -> None:
    files = read(make_wheel, tmp_path, "License-Expression: MIT OR Apache-2.0\n", a="x\n")
    assert files["a.py"].effective_license == "MIT OR Apache-2.0"


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "License: UNKNOWN\n",
        "License: Dual License\n",
        CLASSIFIER + "BSD License\n" + CLASSIFIER + "Apache Software License\n",
        CLASSIFIER + "MIT License\n" + CLASSIFIER + "GNU General Public License (GPL)\n",
    ],
)
def test_no_licence_and_a_doubtful_one_are_noassertion(
    make_wheel: Make, tmp_path: Path, metadata: str
) -> None:
    assert read(make_wheel, tmp_path, metadata, a="x\n")["a.py"].license == NOASSERTION


def test_words_that_leave_it_open_are_marked(make_wheel: Make, tmp_path: Path) -> None:
    files = read(make_wheel, tmp_path, "License: BSD\n", a="x\n", b=HEADER, p___vendor__c="y\n")
    assert [file.license_text for file in files.values()] == ["BSD"] * 3
    assert {path: file.license_ambiguous for path, file in files.items()} == {
        "a.py": True,
        "b.py": False,
        "p/_vendor/c.py": False,
    }


def test_a_header_that_cannot_be_read_hides_the_package(make_wheel: Make, tmp_path: Path) -> None:
    text = "# SPDX-License-Identifier: My-Own\nx = 1\n"
    file = read(make_wheel, tmp_path, "License-Expression: MIT\n", a=text)["a.py"]
    assert file.file_license == file.effective_license == NOASSERTION


def test_facts_of_a_file(make_wheel: Make, tmp_path: Path) -> None:
    text = "# Copyright 2020 Ä\r\nx = 1"
    file = read(make_wheel, tmp_path, "License-Expression: MIT\n", tests__a=text)["tests/a.py"]
    content = text.encode()
    assert file.text.encode() == content
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert (file.num_bytes, file.num_lines) == (len(content), 2)
    assert file.is_test
    assert file.has_copyright_line
    assert file.key == "one:tests/a.py"
    assert file.attributes()["source"] == "pypi:one"
