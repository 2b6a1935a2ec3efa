"""Messages as lines of a file, for tests and audits: the channel `file.lines`."""

from __future__ import annotations

from rapport_sdk import Capabilities, Channel, ChannelAdapter, Setting, Settings, hookimpl


@hookimpl
def rapport_settings() -> list[Setting]:
    """Declare where the file is and when it is changed."""
    return [
        Setting(
            "path", str, ".rapport/messages/messages.jsonl", doc="The file; its folder is made when need be."
        ),
        Setting("max_bytes", int, 64_000_000, doc="Bytes after which a new file is begun; 0 for never."),
    ]


def _open(settings: Settings) -> ChannelAdapter:
    # Most processes that load the plugin never send, and what sending needs takes long to import.
    from rapport_builtin.file.adapter import FileAdapter

    return FileAdapter(settings)


@hookimpl
def rapport_channels() -> list[Channel]:
    """Declare the channel."""
    return [
        Channel(
            name="file.lines",
            # A line whose id is there already is not written again.
            capabilities=Capabilities(address_kind="email", idempotent=True, max_batch=500, html=True),
            open=_open,
            doc="one JSON line for each message, on disk before it counts as sent",
        )
    ]
