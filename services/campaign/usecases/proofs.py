"""Templates looked at, and sent to oneself, before they go to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.campaign.domain.ids import TRANSACTIONAL, RuleError, check_topic
from services.campaign.domain.ledger import Message
from services.campaign.domain.rendering import MAX_SUBJECT, Rendered
from services.campaign.renderer.pool import shared
from services.campaign.usecases import messages, templates
from services.campaign.usecases.checks import refuse
from services.campaign.usecases.messages import SingleMessage
from services.kit.errors import FieldViolation, InvalidArgument
from services.kit.runtime import Runtime

TEST_MARK = "[Test] "


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Say what is rendered for whom; language_code: None for the contact's. event: what templates see of one."""

    template_id: str
    contact_id: UUID
    language_code: str | None
    topic: str
    event: Mapping[str, Any] | None


def preview(runtime: Runtime, sample: Sample) -> tuple[Rendered, tuple[str, ...]]:
    """Render a template and return it with its static links; raises NotFound, InvalidArgument (RENDER_FAILED)."""
    try:
        check_topic(sample.topic)
    except RuleError as error:
        raise refuse(error, "topic") from error
    made = templates.preview_template(
        runtime,
        sample.template_id,
        sample.contact_id,
        language_code=sample.language_code,
        topic=sample.topic,
        event=sample.event,
    )
    template = templates.get_template(runtime, sample.template_id)
    return made, shared().compiled(template.content(made.language_code)).links


def send_test(
    runtime: Runtime, sample: Sample, channel: str, addresses: Sequence[str], request_id: str
) -> list[Message]:
    """Plan a rendered template as a single message to each address; again for the same request it returns the first.

    Raises as preview and send_message.
    """
    if not addresses or len(set(addresses)) != len(addresses) or not all(addresses):
        raise InvalidArgument(
            "addresses: name each address once",
            violations=[FieldViolation("addresses", "must name at least one address, each once")],
        )
    made, _ = preview(runtime, sample)
    return [
        messages.send_message(
            runtime,
            SingleMessage(
                contact_id=None,
                channel=channel,
                topic=TRANSACTIONAL,
                subject=f"{TEST_MARK}{made.subject}"[:MAX_SUBJECT],
                text=made.text,
                reply_to="",
                in_reply_to="",
                address=address,
                html=made.html,
            ),
            f"test:{request_id}:{number}",
        )
        for number, address in enumerate(addresses)
    ]
