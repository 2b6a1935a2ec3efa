"""Messages as signed HTTP requests: the channel `webhook.post`."""

from __future__ import annotations

from rapport_sdk import Capabilities, Channel, ChannelAdapter, Setting, Settings, hookimpl


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare the target, the secrets and the bounds."""
    return [
        Setting(
            "url",
            str,
            "",
            doc="URL that takes the messages to contacts; empty sends each to its contact's address. Calls that "
            "name a URL, as journeys' do, go there.",
        ),
        Setting(
            "secrets",
            tuple,
            (),
            secret=True,
            doc="Secrets to sign with, as whsec_<base64>, comma-separated; more than one while they are exchanged.",
        ),
        Setting(
            "idempotent",
            bool,
            False,
            doc="Whether receivers ignore a webhook-id that they have seen: then a lost answer is tried again.",
        ),
        Setting("allow_http", bool, False, doc="Whether http is taken as well as https."),
        Setting(
            "allow_networks",
            tuple,
            (),
            doc="Networks that are no public Internet but allowed all the same, such as 10.1.0.0/16.",
        ),
        Setting("ca_file", str, "", doc="PEM file of authorities to trust instead of the system's."),
        Setting("timeout", float, 15.0, doc="Seconds for a request, its redirects included."),
        Setting("max_answer_bytes", int, 65536, doc="Bytes that are read of an answer."),
    ]


def _capabilities(settings: Settings) -> Capabilities:
    return Capabilities(
        address_kind="webhook",
        idempotent=settings["idempotent"],
        max_batch=100,
        html=True,
        url_schemes=("https", "http") if settings["allow_http"] else ("https",),
    )


def _open(settings: Settings) -> ChannelAdapter:
    # Most processes that load the plugin never send, and what sending needs takes long to import.
    from rapport_builtin.webhook.adapter import WebhookAdapter

    return WebhookAdapter(settings)


@hookimpl
def rapport_channels() -> list[Channel]:
    """Declare the channel."""
    return [
        Channel(
            name="webhook.post",
            capabilities=Capabilities(address_kind="webhook", max_batch=100, html=True),
            capabilities_of=_capabilities,
            open=_open,
            doc="one signed POST for each message, over connections that are kept open",
        )
    ]
