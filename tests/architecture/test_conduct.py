"""What library code may not do: assert, print, log errors away, read the environment at import."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gradledger import _codes, errors

#: Absolute paths of one machine, and package hosts: neither belongs in a project that moves.
HOST_WORDS = re.compile(
    r"(?<![\w.])/(?:home|Users|root|work|opt)/[\w.-]+"
    r"|[A-Z]:\\Users"
    r"|\b(?:test\.)?pypi\.org\b|files\.pythonhosted\.org|download\.pytorch\.org"
)


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_library_code_has_no_assert(sources) -> None:
    """Assertions vanish under ``python -O``; a check that matters raises."""
    found = [
        f"{source.name}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    ]
    assert not found


def test_only_the_cli_prints(sources) -> None:
    found = [
        f"{source.name}:{call.lineno}"
        for source in sources
        if source.room != "cli"
        for call in _calls(source.tree)
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert not found


def test_nothing_reads_the_environment_at_import(sources) -> None:
    found = []
    for source in sources:
        bodies = [source.tree.body]
        bodies += [node.body for node in source.tree.body if isinstance(node, ast.ClassDef)]
        for statement in (line for body in bodies for line in body):
            if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                continue
            if any(word in ast.unparse(statement) for word in ("os.environ", "getenv(")):
                found.append(f"{source.name}:{statement.lineno}")
    assert not found


def test_nothing_is_unpickled(sources) -> None:
    """A run directory is data; reading it never executes any of it."""
    found = [
        source.name
        for source in sources
        if source.imports() & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
        or any(
            ast.unparse(call.func) == "torch.load" and "weights_only=True" not in ast.unparse(call)
            for call in _calls(source.tree)
        )
    ]
    assert not found


def test_errors_are_raised_with_a_code_of_their_own_class(sources) -> None:
    """``XError("C101", ...)``: the code exists and its letter is the class's."""
    classes = {
        name: getattr(errors, name).prefix for name in errors.__all__ if name != "GradledgerError"
    }
    wrong = []
    for source in sources:
        for call in _calls(source.tree):
            name = ast.unparse(call.func).split(".")[-1]
            if name not in classes or not call.args:
                continue
            code = call.args[0]
            if not isinstance(code, ast.Constant):
                continue
            if code.value not in _codes.CODES or not str(code.value).startswith(classes[name]):
                wrong.append(f"{source.name}:{call.lineno}: {name}({code.value!r})")
    assert not wrong


def test_tracked_files_name_no_machine(root: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listing.stdout.splitlines() or [
        str(path.relative_to(root)) for path in (root / "src").rglob("*") if path.is_file()
    ]
    found = []
    for name in names:
        path = root / name
        if not path.is_file() or path.suffix in {".parquet", ".png", ".whl", ".safetensors"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [
            f"{name}:{number}: {match.group()}"
            for number, line in enumerate(text.splitlines(), 1)
            for match in HOST_WORDS.finditer(line)
        ]
    assert not found
