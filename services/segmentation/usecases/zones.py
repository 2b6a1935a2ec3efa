"""Check of the time zones that a rule names, against the database that is to follow them."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from services.kit.log import get_logger
from services.segmentation.rules import CompiledRule, RuleError
from services.segmentation.store import zones

_log = get_logger("segmentation.zones")
_FORTNIGHT = timedelta(days=14)
_FORTNIGHTS = 130


def check_zones(connection: Connection, compiled: CompiledRule, now: datetime) -> None:
    """Refuse a zone that PostgreSQL does not know (RuleError with its place), lest the rule abort every batch.

    Where the database and this process have zone data of different releases, and these disagree within the next five
    years, a warning is logged: membership follows the database.
    """
    instants = [now + n * _FORTNIGHT for n in range(_FORTNIGHTS)]
    for zone, offset in compiled.zones.items():
        found = zones.local_times(connection, zone, instants)
        if found is None:
            raise RuleError.at(
                f'the database has no time zone "{zone}": its zone data are older; update PostgreSQL or name another',
                compiled.text,
                offset,
            )
        here = ZoneInfo(zone)
        differing = [
            at
            for at, local in zip(instants, found, strict=True)
            if at.astimezone(here).replace(tzinfo=None) != local
        ]
        if differing:
            _log.warning(
                "the time zone data of PostgreSQL and Python differ: membership follows PostgreSQL's, explanations "
                "and rule tests Python's",
                zone=zone,
                first=differing[0].isoformat(),
            )
