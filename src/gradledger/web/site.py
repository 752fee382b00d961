"""The application: routes, errors as pages, the three forms of every page."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from gradledger import __version__
from gradledger.errors import GradledgerError, WebError
from gradledger.query import inert
from gradledger.web.anchors import Anchors
from gradledger.web.arguments import Arguments
from gradledger.web.content import Contents
from gradledger.web.context import Context
from gradledger.web.desk import Desk
from gradledger.web.guard import Application, Guard, Message
from gradledger.web.page import Page
from gradledger.web.pages import PAGES, RUN_PAGES, STARTS
from gradledger.web.tables import as_csv, as_json
from gradledger.web.work import Work

_HERE: Final = Path(__file__).parent

#: Error codes that mean that something is not there.
_ABSENT: Final = frozenset({"W104", "W108", "W109", "W110", "Q101", "Q108", "Q121"})
_FORBIDDEN: Final = frozenset({"W105", "W106"})
_BUSY: Final = frozenset({"W111"})

#: Characters of a title or sentence on a page, at most.
_LONGEST_LINE: Final = 600

#: Part of the time between two looks at a live page for which readers share one, and how many
#: such pages are known.
_SHARED_PART: Final = 0.5
_MAX_LIVE: Final = 500

#: Longest form that is read.
_FORM_BYTES: Final = 65_536
_FORMS: Final[dict[str, str]] = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


@dataclass(frozen=True)
class Site:
    """What the pages are made from.

    Attributes:
        desk: Opened runs.
        work: Replays and reports that were started here.
        contents: Where contents of examples are looked for.
        trust_entry: Whether training loops that runs name may be imported.
        entry_arguments: In place of recorded arguments of these loops.
        anchors: What trust in logs rests on.
    """

    desk: Desk
    work: Work
    contents: Contents
    trust_entry: bool = False
    entry_arguments: dict[str, str] = field(default_factory=dict)
    anchors: Anchors = field(default_factory=Anchors)


def make_app(site: Site, token: str, hosts: frozenset[str] = frozenset()) -> Application:
    """Return the application for one folder of runs.

    Args:
        site: What the pages are made from.
        token: What every request must carry.
        hosts: Names besides loopback's that the server may be asked by.
    """
    app = FastAPI(title="Gradledger", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    pens = _Pens(site)
    app.add_api_route("/", pens.front, methods=["GET", "HEAD"])
    app.add_api_route("/run/{run}", pens.overview, methods=["GET", "HEAD"])
    app.add_api_route("/run/{run}/{name}", pens.of_run, methods=["GET", "HEAD"])
    app.add_api_route("/run/{run}/{name}", pens.start, methods=["POST"])
    app.add_api_route("/{name}", pens.plain, methods=["GET", "HEAD"])
    app.add_exception_handler(GradledgerError, pens.refused)
    app.add_exception_handler(404, pens.missing)
    return Guard(app, token, hosts, pens.turned_away)


class _Pens:
    """Writes answers to requests."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._live: dict[tuple[Any, ...], float] = {}
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # What comes from a run is one line without control characters or direction tricks.
        self._templates.filters["inert"] = lambda text: inert(text, _LONGEST_LINE)
        self._templates.globals.update(version=__version__, run_pages=RUN_PAGES)

    async def front(self, request: Request) -> Response:
        return await self._page(request, "", "runs")

    async def plain(self, request: Request, name: str) -> Response:
        return await self._page(request, "", name)

    async def overview(self, run: str) -> Response:
        return RedirectResponse(f"/run/{run}/overview", 303)

    async def of_run(self, request: Request, run: str, name: str) -> Response:
        return await self._page(request, run, name)

    async def start(self, request: Request, run: str, name: str) -> Response:
        """Start a replay, a report or a verification, and go to where its progress is shown."""
        begin = STARTS.get(name)
        if begin is None:
            raise _no_page(name)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _FORM_BYTES:
                raise WebError(
                    "W107", observed="a longer form", expected=f"at most {_FORM_BYTES} bytes"
                )
        items = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        context = Context(self._site, run, name, Arguments.of(items, _FORM_BYTES))
        return RedirectResponse(await run_in_threadpool(begin, context), 303)

    async def _page(self, request: Request, run: str, asked: str) -> Response:
        name, _, form = asked.partition(".")
        make = (PAGES if not run else RUN_PAGE_MAKERS).get(name)
        if make is None or (form and form not in _FORMS):
            raise _no_page(asked)
        arguments = Arguments.of(request.query_params.multi_items())
        context = Context(self._site, run, name, arguments)
        body, kind = await run_in_threadpool(self._shared, make, context, form)
        if isinstance(body, Response):
            return body
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if form == "csv":
            headers["content-disposition"] = f'attachment; filename="{name}.csv"'
        return Response(body, media_type=kind, headers=headers)

    def _shared(
        self, make: Callable[[Context], Page | Response], context: Context, form: str
    ) -> tuple[Any, str]:
        """Return what is written; many who follow the same live page share one for a moment."""
        key = ("page", context.run, context.name, form, context.arguments)
        seconds = self._live.get(key)
        if seconds is None:
            return self._written(make, context, form)
        moment = int(time.monotonic() / seconds)
        found: tuple[Any, str] = self._site.desk.once(
            (*key, moment), lambda: self._written(make, context, form)
        )
        return found

    def _written(
        self, make: Callable[[Context], Page | Response], context: Context, form: str
    ) -> tuple[Any, str]:
        page = make(context)
        if isinstance(page, Response):
            return page, ""
        self._follow(("page", context.run, context.name, form, context.arguments), page)
        if form == "json":
            return as_json(page, context.here()), _FORMS["json"]
        if form == "csv":
            named = context.arguments
            return as_csv(page, named.text("answer"), named.text("table")), _FORMS["csv"]
        return self._html(page, context).encode(), "text/html; charset=utf-8"

    def _follow(self, key: tuple[Any, ...], page: Page) -> None:
        """Note for how long a live page may be shared; others are always made anew."""
        if not page.live_seconds:
            self._live.pop(key, None)
            return
        if len(self._live) > _MAX_LIVE:
            self._live.clear()
        self._live[key] = page.live_seconds * _SHARED_PART

    def _html(self, page: Page, context: Context) -> str:
        place = context.path(context.name) if context.run else f"/{context.name}"
        return self._templates.get_template("page.html").render(
            page=page,
            context=context,
            run=context.run,
            json_url=context.arguments.url(f"{place}.json"),
        )

    def _error(self, error: GradledgerError, status: int) -> Response:
        text = self._templates.get_template("error.html").render(error=error.to_dict(), run="")
        return Response(text, status, media_type="text/html; charset=utf-8")

    async def refused(self, request: Request, error: Exception) -> Response:
        """Answer an error of the package: as JSON where data was asked for."""
        if not isinstance(error, GradledgerError):
            raise error
        status = 404 if error.code in _ABSENT else 403 if error.code in _FORBIDDEN else 400
        status = 503 if error.code in _BUSY else status
        if request.url.path.endswith((".json", ".csv")):
            text = self._templates.get_template("error.json").render(error=error.to_dict())
            return Response(text, status, media_type="application/json")
        return self._error(error, status)

    async def missing(self, request: Request, _: Exception) -> Response:
        return self._error(_no_page(request.url.path), 404)

    def turned_away(self, error: WebError, _: Message) -> Application:
        """Return the answer to a request that the guard refuses: it shows nothing of any run."""
        return self._error(error, 403)


#: Name of a page of a run -> what makes it.
RUN_PAGE_MAKERS: Final[dict[str, Callable[[Context], Page | Response]]] = {
    name: make for name, (_, make) in RUN_PAGES.items()
}


def _no_page(asked: str) -> WebError:
    return WebError(
        "W109",
        observed=repr(asked[:100]),
        expected=" | ".join([*PAGES, *RUN_PAGES]),
        hint="go back to the list of runs",
    )
