"""What an address asks of a counterfactual: one intervention, or several in one run.

Nothing that a page is given is a path: a policy is named by its digest, among those that lie in the
run or that were pasted here; content comes from another example of the run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from gradledger.errors import GradledgerError, WebError
from gradledger.policy import load_policy
from gradledger.query import OPERATIONS
from gradledger.segment import make_folder, write_bytes_atomic
from gradledger.web.context import Context, choice
from gradledger.web.page import Control, Form

#: What is done to chosen examples; and what needs no choice.
ON_EXAMPLES: Final = ("remove", "renormalise", "reweight", "reprofile", "substitute")
DONE: Final = (*ON_EXAMPLES, "policy", "several", "nothing")

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

#: Folder of policies that were pasted, below that of work.
_POLICIES: Final = "policies"


def asked(context: Context) -> list[dict[str, Any]]:
    """Return what the address asks as ``ledger.whatif`` takes it; empty where it asks nothing.

    Raises:
        WebError: W107 an argument cannot be read, W108 a policy that is not here.
    """
    operation = context.arguments.choice("do", DONE, "remove")
    if operation == "nothing":
        return [{"remove": {}}]
    if operation == "policy":
        digest = context.arguments.text("policy")
        return [{"policy": str(policy_file(context, digest))}] if digest else []
    if operation == "several":
        return _several(context)
    where = context.arguments.filters()
    return [_with_steps(context, _on_examples(context, operation, where))] if where else []


def policy_file(context: Context, digest: str) -> Path:
    """Return the file of a policy that lies in the run, or that was pasted here.

    Raises:
        WebError: W108 where there is none.
    """
    folders = (
        context.site.desk.place(context.run) / "policies",
        context.site.work.folder / _POLICIES,
    )
    if _DIGEST.fullmatch(digest):
        for folder in folders:
            place = folder / f"{digest}.yaml"
            if place.is_file():
                return place
    raise WebError(
        "W108",
        observed=f"no policy {digest[:70]!r}",
        expected="the digest of a policy of the run, or of one that was pasted here",
        hint="paste its text on the page What if",
    )


def keep_policy(context: Context, text: str) -> str:
    """Check and keep the text of a policy, and return the digest that names it here.

    Raises:
        WebError: W107 where it is no document.
        PolicyError: It is no policy.
        StorageError: S112 where it cannot be kept.
    """
    document = text.replace("\r\n", "\n").strip() + "\n"
    if document.count("\n") == 1:  # One line would be taken for the name of a file.
        raise WebError("W107", observed=repr(document[:80]), expected="the text of a policy")
    digest = load_policy(document).digest
    folder = context.site.work.folder / _POLICIES
    make_folder(folder)
    write_bytes_atomic(folder / f"{digest}.yaml", document.encode())
    return digest


def policies_here(context: Context) -> dict[str, str]:
    """Return digest -> name of the policies that can be asked about."""
    found = {}
    for folder in (
        context.site.desk.place(context.run) / "policies",
        context.site.work.folder / _POLICIES,
    ):
        for place in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
            if _DIGEST.fullmatch(place.stem):
                found[place.stem] = _name(place)
    return found


def form(context: Context, by: str) -> Form:
    """Return the form that chooses an intervention; its fields are those of what is done."""
    given = context.arguments
    operation = given.choice("do", DONE, "remove")
    controls = [choice("do", "do", DONE, operation)]
    if operation in ON_EXAMPLES:
        controls += _choosing(context, operation)
    if operation == "policy":
        known = policies_here(context)
        chosen = given.text("policy", "") or ""
        options = choice("policy", "policy", ["", *known], chosen)
        controls.append(_named(options, known))
    if operation == "several":
        controls.append(
            Control(
                "several",
                "several in one run, as a list",
                "lines",
                given.text("several", "") or "",
                hint="- {remove: {package: requests}}\n- {reweight: {class: NAME}, factor: 0.5}",
            )
        )
    controls.append(choice("by", "by", ("block", "group"), by))
    return Form(context.path("whatif"), tuple(controls), "Ask")


def _choosing(context: Context, operation: str) -> list[Control]:
    given = context.arguments
    chosen = given.many("where") or [""]
    hint = "package=requests, example=5, class=NAME"
    controls = [Control("where", "examples with", "text", item, hint=hint) for item in chosen]
    if given.many("where"):
        controls.append(Control("where", "and with", "text", "", hint="COLUMN=VALUE"))
    if operation == "reweight":
        factor = given.text("factor", "0") or "0"
        controls.append(Control("factor", "weight times", "number-any", factor))
    profiles = sorted(context.ledger.profiles)
    if operation == "reprofile" and profiles:
        held = given.text("profile", profiles[0]) or profiles[0]
        controls.append(choice("profile", "profile", profiles, held))
    if operation == "substitute":
        other = given.text("other", "") or ""
        controls.append(Control("other", "content of example", "text", other, hint="number or key"))
        return controls
    span = context.ledger.span or (0, 0)
    for name, label, hint in (
        ("first", "from step", str(span[0])),
        ("last", "to step", str(span[1])),
    ):
        controls.append(Control(name, label, "number", given.text(name, "") or "", hint=hint))
    return controls


def _on_examples(context: Context, operation: str, where: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {operation: where}
    if operation == "reweight":
        found["factor"] = context.arguments.fraction("factor", 0.0)
    if operation == "reprofile":
        names = sorted(context.ledger.profiles)
        found["profile"] = context.arguments.choice("profile", names, names[0] if names else "")
    if operation == "substitute":
        found["example"] = context.arguments.text("other", "")
    return found


def _with_steps(context: Context, found: dict[str, Any]) -> dict[str, Any]:
    first, last = (context.arguments.number(name) for name in ("first", "last"))
    if first is None and last is None:
        return found
    span = context.ledger.span or (0, 0)
    return {**found, "steps": [first or span[0], last or span[1]]}


def _several(context: Context) -> list[dict[str, Any]]:
    """Read a list of interventions; none of them may name a file."""
    text = context.arguments.text("several")
    if text is None:
        return []
    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _unreadable(str(error).splitlines()[0][:200]) from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _unreadable(f"{type(items).__name__}")
    for item in items:
        if "content" in item or not any(name in OPERATIONS for name in item):
            raise _unreadable(f"{sorted(map(str, item))}")
    return [
        {**item, "policy": str(policy_file(context, str(item["policy"])))}
        if "policy" in item
        else item
        for item in items
    ]


def _unreadable(observed: str) -> WebError:
    return WebError(
        "W107",
        observed=f"several: {observed}",
        expected="a list of interventions: " + ", ".join(OPERATIONS),
        hint="for example - {remove: {source: a}}; a policy is named by its digest",
    )


def _named(control: Control, names: dict[str, str]) -> Control:
    """Show names in place of digests."""
    options = tuple(
        type(option)(
            option.value, names.get(option.value, "choose, or paste one below"), option.chosen
        )
        for option in control.options
    )
    return type(control)(control.name, control.label, control.kind, control.value, options)


def _name(place: Path) -> str:
    try:
        found = load_policy(place)
    except GradledgerError:
        return place.stem[:12]
    return f"{found.id}@{found.version} ({place.stem[:8]})"
