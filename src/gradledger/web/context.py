"""What a page is given: the run, the arguments of its URL, the desk to ask, and how to link on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gradledger.ledger import Ledger
from gradledger.query import Answer
from gradledger.web.arguments import Arguments, link
from gradledger.web.page import Control, Option
from gradledger.web.show import Look

if TYPE_CHECKING:
    from gradledger.web.site import Site

#: Longer values name no kind of examples that anybody asks for.
_LONGEST_KIND: Final = 500

#: Column -> page and argument that its values lead to.
_LEADS: Final[dict[str, tuple[str, str]]] = {
    "example": ("example", "example"),
    "block": ("trace", "group"),
    "group": ("trace", "group"),
    "step": ("books", "step"),
    "first_step": ("books", "step"),
    "last_step": ("books", "step"),
    "capability": ("capability", "name"),
}


@dataclass(frozen=True)
class Context:
    """One request for a page.

    Attributes:
        site: The application: desk, work, settings.
        run: Name of the run in URLs; empty for pages that are about none.
        name: Name of the page.
        arguments: What the URL asks.
        token_field: Value that forms bring back.
    """

    site: Site
    run: str
    name: str
    arguments: Arguments

    @property
    def ledger(self) -> Ledger:
        """The run, opened."""
        return self.site.desk.ledger(self.run)

    def ask(self, method: str, *values: Any, **named: Any) -> Answer:
        """Return the answer of a method of the ledger; None arguments are left out."""
        kept = {name: value for name, value in named.items() if value is not None}
        answer: Answer = self.site.desk.ask(self.run, method, *values, **kept)
        return answer

    def path(self, page: str, run: str | None = None) -> str:
        """Return the path of a page of this run, or of another."""
        return f"/run/{quote(self.run if run is None else run, safe='~')}/{page}"

    def link(self, page: str, **arguments: Any) -> str:
        """Return the URL of a page of this run."""
        return link(self.path(page), **arguments)

    def here(self, **changes: Any) -> str:
        """Return the URL of this page with some arguments changed."""
        place = self.path(self.name) if self.run else f"/{self.name}"
        return self.arguments.url(place, **changes)

    def command(self, verb: str, *words: Any, **options: Any) -> str:
        """Return the command that answers the same.

        Args:
            verb: The command; may be two words.
            *words: Arguments after the run.
            **options: Long options; lists repeat, ``None`` and False are left out, True is a flag.
        """
        parts = ["gradledger", *verb.split(), str(self.site.desk.place(self.run))]
        parts += [str(word) for word in words]
        for name, value in options.items():
            flag = "--" + name.rstrip("_").replace("_", "-")
            for item in value if isinstance(value, list | tuple) else [value]:
                if item is True:
                    parts.append(flag)
                elif item is not None and item is not False:
                    parts += [flag, str(item)]
        return shlex.join(parts)

    def look(self, table: str = "", answer: str = "", **parts: Any) -> Look:
        """Return how a table is shown here: with links, and its CSV where it is named."""
        csv = ""
        if table:
            csv = self.arguments.url(
                (self.path(self.name) if self.run else f"/{self.name}") + ".csv",
                answer=answer or None,
                table=table,
            )
        return Look(link=parts.pop("link", self.lead), csv=csv, **parts)

    def lead(self, column: str, value: Any, row: Mapping[str, Any]) -> str | None:
        """Return where a cell leads: examples, parts of the model, steps, kinds of examples."""
        if value in {None, ""} or not self.run or value in {"total", "others", "(buffers)"}:
            return None
        if column in _LEADS:
            page, argument = _LEADS[column]
            return self.link(page, **{argument: value})
        if column not in self.kinds or not isinstance(value, str | int | float | bool):
            return None
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if len(text) > _LONGEST_KIND:
            return None
        if column == "policy" and "version" in row:
            text = f"{text}@{row['version']}"
        return self.link("follow", where=f"{column}={text}")

    @property
    def kinds(self) -> Sequence[str]:
        """Columns by which examples fall into kinds."""
        return [key for key in self.ledger.keys if key not in {"example", "reason"}]

    # Controls that many pages share.

    def by_control(self, otherwise: str, extra: Sequence[str] = (), name: str = "by") -> Control:
        """Return the choice of what is ranked."""
        chosen = self.arguments.text(name, otherwise) or otherwise
        names = [*extra, *self.ledger.keys]
        return choice(name, "by", names, chosen)

    def group_control(self) -> Control:
        """Return the field for parameter groups, with blocks and groups to pick from."""
        blocks = self.ledger.begin.blocks
        names = [*blocks, *(group.name for group in self.ledger.begin.groups)]
        return Control(
            "group",
            "group",
            value=self.arguments.text("group", "") or "",
            options=tuple(Option(name, name) for name in dict.fromkeys(names)),
            hint="all parameters",
        )

    def span_controls(self) -> tuple[Control, Control]:
        """Return the fields for the first and the last step."""
        span = self.ledger.span or (0, 0)
        return (
            Control(
                "start",
                "from step",
                "number",
                _text(self.arguments.number("start")),
                hint=str(span[0]),
            ),
            Control(
                "stop", "to step", "number", _text(self.arguments.number("stop")), hint=str(span[1])
            ),
        )

    @property
    def span(self) -> dict[str, int | None]:
        """The steps that are asked about, by name."""
        return {name: self.arguments.number(name) for name in ("start", "stop")}


def choice(name: str, label: str, choices: Sequence[str], chosen: str) -> Control:
    """Return a choice among words."""
    options = tuple(Option(word, word or "default", word == chosen) for word in choices)
    return Control(name, label, "choice", chosen, options)


def _text(value: int | None) -> str:
    return "" if value is None else str(value)
