"""E-mail by SMTP: the channel `email.smtp`."""

from __future__ import annotations

from rapport_sdk import Capabilities, Channel, ChannelAdapter, Setting, Settings, hookimpl


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare the server and how to log in."""
    return [
        Setting("smtp_host", str, "localhost", doc="Host of the SMTP server that takes our mail."),
        Setting("smtp_port", int, 587, doc="Port of the SMTP server: 587, 465 for tls, 25 for a relay."),
        Setting(
            "smtp_security",
            str,
            "starttls",
            choices=("starttls", "tls", "none"),
            doc="starttls upgrades a plain connection, tls starts encrypted, none is for a relay next door.",
        ),
        Setting("smtp_ca_file", str, "", doc="PEM file of authorities to trust instead of the system's."),
        Setting("smtp_user", str, "", doc="User to log in as; empty does not log in."),
        Setting("smtp_password", str, "", secret=True, doc="Password of the user."),
        Setting("smtp_timeout", float, 30.0, doc="Seconds to wait for the server at each step."),
        Setting("dkim_domain", str, "", doc="Domain that signs our mail (DKIM), such as that of the sender."),
        Setting("dkim_selector", str, "", doc="Selector under which the DNS has the public key."),
        Setting("dkim_key_file", str, "", doc="PEM file of the RSA key that signs; empty does not sign."),
        Setting("dkim_key", str, "", secret=True, doc="The key itself in PEM, instead of a file."),
        Setting(
            "report_secret",
            str,
            "",
            secret=True,
            doc="What report_secret_header of a report over HTTP must hold; empty takes none.",
        ),
        Setting(
            "report_secret_header", str, "authorization", doc="Header of a report that holds report_secret."
        ),
        Setting("smtp_hello", str, "", doc="Our host name in EHLO; empty takes the machine's."),
    ]


def _capabilities(settings: Settings) -> Capabilities:
    # Whoever got a mail, or an answer to it, knows its Message-ID. So without a secret no report is taken here; those
    # that come by mail prove themselves by the signed address that they went to.
    return Capabilities(
        address_kind="email", max_batch=200, html=True, callbacks=bool(settings["report_secret"])
    )


def _open(settings: Settings) -> ChannelAdapter:
    # Most processes that load the plugin never send, and what sending needs takes long to import.
    from rapport_builtin.email.smtp import SmtpAdapter

    return SmtpAdapter(settings)


@hookimpl
def rapport_channels() -> list[Channel]:
    """Declare the channel."""
    return [
        Channel(
            name="email.smtp",
            # Not idempotent: SMTP servers do not compare Message-IDs, a second sending is a second mail.
            capabilities=Capabilities(address_kind="email", max_batch=200, html=True),
            capabilities_of=_capabilities,
            open=_open,
            doc="e-mail through an SMTP server, over one connection that is kept open",
        )
    ]
