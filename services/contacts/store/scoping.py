"""Whose contacts are whose: a user's own are those it owns, its teams' are those that name one of them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import ColumnElement

from services.contacts.models import contact
from services.kit.access.scope import Reach, Scope


def visible(scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a contact is within a scope."""
    if scope.everything:
        return sa.true()
    # The second condition is that of the partial index; it also keeps a caller without a name from what is nobody's.
    own = sa.and_(contact.c.owner == scope.user, contact.c.owner != sa.text("''"))
    if scope.reach is Reach.OWN:
        return own
    return sa.or_(own, sa.and_(contact.c.team.in_(scope.teams), contact.c.team != sa.text("''")))
