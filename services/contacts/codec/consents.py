"""Consents on the wire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.codec.problems import Problems
from services.contacts.codec.values import optional_time
from services.contacts.domain.consents import Decision, Wish, check_channel, check_time, check_topic
from services.contacts.domain.errors import Refused
from services.contacts.domain.text import clean_text
from services.kit.names import format_name
from services.kit.wire import to_timestamp


def decode_wish(
    message: pb.Consent | pb.IndexedConsent, path: str, problems: Problems, now: datetime
) -> Wish:
    """Return a decision as it is handed in, noting all that is wrong."""
    check = problems.check
    decide_time = check(f"{path}.decide_time", optional_time, message, "decide_time")
    check(f"{path}.decide_time", check_time, decide_time, now)
    proof = message.proof if isinstance(message, pb.Consent) else ""
    return Wish(
        channel=check(f"{path}.channel", check_channel, message.channel) or "",
        topic=check(f"{path}.topic", check_topic, message.topic) or "",
        granted=bool(check(f"{path}.state", _granted, message.state)),
        decide_time=decide_time,
        source=check(f"{path}.source", clean_text, message.source) or "",
        proof=check(f"{path}.proof", clean_text, proof) or "",
    )


def _granted(state: int) -> bool:
    if state not in (pb.Consent.STATE_GRANTED, pb.Consent.STATE_DENIED):
        raise Refused("must be STATE_GRANTED or STATE_DENIED")
    return state == pb.Consent.STATE_GRANTED


def encode_state(granted: bool | None) -> pb.Consent.State:
    """Return the state of a decision; None when there is none."""
    if granted is None:
        return pb.Consent.STATE_UNSPECIFIED
    return pb.Consent.STATE_GRANTED if granted else pb.Consent.STATE_DENIED


def encode_consent(contact_id: UUID, decision: Decision) -> pb.Consent:
    """Return the message of a decision."""
    return pb.Consent(
        contact=format_name("contacts", contact_id),
        channel=decision.channel,
        topic=decision.topic,
        state=encode_state(decision.granted),
        decide_time=to_timestamp(decision.decide_time),
        source=decision.source,
        proof=decision.proof,
    )
