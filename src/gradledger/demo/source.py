"""A source file of the corpus, with the licence evidence that was found for it.

Evidence is read from the wheel itself: the licence of the package from its METADATA, the licence
of the file from its own SPDX header. The *effective* licence is the header's where there is one. A
file in a folder of vendored code without a header has none that is known: the licence of the
package that carries it need not be the licence of what is carried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gradledger.demo.measure import (
    bits_per_byte,
    has_copyright_line,
    is_test_path,
    is_vendored_path,
)
from gradledger.demo.wheels import Wheel
from gradledger.rights import NOASSERTION, header_license, package_license

__all__ = ["SourceFile", "effective_license", "source_files"]


@dataclass(frozen=True)
class SourceFile:
    """One Python file, its text and what is known of it.

    Attributes:
        package: Name of the distribution.
        version: Its version.
        path: Path within the wheel.
        text: The text, decoded as UTF-8; encoding it gives back the bytes exactly.
        sha256: SHA-256 of the bytes, hex; the publisher's RECORD gives the same.
        license: SPDX expression of the package; ``NOASSERTION`` where its METADATA has none, or
            words that leave open what holds: part of a doubtful answer is no answer.
        license_evidence: Field of METADATA that says so.
        license_text: What that field says, word for word.
        license_ambiguous: Whether the licence of this file rests on words that leave it open.
        file_license: SPDX expression in the file's own header, None without one.
        effective_license: The expression that holds for this file.
        vendored: Whether it lies in a folder for copies of other projects.
        is_test: Whether it is a test.
        has_copyright_line: Whether it names a copyright holder or year.
        num_bytes: Length in bytes.
        num_lines: Lines.
        band: Complexity in bits per byte after compression.
        duplicate_of: Key of the file that has the same content and counts as the original.
    """

    package: str
    version: str
    path: str
    text: str
    sha256: str
    license: str
    license_evidence: str
    license_text: str
    license_ambiguous: bool
    file_license: str | None
    effective_license: str
    vendored: bool
    is_test: bool
    has_copyright_line: bool
    num_bytes: int
    num_lines: int
    band: float
    duplicate_of: str | None = None

    @property
    def key(self) -> str:
        """``package:path``."""
        return f"{self.package}:{self.path}"

    def attributes(self) -> dict[str, Any]:
        """What is known of the file, by the names that the policy and the records use."""
        return {
            "source": f"pypi:{self.package}",
            "package": self.package,
            "version": self.version,
            "path": self.path,
            "license": self.license,
            "license_evidence": self.license_evidence,
            "license_text": self.license_text,
            "license_ambiguous": self.license_ambiguous,
            "file_license": self.file_license,
            "effective_license": self.effective_license,
            "vendored": self.vendored,
            "duplicate_of": self.duplicate_of or "",
            "is_test": self.is_test,
            "has_copyright_line": self.has_copyright_line,
            "band": self.band,
            "file_bytes": self.num_bytes,
            "file_lines": self.num_lines,
            "file_sha256": self.sha256,
        }


def effective_license(package_license: str, file_license: str | None, *, vendored: bool) -> str:
    """Return the expression that holds for one file.

    Args:
        package_license: Expression of the package.
        file_license: Expression of the file's header, None without one.
        vendored: Whether the file lies in a folder for copies of other projects.
    """
    if file_license is not None:
        return file_license
    return NOASSERTION if vendored else package_license


def source_files(wheel: Wheel, *, min_bytes: int, max_bytes: int) -> Iterator[SourceFile]:
    """Yield the Python files of a wheel with their evidence.

    Args:
        wheel: The wheel.
        min_bytes: Shorter files are left out.
        max_bytes: Longer files are left out.

    Yields:
        Files in UTF-8, in the order of the wheel; files in another encoding are left out.
    """
    package = package_license(wheel.metadata)
    license_expression = NOASSERTION if package.ambiguous else package.expression
    for file in wheel.files:
        if not min_bytes <= len(file.content) <= max_bytes:
            continue
        try:
            text = file.content.decode("utf-8")
        except UnicodeDecodeError:
            continue
        header = header_license(text)
        vendored = is_vendored_path(file.path)
        yield SourceFile(
            package=wheel.name,
            version=wheel.version,
            path=file.path,
            text=text,
            sha256=file.sha256,
            license=license_expression,
            license_evidence=package.source,
            license_text=package.evidence,
            license_ambiguous=package.ambiguous and header is None and not vendored,
            file_license=header,
            effective_license=effective_license(license_expression, header, vendored=vendored),
            vendored=vendored,
            is_test=is_test_path(file.path),
            has_copyright_line=has_copyright_line(text),
            num_bytes=len(file.content),
            num_lines=text.count("\n") + (not text.endswith("\n")),
            band=bits_per_byte(file.content),
        )
