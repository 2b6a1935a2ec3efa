"""Callers that see some records only, and the RPCs that must keep them from the others."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from rapport.type.v1 import options_pb2
from rapport_client.client import service_descriptors

from services.kit.auth import add_tokens
from tests.support.contracts import snake
from tests.support.stack import Served


def caller(served: Served, user: str, *grants: str, teams: Iterable[str] = ()) -> Any:
    """Return a client of a user with these grants and teams."""
    token = secrets.token_urlsafe(16)
    add_tokens(served.folder / "tokens.json", [(user, grants, token)], teams=teams)
    return served.client_with(token=token)


def scoped_rpcs(service: str) -> set[str]:
    """Return the RPCs of a service that heed scopes, as the client library spells them."""
    return {
        snake(method.name)
        for descriptor in service_descriptors(service)
        for method in descriptor.methods
        if method.GetOptions().Extensions[options_pb2.reach] == options_pb2.REACH_RECORDS
    }
