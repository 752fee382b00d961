"""Check a document against the model; every mistake becomes an error with its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gradledger.errors import PolicyError
from gradledger.policy.document import Document, Path
from gradledger.policy.model import FORMAT, MAX_PREDICATE_CHARACTERS, PolicySpec
from gradledger.policy.place import shown

#: What a field wanted, in words, by the kind of pydantic's error.
_WANTED: Final = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text (quote it if it looks like a number)",
    "tuple_type": "a list",
}


def check_fields(document: Document) -> PolicySpec:
    """Return the document as a model.

    Raises:
        PolicyError: P111 field missing, P112 field not known, P113 value does not fit, P114 format
            not known, P121 predicate too long.
    """
    content = document.content
    if not isinstance(content, dict):
        raise PolicyError(
            "P113",
            observed=f"a document that is {shown(content)}",
            expected="a mapping with the fields of a policy",
            where=document.where(()),
        )
    if "format" in content and content["format"] != FORMAT:
        raise PolicyError(
            "P114",
            observed=shown(content["format"]),
            expected=repr(FORMAT),
            where=document.where(("format",)),
            hint="a newer format needs a newer gradledger",
        )
    try:
        return PolicySpec.model_validate(content)
    except ValidationError as error:
        raise _first(document, _own_errors(error)) from None


def field_problems(document: Document) -> list[tuple[Path, PolicyError]]:
    """Return every mistake in the fields of a document that is a mapping of this format."""
    try:
        PolicySpec.model_validate(document.content)
    except ValidationError as error:
        errors = _own_errors(error)
    else:
        return []
    placed = [(_path(document.content, found["loc"]), found) for found in errors]
    seen: dict[tuple[Path, str], tuple[Path, PolicyError]] = {}
    for path, found in placed:
        missing = str(found["loc"][-1]) if found["type"] == "missing" else ""
        seen.setdefault((path, missing), (path, _problem(document, path, found, placed)))
    return list(seen.values())


def _own_errors(error: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's errors without lists that are too short for want of items in error."""
    errors = error.errors(include_url=False)
    return [
        found
        for found in errors
        if found["type"] != "too_short"
        or not any(
            other is not found and other["loc"][: len(found["loc"])] == found["loc"]
            for other in errors
        )
    ]


def _first(document: Document, errors: list[ErrorDetails]) -> PolicyError:
    """Return the error that stands first; misspelt fields before the ones that they leave open."""
    placed = [(_path(document.content, error["loc"]), error) for error in errors]
    unknown = [pair for pair in placed if pair[1]["type"] == "extra_forbidden"]
    path, first = min(unknown or placed, key=lambda pair: document.span(pair[0]).start)
    return _problem(document, path, first, placed)


def _problem(
    document: Document, path: Path, first: ErrorDetails, placed: list[tuple[Path, ErrorDetails]]
) -> PolicyError:
    """Return one of pydantic's errors as ours; others at its place say what else was wanted."""
    if first["type"] == "extra_forbidden":
        return _unknown_field(document, path)
    if first["type"] == "missing":
        return PolicyError(
            "P111",
            observed=f"no field {first['loc'][-1]!r}",
            expected=f"one in {_called(path)}",
            where=document.where(path),
        )
    if first["type"] == "string_too_long" and path[-1] == "when":
        return PolicyError(
            "P121",
            observed=f"{len(_at(document.content, path)):,} characters",
            expected=f"at most {MAX_PREDICATE_CHARACTERS:,}",
            where=document.where(path),
            hint="put long lists into params, or split the rule",
        )
    wanted = dict.fromkeys(_wanted(error) for place, error in placed if place == path)
    is_key = first["loc"][-1] == "[key]"
    return PolicyError(
        "P113",
        observed=shown(path[-1] if is_key else _at(document.content, path)),
        expected=f"{' or '.join(wanted)} as {'name in ' if is_key else ''}{_called(path)}",
        where=document.where(path, key=is_key),
    )


def _unknown_field(document: Document, path: Path) -> PolicyError:
    allowed = _fields_at(PolicySpec, path[:-1])
    close = difflib.get_close_matches(str(path[-1]), allowed, 1)
    return PolicyError(
        "P112",
        observed=shown(path[-1]),
        expected=f"one of {', '.join(allowed)} in {_called(path[:-1])}",
        where=document.where(path, key=True),
        hint=f"write {close[0]!r}" if close else "",
    )


def _wanted(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return f"one of {context['expected'].replace(' or ', ', ')}"
        case "string_pattern_mismatch":
            return f"a name of the form {context['pattern']}"
        case kind if kind in _WANTED:
            return _WANTED[kind]
    message = error["msg"].replace(" after validation", "")
    return message[0].lower() + message[1:]


def _path(content: Any, location: Iterable[str | int]) -> Path:
    """Return the part of pydantic's location that exists in the document."""
    path: list[str | int] = []
    for step in location:
        in_mapping = isinstance(content, dict) and isinstance(step, str) and step in content
        in_list = isinstance(content, list) and isinstance(step, int) and step < len(content)
        if not (in_mapping or in_list):
            break
        content = content[step]
        path.append(step)
    return tuple(path)


def _at(content: Any, path: Path) -> Any:
    for step in path:
        content = content[step]
    return content


def _called(path: Path) -> str:
    """Return a path as text, such as ``rules[2].when``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the policy"


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the names of the fields of the mapping at a path."""
    for step in path:
        if isinstance(step, str) and (found := _field(model, step)) is not None:
            model = found
    return [field.alias or name for name, field in model.model_fields.items()]


def _field(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model inside a field's type: that of its items, members or alternatives."""
    for key, field in model.model_fields.items():
        if (field.alias or key) == name:
            return _model_in(field.annotation)
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None
