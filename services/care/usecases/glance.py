"""A customer at a glance: asks every service at once and shows what answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rapport_client.errors import NotFound as ClientNotFound
from rapport_client.errors import RapportError as ClientError
from rapport_client.retry import RetryPolicy

from services.care.domain.cases import Case
from services.care.domain.tasks import Task, TaskState
from services.care.store import cases, tasks
from services.kit import context
from services.kit.errors import NotFound
from services.kit.runtime import Runtime

PART_SECONDS = 3.0
NEWEST = 20
_ONCE = RetryPolicy(attempts=1)


@dataclass(frozen=True, slots=True)
class Glance:
    """Hold what is known of a customer.

    parts: the answers of the services by part; unavailable: why others are missing.
    """

    parts: dict[str, Any]
    unavailable: dict[str, str]
    cases: list[Case]
    open_tasks: list[Task]


class Glancer:
    """Ask the services about customers, several at a time."""

    def __init__(self, runtime: Runtime, *, threads: int = 24) -> None:
        self._runtime = runtime
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="glance")

    def glance(self, contact: UUID) -> Glance:
        """Return all that is known of a customer; raises NotFound when contacts says that there is none.

        The services are asked in care's name, which may see everybody: a caller who sees only some cases and
        tasks is shown only the customers of these, and nothing else that care has of theirs.
        """
        name = f"contacts/{contact}"
        scope = context.scope()
        with self._runtime.db.read() as connection:
            own = cases.page(connection, scope, contact_id=contact, count=NEWEST)
            to_do = tasks.page(connection, scope, contact_id=contact, state=TaskState.OPEN, count=NEWEST)
        if not (own or to_do or scope.everything):
            raise NotFound.resource(name)
        clients = self._runtime.clients
        options: dict[str, Any] = {"_timeout": PART_SECONDS, "_retry": _ONCE}
        asked: dict[str, Callable[[], Any]] = {
            "contact": lambda: clients.contacts.get_contact(name=name, **options),
            "activities": lambda: clients.contacts.list_activities(contact=name, page_size=NEWEST, **options),
            "segments": lambda: clients.segmentation.list_contact_segments(contact=name, **options),
            "traits": lambda: clients.segmentation.get_profile(contact=name, **options),
            "sales": lambda: clients.sales.get_contact_sales(contact=name, **options),
            "messages": lambda: clients.campaign.list_messages(contact=name, page_size=NEWEST, **options),
        }
        deadline = time.monotonic() + PART_SECONDS + 0.5
        # Each call carries the request's id and trace, which live in its context.
        waiting: dict[str, Future[Any]] = {
            part: self._pool.submit(copy_context().run, call) for part, call in asked.items()
        }
        parts: dict[str, Any] = {}
        unavailable: dict[str, str] = {}
        for part, future in waiting.items():
            try:
                parts[part] = future.result(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                # All threads are busy with services that do not answer.
                future.cancel()
                unavailable[part] = f"no answer within {PART_SECONDS:g} s"
            except ClientNotFound as error:
                if part == "contact":
                    raise NotFound.resource(name) from error
                # Known to contacts, but its events have not reached the other service yet.
                unavailable[part] = error.message
            except ClientError as error:
                unavailable[part] = error.message
        return Glance(parts, unavailable, own, to_do)
