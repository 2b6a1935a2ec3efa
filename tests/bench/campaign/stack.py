"""The stack of the benchmark: a real contacts API and real senders, on a database server of their own.

Segmentation's list of members is a true gRPC server in this process. The campaign is planned by its own use case here.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import psycopg
import sqlalchemy as sa
from rapport.segmentation.v1 import segmentation_pb2, segmentation_pb2_grpc
from rapport_sdk.names import plugin_of

from services.campaign import channels
from services.campaign.domain.hours import Hours, Span
from services.campaign.domain.policies import Cap, Policy
from services.campaign.domain.rates import RateLimit
from services.campaign.models import message
from services.campaign.usecases import policies, rates
from services.kit.auth import SERVICE_PERMISSIONS, add_tokens, new_token
from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.plugins import PluginHost
from services.kit.postgres import EmbeddedPostgres, libpq_url, provision
from services.kit.runtime import Runtime, make_runtime
from tests.bench.campaign import parts
from tests.bench.campaign.letter import CONTENT, PEOPLE, WEB
from tests.support.campaign import CHANNEL, NOW, ROOT, SenderProcess, make_template, start_sender
from tests.support.schema import create_schema
from tests.support.waiting import until

SETTINGS = {"max_wal_size": "4GB", "checkpoint_timeout": "30min", "shared_buffers": "512MB"}
"""Of the server. It is as durable as in production: commits wait for the disk."""

_SECRET = "k" * 32
EVERYBODY = "segments/all"


_BUSY = """
SELECT EXISTS (SELECT FROM message WHERE state = 'planned')
    OR EXISTS (SELECT FROM message WHERE state IN ('claimed', 'sending'))
"""
_FILL = """
INSERT INTO contact (id, kind, display_name, folded_name, given_name, family_name, language_code, time_zone,
    region_code, administrative_area, locality, sublocality, postal_code, address_lines, gender, lifecycle_stage,
    industry, occupation, attributes, tags, identities, consents, revision, create_time, update_time)
SELECT ('00000000-0000-7000-a000-' || lpad(to_hex(number), 12, '0'))::uuid, 1, given || ' ' || family,
    lower(given || ' ' || family), given, family, '', 'Asia/Ho_Chi_Minh', 'VN', '', city, '', '', ARRAY[]::text[], '',
    '', '', '', '{{}}', ARRAY['newsletter'],
    jsonb_build_array(jsonb_build_array(1, '', 'person.' || number || '@mail' || number % 20 || '.test')),
    '{{"email_marketing": {{"channel": "email", "topic": "marketing", "granted": true, "source": "import",
       "proof": "", "decide_time": "2026-01-01T00:00:00+00:00"}}}}', 1, now(), now()
