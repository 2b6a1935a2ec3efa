"""SMS through any provider with an HTTP interface: the channel `sms.http`."""

from __future__ import annotations

from rapport_sdk import Capabilities, Channel, ChannelAdapter, Setting, Settings, hookimpl


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare the provider's request, how its answers and reports are read, and the bounds."""
    return [
        Setting("url", str, "", doc="The provider's URL; it may hold placeholders."),
        Setting("method", str, "POST", choices=("POST", "PUT"), doc="HTTP method."),
        Setting("format", str, "json", choices=("json", "form"), doc="How the body is written."),
        Setting(
            "body",
            str,
            "",
            secret=True,
            doc="The body as a JSON object whose texts hold placeholders: {to}, {to_digits}, {sender}, {text}, "
            "{message_id}, {encoding} (gsm7 or ucs2), {secret}.",
        ),
        Setting(
            "headers", str, "{}", secret=True, doc="Headers as a JSON object; placeholders as in the body."
        ),
        Setting("secret", str, "", secret=True, doc="The provider's key, wherever {secret} stands."),
        Setting("user", str, "", doc="User of HTTP Basic authentication; empty for none."),
        Setting("password", str, "", secret=True, doc="Password of the user."),
        Setting("sender", str, "", doc="Number or name that messages come from, as {sender}."),
        Setting(
            "max_segments", int, 6, doc="Most segments of one message; longer ones are refused, 1 to 255."
        ),
        Setting("id_path", str, "", doc="Where an answer holds the provider's id, such as messages.0.id."),
        Setting(
            "status_path", str, "", doc="Where an answer holds its status; empty when HTTP's status says all."
        ),
        Setting("accepted", tuple, (), doc="Values at status_path that mean accepted."),
        Setting("permanent", tuple, (), doc="Values at status_path that mean never; all others mean later."),
        Setting(
            "bad_number",
            tuple,
            (),
            doc="Values at bad_number_path that mean that the number will never do; it is suppressed.",
        ),
        Setting(
            "bad_number_path", str, "", doc="Where an answer, also a refusal, says so; empty: at status_path."
        ),
        Setting(
            "report_id_path",
            str,
            "",
            doc="Where a delivery report holds our message id; empty takes no reports.",
        ),
        Setting("report_status_path", str, "", doc="Where a delivery report holds its status."),
        Setting("report_reason_path", str, "", doc="Where a delivery report says why; empty for nowhere."),
        Setting("report_delivered", tuple, (), doc="Values at report_status_path that mean delivered."),
        Setting(
            "report_failed", tuple, (), doc="Values that mean not delivered, though the number may be good."
        ),
        Setting("report_invalid", tuple, (), doc="Values that mean that the number will never do."),
        Setting(
            "report_secret",
            str,
            "",
            secret=True,
            doc="What report_secret_header of a report must hold; empty takes none, unless trust_all_reports says so.",
        ),
        Setting(
            "report_secret_header", str, "authorization", doc="Header of a report that holds report_secret."
        ),
        Setting(
            "trust_all_reports",
            bool,
            False,
            doc="Whether reports are believed without report_secret: only where nobody but the provider reaches us.",
        ),
        Setting("allow_http", bool, False, doc="Whether the URL may be http."),
        Setting(
            "allow_networks", tuple, (), doc="Networks that are no public Internet but allowed all the same."
        ),
        Setting("ca_file", str, "", doc="PEM file of authorities to trust instead of the system's."),
        Setting("timeout", float, 15.0, doc="Seconds for a request."),
    ]


def _open(settings: Settings) -> ChannelAdapter:
    # Most processes that load the plugin never send, and what sending needs takes long to import.
    from rapport_builtin.sms.adapter import SmsAdapter

    return SmsAdapter(settings)


@hookimpl
def rapport_channels() -> list[Channel]:
    """Declare the channel."""
    return [
        Channel(
            name="sms.http",
            capabilities=Capabilities(address_kind="phone", max_batch=100, callbacks=True),
            open=_open,
            doc="SMS through a provider that takes HTTP requests, described by settings",
        )
    ]
