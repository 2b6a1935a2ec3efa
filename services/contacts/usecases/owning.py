"""Whose a new contact is."""

from __future__ import annotations

from dataclasses import replace

from services.contacts.domain.contact import Draft
from services.kit.access.scope import Reach, Scope
from services.kit.errors import PermissionDenied


def owned(draft: Draft, scope: Scope) -> Draft:
    """Return the draft of a new contact that its maker will see: it is the caller's own where it names nobody.

    Raises PermissionDenied (OUT_OF_SCOPE) when it names somebody else, as the caller could neither read it nor take
    it back.
    """
    if scope.everything:
        return draft
    owner, team = draft.fields.get("owner", ""), draft.fields.get("team", "")
    of_its_team = scope.reach is Reach.TEAM and team != "" and team in scope.teams
    if not owner and not of_its_team:
        owner = scope.user
        draft = replace(draft, fields={**draft.fields, "owner": owner})
    if of_its_team or (owner and owner == scope.user):
        return draft
    teams = f", or of one of its teams ({', '.join(scope.teams)})" if scope.reach is Reach.TEAM else ""
    raise PermissionDenied(
        f"who has a grant on some contacts only makes contacts of its own (owner {scope.user!r}){teams}; "
        f"this one would be of owner {owner!r} and team {team!r}",
        reason="OUT_OF_SCOPE",
        metadata={"owner": owner, "team": team},
    )
