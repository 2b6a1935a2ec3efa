"""Interactions with messages: who made them, a person or a machine.

Mail servers visit the links of a mail before they deliver it, and mail programs load its pictures unasked. What tells
them from people is when they come, how many at once, and what they say they are. A verdict is given some seconds
later, so that a burst is seen whole; it can be changed afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

OPEN, CLICK, UNSUBSCRIBE = "open", "click", "unsubscribe"
KINDS = (OPEN, CLICK, UNSUBSCRIBE)
PENDING, HUMAN, SCANNER = "pending", "human", "scanner"
VERDICTS = (PENDING, HUMAN, SCANNER)
MANUAL = "MANUAL"
NO_LINK = -1

TOO_SOON = timedelta(seconds=3)
"""Nobody reads a mail and chooses a link so soon after it left us."""
BURST_LINKS, BURST = 3, timedelta(seconds=2)
TWIN = timedelta(seconds=0.5)
"""Three different links of a message within two seconds, or two within half a second, are not visited by hand."""
SHARED_MESSAGES, SHARED = 10, timedelta(seconds=5)
"""One place that visits links of ten recipients within five seconds is a gateway."""
COMPANY = timedelta(seconds=10)
SETTLE = timedelta(seconds=15)
"""After so long all that decides on an interaction is known: the windows above, and the flush of a web process."""

_SCANNERS = re.compile(
    r"barracuda|proofpoint|mimecast|symantec|messagelabs|trend ?micro|fireeye|ironport|sophos|forcepoint|"
    r"safelinks|urldefen[sc]e|virustotal|bitdefender|kaspersky|zscaler|cloudmark|spamassassin|netcraft|"
    r"(?<![a-z])bot(?![a-z])|[a-z]bot/|crawler|spider|slurp|preview|facebookexternalhit|headless|phantomjs|"
    r"linkcheck|link check|scanner|validator",
    re.IGNORECASE,
)
_PROXIES = re.compile(r"googleimageproxy|yahoomailproxy|outlookimageproxy", re.IGNORECASE)
_TOOLS = re.compile(
    r"^(curl|wget|python|go-http-client|java|okhttp|libwww|apache-httpclient|node|axios|ruby|perl|php|"
    r"winhttp|dart|guzzle|aiohttp|httpx|postman)",
    re.IGNORECASE,
)
BROWSER, PROXY, PREFETCH, MACHINE, TOOL, NONE = "browser", "proxy", "prefetch", "scanner", "tool", "none"


@dataclass(frozen=True, slots=True)
class Hit:
    """Hold what a web process saw: a message's pixel or link that was asked for."""

    id: UUID
    message_id: UUID
    kind: str
    link: int
    time: datetime
    agent: str
    source_hash: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Hold what decides on an interaction.

    after: since the message was sent, None when that is not known. burst_links, twin_links: different links of the
    message visited around it, itself included. shared_messages: messages whose links its place visited around it.
    with_scanner: a machine was seen there on the same message, around it.
    """

    kind: str
    agent: str
    after: timedelta | None
    burst_links: int
    twin_links: int
    shared_messages: int
    with_scanner: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Hold an interaction of a group (message, kind, link) for the question what is to be told of the group."""

    id: UUID
    time: datetime
    verdict: str
    event_id: UUID | None


@lru_cache(maxsize=4096)
def classify_agent(text: str) -> str:
    """Return the class of a program by its User-Agent: what it claims, which the rules weigh."""
    text = text.strip()[:500]
    if not text:
        return NONE
    if _PROXIES.search(text):
        return PROXY
    # Mail privacy services load all pictures by themselves, and say no more than this.
    if text.casefold() == "mozilla/5.0":
        return PREFETCH
    if _SCANNERS.search(text):
        return MACHINE
    if _TOOLS.search(text):
        return TOOL
    # A person's until something says otherwise: mail programs and apps call themselves what they like.
    return BROWSER


def decide(signals: Signals) -> tuple[str, str]:
    """Return verdict and rule of an interaction that has settled."""
    if signals.agent in (MACHINE, TOOL, NONE):
        return SCANNER, "USER_AGENT"
    if signals.agent == PREFETCH:
        return SCANNER, "PREFETCH"
    # Before it was sent: the server that took it looked at it while we still waited for its answer.
    if signals.after is not None and signals.after < TOO_SOON:
        return SCANNER, "TOO_SOON"
    if signals.kind == CLICK:
        if signals.burst_links >= BURST_LINKS or signals.twin_links >= 2:
            return SCANNER, "MANY_LINKS"
        if signals.shared_messages >= SHARED_MESSAGES:
            return SCANNER, "SHARED_SOURCE"
    if signals.with_scanner:
        return SCANNER, "WITH_SCANNER"
    return HUMAN, ""


def corrections(group: Iterable[Told]) -> tuple[list[Told], Told | None]:
    """Return what of a group is told and must be taken back, and what must be told.

    Of a group with people in it one interaction is told, of one without none: the first by time, unless another
    person's was told already.
    """
    rows = sorted(group, key=lambda row: (row.time, row.id))
    told = [row for row in rows if row.event_id is not None]
    kept = next((row for row in told if row.verdict == HUMAN), None)
    wrong = [row for row in told if row is not kept]
    people = [row for row in rows if row.verdict == HUMAN]
    return wrong, (people[0] if people and kept is None else None)
