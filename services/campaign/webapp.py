"""The pages that strangers reach: pixels, links, unsubscribing, the reports of providers. Hostile input is expected.

Nothing of a request is ever shown; a token that was not signed here leads nowhere. No cookie is set, no script
runs. HEAD is answered like GET and counts as nothing; a GET never unsubscribes, as scanners visit every link.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

from prometheus_client import Counter, Histogram
from rapport_sdk import CallbackRefused, CallbackRequest, DeliveryReport
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.campaign.domain.interactions import CLICK, NO_LINK, OPEN, Hit, classify_agent
from services.campaign.domain.links import (
    LINK_PATH,
    MAX_TOKEN,
    OPEN_PATH,
    OPEN_SUFFIX,
    UNSUBSCRIBE_PATH,
    BadToken,
    BadUrl,
    Link,
    Unsubscription,
    check_url,
    is_web,
    read_link,
    read_open,
    read_unsubscribe,
)
from services.campaign.domain.web_texts import ENGLISH, PARAMETER, TEXTS, Text, choose_language
from services.campaign.usecases import reports, unsubscribing
from services.campaign.usecases.destinations import destination
from services.campaign.usecases.hits import HitBuffer
from services.kit import log
from services.kit.errors import Unavailable
from services.kit.names import new_id
from services.kit.plugins import PluginError
from services.kit.runtime import Runtime
from services.kit.transient import is_transient

MAX_FORM_BYTES = 4 << 10
MAX_REPORT_BYTES = 1 << 20
BODY_SECONDS = 10.0
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
_ONE_CLICK = re.compile(rb"List-Unsubscribe\W.{0,100}?One-Click", re.DOTALL | re.IGNORECASE)
_FROM_PAGE = b"&from=page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store, private",
    "X-Robots-Tag": "noindex, nofollow",
}
_PAGE = (
    '<!doctype html><html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>{title}</title><style>body{{font:1.1em/1.5 sans-serif;max-width:30em;margin:15vh auto;padding:0 1em}}"
    "button{{font:inherit;padding:.5em 1em}}</style><h1>{title}</h1><p>{text}</p>{rest}</html>"
)
_BUTTON = (
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    '<input type="hidden" name="from" value="page"><button>{text}</button></form>'
)

REQUESTS = Counter("rapport_campaign_web_requests", "Requests that were answered.", ["page", "code"])
SECONDS = Histogram("rapport_campaign_web_request_seconds", "Time to answer a request.", ["page"])
_log = log.get_logger("web")


class Callbacks(Protocol):
    """Read what providers report, with the plugins of their channels."""

    def accepts(self, channel: str) -> bool:
        """Say whether a channel understands reports."""
        ...

    def parse(self, channel: str, request: CallbackRequest) -> list[DeliveryReport]:
        """Return the reports.

        Raises PluginError when they cannot be read, CallbackRefused when they are not believed, Unavailable when it
        takes too long.
        """
        ...


class WebApp:
    """Answer requests from a runtime; `asgi` is the application."""

    def __init__(self, runtime: Runtime, hits: HitBuffer, callbacks: Callbacks) -> None:
        self._runtime = runtime
        self._hits = hits
        self._callbacks = callbacks
        self.asgi = Starlette(
            routes=[
                Route(f"{OPEN_PATH}{{name}}", self._page("open", self._open), methods=["GET"]),
                Route(f"{LINK_PATH}{{token}}", self._page("click", self._click), methods=["GET"]),
                Route(
                    f"{UNSUBSCRIBE_PATH}{{token}}",
                    self._page("unsubscribe", self._unsubscribe),
                    methods=["GET", "POST"],
                ),
                Route("/callbacks/{channel}", self._page("callback", self._callback), methods=["POST"]),
                Route("/robots.txt", _robots, methods=["GET"]),
            ],
            exception_handlers={404: self._not_found, 405: self._refused, 500: self._failed},
        )

    def _page(
        self, name: str, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            with SECONDS.labels(name).time():
                try:
                    response = await answer(request)
                except HTTPException as error:
                    response = self._message(request, error.status_code, error.detail)
                except ClientDisconnect:
                    response = self._message(request, 400, "The request ended early.")
                except Exception as error:
                    if not (is_transient(error) or isinstance(error, Unavailable)):
                        _log.exception("a request failed", page=name)
                        response = self._message(request, 500, Text.WENT_WRONG)
                    else:
                        _log.warning("a request must be repeated", page=name, problem=log.safe_summary(error))
                        response = self._message(request, 503, Text.TRY_AGAIN)
                        response.headers["Retry-After"] = "60"
            response.headers.update(_HEADERS)
            REQUESTS.labels(name, str(response.status_code)).inc()
            return response

        return endpoint

    async def _open(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.method == "GET" and name.endswith(OPEN_SUFFIX) and len(name) <= MAX_TOKEN:
            try:
                message_id = read_open(self._runtime.signer, name.removesuffix(OPEN_SUFFIX))
            except BadToken:
                pass  # Whoever tries tokens learns nothing.
            else:
                self._hits.add(self._hit(request, message_id, OPEN, NO_LINK))
        return Response(GIF, media_type="image/gif")

    async def _click(self, request: Request) -> Response:
        try:
            link = read_link(self._runtime.signer, request.path_params["token"])
            url = await self._destination(link)
        except (BadToken, BadUrl):
            url = None
        if url is None:
            raise HTTPException(404, Text.LEADS_NOWHERE)
        if request.method == "GET":
            self._hits.add(self._hit(request, link.message_id, CLICK, link.number))
        # By hand, as RedirectResponse quotes anew: what was signed is what is sent.
        return Response(status_code=302, headers={"Location": _ascii(url)})

    async def _destination(self, link: Link) -> str | None:
        url = link.url
        if url is None:
            url = await run_in_threadpool(destination, self._runtime, link)
        return check_url(url) if url is not None and is_web(url) else None

    async def _unsubscribe(self, request: Request) -> Response:
        try:
            wish = read_unsubscribe(self._runtime.signer, request.path_params["token"])
        except BadToken:
            raise HTTPException(404, Text.BAD_LINK) from None
        language = self._language(request)
        if request.method != "POST":
            button = _BUTTON.format(text=TEXTS[language][Text.UNSUBSCRIBE])
            return _page(200, language, Text.UNSUBSCRIBE, Text.PRESS, button)
        body = await _body(request, MAX_FORM_BYTES)
        if not _ONE_CLICK.search(body):
            raise HTTPException(400, "Expected List-Unsubscribe=One-Click.")
        source = unsubscribing.PAGE if _FROM_PAGE in body else unsubscribing.ONE_CLICK
        await run_in_threadpool(self._stop, request, wish, source)
        return _page(200, language, Text.UNSUBSCRIBED, Text.NO_MORE)

    def _stop(self, request: Request, wish: Unsubscription, source: str) -> None:
        agent, place = classify_agent(request.headers.get("user-agent", "")[:500]), self._source(request)
        hit = unsubscribing.hit_of(wish, new_id(), self._runtime.clock.now(), agent, place)
        unsubscribing.unsubscribe(self._runtime, wish, hit, source)

    async def _callback(self, request: Request) -> Response:
        channel = request.path_params["channel"]
        if not self._callbacks.accepts(channel):
            raise HTTPException(404, "No channel of this name takes reports.")
        body = await _body(request, MAX_REPORT_BYTES)
        given = CallbackRequest(
            body=body,
            content_type=request.headers.get("content-type", ""),
            headers=dict(request.headers),
            path=request.url.path,
        )
        known = await run_in_threadpool(self._take_reports, channel, given)
        return PlainTextResponse(f"{known}\n")

    def _take_reports(self, channel: str, given: CallbackRequest) -> int:
        try:
            found = self._callbacks.parse(channel, given)
        except CallbackRefused as error:
            # Not kept: else anybody could fill the quarantine. The log tells who runs it when a secret is missing.
            _log.warning(
                "a delivery report is not believed", channel=channel, problem=log.safe_summary(error)
            )
            raise HTTPException(403, "The report does not prove who sent it.") from error
        except PluginError as error:
            reports.put_in_quarantine(self._runtime, f"callbacks/{channel}", error.message, given.body)
            raise HTTPException(400, "The report cannot be read.") from error
        return reports.report_callback(self._runtime, channel, found)

    def _language(self, request: Request) -> str:
        return choose_language(
            request.query_params.get(PARAMETER, ""),
            request.headers.get("accept-language", ""),
            self._runtime.settings.web_language,
        )

    def _message(self, request: Request, code: int, text: str) -> Response:
        """Return a page that says what is wrong; to a person in a language of its own, to a program in English."""
        language = self._language(request) if isinstance(text, Text) else ENGLISH
        return _page(code, language, Text.NOT_FOUND if code == 404 else Text.SORRY, text)

    async def _not_found(self, request: Request, error: Exception) -> Response:
        response = self._message(request, 404, Text.NOTHING_HERE)
        response.headers.update(_HEADERS)
        REQUESTS.labels("none", "404").inc()
        return response

    async def _refused(self, request: Request, error: Exception) -> Response:
        response = self._message(request, 405, Text.NOT_DONE_HERE)
        response.headers.update({**_HEADERS, **dict(getattr(error, "headers", None) or {})})
        REQUESTS.labels("none", "405").inc()
        return response

    async def _failed(self, request: Request, error: Exception) -> Response:
        response = self._message(request, 500, Text.WENT_WRONG)
        response.headers.update(_HEADERS)
        return response

    def _hit(self, request: Request, message_id: UUID, kind: str, link: int) -> Hit:
        agent = classify_agent(request.headers.get("user-agent", "")[:500])
        now = self._runtime.clock.now()
        return Hit(new_id(), message_id, kind, link, now, agent, self._source(request))

    def _source(self, request: Request) -> bytes | None:
        """Return what tells one place from another, and not which it is."""
        if request.client is None:
            return None
        try:
            address = ipaddress.ip_address(request.client.host)
        except ValueError:
            return None
        # A subscriber has a network of IPv6 addresses, and takes a new one each day.
        network = ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False)
        return self._runtime.signer.mac("source", network.network_address.packed)[:8]


async def _body(request: Request, most: int) -> bytes:
    """Return the body, of at most so many bytes, that must come soon."""
    too_large = HTTPException(413, f"At most {most} bytes are taken.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > most:
        raise too_large
    taken = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                taken += chunk
                if len(taken) > most:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, "The request took too long.") from None
    return bytes(taken)


def _page(code: int, language: str, title: Text, text: str, rest: str = "") -> Response:
    """Return a page in a language; text: what it says, as it is when it is no Text."""
    texts = TEXTS[language]
    said = texts[text] if isinstance(text, Text) else text
    return HTMLResponse(
        _PAGE.format(language=language, title=texts[title], text=said, rest=rest),
        code,
        {"Content-Language": language},
    )


def _ascii(url: str) -> str:
    """Return an address with what is not ASCII percent-encoded, as a header needs it; nothing else changes."""
    return "".join(
        char if char.isascii() else "".join(f"%{byte:02X}" for byte in char.encode()) for char in url
    )


async def _robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n", headers=_HEADERS)
