"""Bounces and complaints, which reach care's listener and are campaign's matter."""

from __future__ import annotations

from collections.abc import Sequence

from rapport_client.errors import InvalidArgument as ClientInvalidArgument
from rapport_client.errors import RapportError as ClientError

from services.care.domain.addresses import Reply, parse_recipient
from services.kit.errors import Unavailable
from services.kit.log import get_logger
from services.kit.runtime import Runtime

_log = get_logger("care.mail")
_MAX_ADDRESS = 320


def pass_on(runtime: Runtime, raw: bytes, recipients: Sequence[str]) -> None:
    """Give a mail that reports on mail of ours to campaign, which knows whether the report proves what it is about.

    The same mail again is harmless. Raises Unavailable (CAMPAIGN_UNAVAILABLE), so that its sender comes again.
    """
    domain = runtime.settings.mail_domain
    signed = (one for one in recipients if isinstance(parse_recipient(one, domain), Reply))
    recipient = next(signed, next(iter(recipients), "")).strip().strip("<>")[:_MAX_ADDRESS]
    try:
        runtime.clients.campaign.report_delivery(raw=raw, recipient=recipient)
    except ClientInvalidArgument as error:
        # It would be no better another time.
        _log.warning("campaign refuses a report", problem=error.message)
    except ClientError as error:
        raise Unavailable(
            f"campaign does not take a report on a delivery: {error.message}; try again later",
            reason="CAMPAIGN_UNAVAILABLE",
        ) from error
