"""Small wheels, made on the spot."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gradledger.demo.manifest import WheelPin
from gradledger.demo.source import SourceFile

MakeWheel = Callable[..., WheelPin]


def record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}"


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Write a wheel into ``tmp_path / "wheels"`` and return its pin."""

    def make(
        name: str,
        files: Mapping[str, str | bytes],
        *,
        metadata: str = "License-Expression: MIT\n",
        record: str | None = None,
    ) -> WheelPin:
        folder = tmp_path / "wheels"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}-1.0-py3-none-any.whl"
        contents = {
            key: value.encode() if isinstance(value, str) else value for key, value in files.items()
        }
        lines = [record_line(key, value) for key, value in contents.items()]
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in contents.items():
                archive.writestr(key, value)
            head = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}\nText.\n"
            archive.writestr(f"{info}/METADATA", head)
            archive.writestr(f"{info}/RECORD", "\n".join(lines) if record is None else record)
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return WheelPin(name, "1.0", path.name, digest, len(content))

    return make


@pytest.fixture
def make_file() -> Callable[..., SourceFile]:
    """A source file of package ``p``; what is not given is plain and permissive."""

    def make(
        path: str, digest: str = "", text: str = "x = 1\n" * 100, **changes: Any
    ) -> SourceFile:
        content = text.encode()
        facts: dict[str, Any] = {
            "package": "p",
            "version": "1",
            "sha256": digest or hashlib.sha256(content).hexdigest(),
            "license": "MIT",
            "license_evidence": "License-Expression",
            "license_text": "MIT",
            "license_ambiguous": False,
            "file_license": None,
            "effective_license": "MIT",
            "vendored": False,
            "is_test": False,
            "has_copyright_line": False,
            "num_bytes": len(content),
            "num_lines": text.count("\n"),
            "band": 2.0,
        }
        return SourceFile(path=path, text=text, **(facts | changes))

    return make