FROM generate_series(1, {count:d}) AS number
JOIN (VALUES {names}) AS person (place, given, family, city) ON place = number % {places:d}
"""


def contact_id(number: int) -> UUID:
    """Return the id of the contact of a number."""
    return UUID(f"00000000-0000-7000-a000-{number:012x}")


class Members(segmentation_pb2_grpc.SegmentationServiceServicer):
    """Answer ListMembers from a sorted list of contacts."""

    def __init__(self) -> None:
        self.names: Sequence[str] = ()

    def GetSegment(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return a segment of the name."""
        return segmentation_pb2.GetSegmentResponse(segment=segmentation_pb2.Segment(name=request.name))

    def ListMembers(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the page behind the name that the token is."""
        start = bisect_right(self.names, request.page_token)
        page = self.names[start : start + request.page_size]
        more = start + len(page) < len(self.names)
        return segmentation_pb2.ListMembersResponse(contacts=page, next_page_token=page[-1] if more else "")


class Stack:
    """The services and their databases; senders are added as a measurement needs them."""

    def __init__(
        self, folder: Path, urls: dict[str, str], base_port: int, token: str, server: EmbeddedPostgres
    ) -> None:
        self.server = server
        self.urls = urls
        self.members = Members()
        self.contacts_pid = 0
        self._folder = folder
        self._base_port = base_port
        self._token = token
        self._senders: list[SenderProcess] = []
        settings = load_settings(
            campaign_database_url=urls["campaign"],
            secret_key=_SECRET,
            base_port=base_port,
            token=token,
            mail_domain="shop.test",
        )
        self.runtime: Runtime = make_runtime("campaign", "worker", settings, clock=FixedClock(NOW))

    def fill(self, count: int) -> None:
        """Write so many contacts, each with an address and a consent, and name them to segmentation."""
        names = ", ".join(
            f"({place}, '{given}', '{family}', '{city}')"
            for place, (given, family, city) in enumerate(PEOPLE)
        )
        with psycopg.connect(libpq_url(self.urls["contacts"]), autocommit=True) as connection:
            connection.execute("TRUNCATE contact, identity")
            connection.execute(_FILL.format(count=count, names=names, places=len(PEOPLE)).encode())
            connection.execute("VACUUM ANALYZE contact")
        self.members.names = [f"contacts/{contact_id(number)}" for number in range(1, count + 1)]

    def start_senders(self, count: int, smtp_port: int, **variables: str) -> list[SenderProcess]:
        """Start senders beside those that run, and return once they are fit to send."""
        made = []
        for _ in range(count):
            ready = self._folder / f"ready-{len(self._senders)}"
            sender = start_sender(
                self._folder,
                self.urls["campaign"],
                _SECRET,
                "",
                smtp_port,
                f"fixed:{NOW.isoformat()}",
                f"--ready-file={ready}",
                RAPPORT_BASE_PORT=str(self._base_port),
                RAPPORT_TOKEN=self._token,
                RAPPORT_LOG_LEVEL="WARNING",
                RAPPORT_PUBLIC_WEB_URL=WEB,
                **variables,
            )
            self._senders.append(sender)
            made.append(sender)
            until(lambda: ready.exists() or sender.process.poll() is not None, "the sender is ready")  # noqa: B023
            if sender.process.poll() is not None:
                raise RuntimeError(sender.log.read_text())
        return made

    def bind(self) -> None:
        """Set a policy with quiet hours and caps, and a rate limit, none of which holds anything back."""
        hours = Hours(quiet=(Span(start=23 * 60, end=6 * 60),))
        caps = (Cap(count=50, period=timedelta(days=7)), Cap(count=200, period=timedelta(days=30)))
        stamps: dict[str, Any] = {"revision": 0, "create_time": NOW, "update_time": NOW}
        common: dict[str, Any] = {"id": "bench", "channel": "", "topic": ""}
        policies.set_policy(
            self.runtime,
            Policy(**common, hours=hours, caps=caps, transactional=False, defer=True, **stamps),
            "",
        )
        second = timedelta(seconds=1)
        limit = {"channels": (CHANNEL,), "domain": "", "count": 5_000, "period": second, "burst": 5_000}
        rates.set_limit(self.runtime, RateLimit(id="bench", **limit, **stamps), "")

    def unbind(self) -> None:
        """Take policy and limit away."""
        policies.delete_policy(self.runtime, "bench", "")
        rates.delete_limit(self.runtime, "bench", "")

    def cpu(self, sink: int) -> Counter[str]:
        """Return the CPU seconds so far by part, with the mail server of that process id."""
        senders = [sender.process.pid for sender in self._senders]
        return parts.cpu(senders, self.contacts_pid, self.server.pid or 0, sink)

    def stop_senders(self) -> None:
        """Stop all senders in order."""
        for sender in self._senders:
            if sender.process.poll() is None:
                sender.stop()
        self._senders.clear()

    def wait_until_sent(self, pause_seconds: float) -> None:
        """Return once no message is planned or in a sender's hand."""
        pause = threading.Event()
        with self.runtime.db.read() as connection:
            # By the partial indexes alone: nothing may look at the messages that are done.
            connection.exec_driver_sql("SET enable_seqscan = off")
            while connection.exec_driver_sql(_BUSY).scalar_one():
                pause.wait(pause_seconds)
            connection.exec_driver_sql("RESET enable_seqscan")

    def states(self) -> dict[str, int]:
        """Return how many messages there are in each state."""
        query = sa.select(message.c.state, sa.func.count()).group_by(message.c.state)
        with self.runtime.db.read() as connection:
            return dict(tuple(row) for row in connection.execute(query))

    def forget_messages(self) -> None:
        """Empty the ledger."""
        with self.runtime.db.transaction() as connection:
            connection.exec_driver_sql("TRUNCATE message, outbox")


@contextmanager
def open_stack(say: Callable[[str], None]) -> Iterator[Stack]:
    """Give the stack, with the letter as template `hello` and no contacts yet."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        server = EmbeddedPostgres(folder / "pg", settings=SETTINGS, throwaway=True)
        ends.callback(server.destroy)
        server.start()
        urls = provision(
            server.admin_url,
            ["contacts", "campaign"],
            prefix="bench",
            extensions=["unaccent", "pg_trgm", "btree_gin"],
            plugin_services=["contacts", "campaign"],
        )
        for service, url in urls.items():
            create_schema(service, url)
        base_port = _free_ports()
        token = new_token()
        add_tokens(folder / "tokens.json", [("service:campaign", SERVICE_PERMISSIONS["campaign"], token)])
        stack = Stack(folder, urls, base_port, token, server)
        ends.callback(stack.runtime.close)
        host = PluginHost(allowed=(plugin_of(CHANNEL),), environment={})
        channels.provide(stack.runtime, host)
        ends.callback(channels.release, stack.runtime)
        stack.contacts_pid = ends.enter_context(_contacts_api(folder, urls["contacts"], base_port))
        ends.enter_context(_segmentation(stack.members, base_port + 3))
        ends.callback(stack.stop_senders)
        make_template(stack.runtime, **CONTENT)
        yield stack


@contextmanager
def _contacts_api(folder: Path, url: str, base_port: int) -> Iterator[int]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "protos", ROOT / "protos" / "gen"))),
        "RAPPORT_DATA_DIR": str(folder),
        "RAPPORT_CONTACTS_DATABASE_URL": url,
        "RAPPORT_SECRET_KEY": _SECRET,
        "RAPPORT_BASE_PORT": str(base_port),
        "RAPPORT_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.kit.process", "contacts"], cwd=ROOT, env=environment
    )
    try:
        until(lambda: process.poll() is not None or _listens(base_port + 1), "contacts serves")
        if process.poll() is not None:
            raise RuntimeError(f"contacts ended at once with status {process.returncode}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _segmentation(members: Members, port: int) -> Iterator[None]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    segmentation_pb2_grpc.add_SegmentationServiceServicer_to_server(members, server)  # type: ignore[no-untyped-call]
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        raise RuntimeError(f"port {port} is taken")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_ports() -> int:
    """Return a base port above which all that the services need is free now."""
    for base in range(21_000, 30_000, 50):
        if not any(_listens(base + offset) for offset in (1, 3, 4, 11, 12, 14, 21, 24)):
            return base
    raise RuntimeError("no block of 50 free ports between 21000 and 30000")
