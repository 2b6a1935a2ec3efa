"""A day in the life of the service, told step by step: what mutants of its queries must change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from services.segmentation.usecases import upkeep
from tests.support.segmentation import NOW, World, activity_defined, contact, contact_id, visit, world

RULES = {
    "away": "!events.page_visited.exists(v, now - v.time <= days(2))",
    "busy": "events.page_visited.filter(v, now - v.time <= days(3)).size() >= 2",
    "lost": 'in_segment("segments/away") && contact.region_code == "VN"',
    "reachable": "contact.has_email",
}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def play(url: str) -> Iterator[Any]:
    """Play the scenario on an empty database; yield what can be seen after each step."""
    with world(url) as place:
        place.empty()
        place.deliver(activity_defined("page.visited", {}))
        for name, rule in RULES.items():
            place.define(name, rule)
        yield _seen(place)
        people = [contact_id(n) for n in range(4)]
        place.deliver(
            *(
                contact(person, has_email=n % 2 == 0, region_code="VN" if n < 3 else "US")
                for n, person in enumerate(people)
            )
        )
        yield _seen(place)
        place.deliver(
            visit(people[0], NOW - HOUR), visit(people[0], NOW - 2 * DAY), visit(people[1], NOW - DAY)
        )
        yield _seen(place)
        for hours in (23, 24, 47, 60):
            place.clock.instant = NOW + hours * HOUR + timedelta(microseconds=1)
            upkeep.expire(place.service)
            yield _seen(place)
        place.deliver(contact(people[0], revision=2, region_code="VN"), visit(people[3], place.clock.instant))
        yield _seen(place)


def _seen(place: World) -> Any:
    due = place.query(
        "SELECT contact_id || ' ' || coalesce(next_change::text, 'never') FROM contact_state ORDER BY contact_id"
    )
    return [
        {name: sorted(map(str, members)) for name, members in sorted(place.everybody().items())},
        place.sizes(),
        [[type_, segment, str(key), past] for type_, segment, key, past in sorted(place.told(), key=str)],
        due,
    ]
