"""What was known of messages when they were made ready, looked at again as they are about to leave.

Making a slice ready takes a while, and longer where templates are slow. The hours are looked at each time, which
costs nothing; contacts is asked again when what it said is older than FRESH_SECONDS. Suppressions, and wishes to be
left alone that contacts may not have yet, are part of the statement that lets messages go.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from services.campaign.domain.decisions import CONTACT_GONE, HourRules, Stay
from services.campaign.domain.ledger import consent_problem, normalise_address
from services.campaign.store.claims import Result
from services.campaign.usecases import audience
from services.campaign.usecases.holding import held
from services.campaign.usecases.preparing import Prepared, Ready
from services.kit.runtime import Runtime

FRESH_SECONDS = 0.5
"""How old what contacts said may be when a hand-over begins. It is promised in SENDING.md.

About as long as a slice is on the wire: asked for each slice anew, they would hardly be younger when a message leaves.
"""


def recheck(runtime: Runtime, prepared: Prepared, kind: str, topic: str) -> tuple[list[Ready], list[Result]]:
    """Return which of the messages that are ready may still leave, and what becomes of those that must not.

    kind: of address. In neither is a message whose address changed: it is made ready anew. Raises the errors of the
    client of contacts.
    """
    now = runtime.clock.now()
    hours = HourRules(prepared.policies, runtime.settings.time_zone)
    ready: list[Ready] = []
    decided: list[Result] = []
    for item in prepared.ready:
        claim = item.hand_over.claim
        stay = hours.stay(claim.channel, claim.topic, claim.contact_id, item.zone, now)
        if stay is not None:
            decided.append(held(claim, stay, now))
        else:
            ready.append(item)
    if time.monotonic() - prepared.asked <= FRESH_SECONDS:
        return ready, decided
    return _asked_again(runtime, prepared, ready, decided, kind, topic), decided


def _asked_again(
    runtime: Runtime, prepared: Prepared, ready: Sequence[Ready], decided: list[Result], kind: str, topic: str
) -> list[Ready]:
    keys = list(dict.fromkeys(key for item in ready if (key := item.hand_over.claim.contact_id) is not None))
    asked, now = time.monotonic(), runtime.clock.now()
    people = audience.recipients(runtime, keys, kind, topic) if keys else {}
    prepared.asked, prepared.ask_time = asked, now
    left: list[Ready] = []
    for item in ready:
        claim = item.hand_over.claim
        if claim.contact_id is None:
            left.append(item)
            continue
        person = people.get(claim.contact_id)
        problem = CONTACT_GONE if person is None else consent_problem(topic, audience.consent_of(person))
        if problem:
            decided.append(held(claim, Stay(problem), now))
            continue
        own = str((claim.content or {}).get("address") or "")
        if own or (person is not None and normalise_address(kind, person.address) == item.hand_over.address):
            left.append(item)
    return left
