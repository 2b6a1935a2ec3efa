"""Refuse to send to addresses that cannot exist.

Forms and imports are full of `x@example.com` and `none@invalid`. A provider counts each as a bounce, and too
many bounces cost the sender its reputation.
"""

from __future__ import annotations

from rapport_sdk import OutboundMessage, Recipient, Setting, Settings, Veto, hookimpl

# RFC 2606 and RFC 6761. `test` is left out: it is what test systems send to.
RESERVED = ("example", "invalid", "localhost", "example.com", "example.net", "example.org")


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare the list of domains."""
    return [
        Setting(
            "refused_domains",
            tuple,
            RESERVED,
            doc="Mail domains that nothing is sent to, nor to those below them; 'none' refuses none.",
        )
    ]


@hookimpl
def rapport_send_veto(message: OutboundMessage, recipient: Recipient, settings: Settings) -> Veto | None:
    """Stop a message to a refused domain; let pass addresses that are not mail."""
    _, at, domain = message.to.rpartition("@")
    if not at:
        return None
    labels = domain.lower().rstrip(".").split(".")
    for start in range(len(labels)):
        tail = ".".join(labels[start:])
        if tail in settings["refused_domains"]:
            return Veto(f"no mail can be delivered at {tail}")
    return None
