"""Whether a provider's report is believed."""

from __future__ import annotations

import hmac

from rapport_sdk import CallbackRefused, CallbackRequest


def require_secret(request: CallbackRequest, header: str, secret: str) -> None:
    """Raise CallbackRefused unless a header of the request holds the secret, and always while that is empty."""
    if not secret:
        raise CallbackRefused("no report_secret is set, so no report is believed")
    given = {name.lower(): value for name, value in request.headers.items()}
    shown = given.get(header.lower(), "")
    if not hmac.compare_digest(shown.encode("utf-8", "replace"), secret.encode()):
        raise CallbackRefused("the report does not hold the secret that was agreed on")
