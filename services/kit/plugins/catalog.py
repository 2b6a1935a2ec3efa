"""What is known of the plugins without running their code: identities, signatures, states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from rapport_sdk import Channel, SegmentRule, Trait, ValueType

State: TypeAlias = Literal["ok", "quarantined", "not_allowed"]


@dataclass(frozen=True)
class ParameterRecord:
    """Describe a literal parameter of a rule."""

    name: str
    type: ValueType
    choices: tuple[str | int, ...] = ()
    doc: str = ""


@dataclass(frozen=True)
class RuleRecord:
    """Describe a segment rule; fields as in rapport_sdk.SegmentRule."""

    plugin: str
    name: str
    version: int
    returns: ValueType
    parameters: tuple[ParameterRecord, ...]
    events: tuple[str, ...]
    has_sql: bool
    has_python: bool
    when_gone: Literal["keep", "unknown"]
    doc: str = ""
    kind: Literal["rule"] = "rule"


@dataclass(frozen=True)
class TraitRecord:
    """Describe a trait; fields as in rapport_sdk.Trait. Records of before there were forms are of SQL alone."""

    plugin: str
    name: str
    version: int
    columns: Mapping[str, ValueType]
    events: tuple[str, ...]
    refresh_seconds: float
    when_gone: Literal["keep", "clear"]
    doc: str = ""
    has_sql: bool = True
    has_python: bool = False
    kind: Literal["trait"] = "trait"


@dataclass(frozen=True)
class ChannelRecord:
    """Describe a channel; fields as in rapport_sdk.Channel and its Capabilities."""

    plugin: str
    name: str
    version: int
    address_kind: str
    idempotent: bool
    max_batch: int
    html: bool
    callbacks: bool
    when_gone: Literal["hold", "fail"]
    doc: str = ""
    url_schemes: tuple[str, ...] = ()
    kind: Literal["channel"] = "channel"


ObjectRecord: TypeAlias = RuleRecord | TraitRecord | ChannelRecord
_KINDS: Mapping[str, type[RuleRecord] | type[TraitRecord] | type[ChannelRecord]] = {
    "rule": RuleRecord,
    "trait": TraitRecord,
    "channel": ChannelRecord,
}


@dataclass(frozen=True)
class SettingRecord:
    """Describe a setting of a plugin: its environment variable and the value in force.

    value: as the variable takes it; empty when there is none, *** for a secret.
    """

    variable: str
    type: str
    value: str
    doc: str


@dataclass(frozen=True)
class PluginRecord:
    """Describe one plugin that is installed, or that is required and is not.

    state: `ok`; `quarantined`, and reason says why; `not_allowed` by the configuration, and then not even
    imported. warnings: what does not stop it but is likely a mistake. hooks: the direct hooks that it
    implements.
    """

    name: str
    distribution: str = ""
    version: str = ""
    state: State = "ok"
    reason: str = ""
    required: bool = False
    warnings: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    settings: tuple[SettingRecord, ...] = ()
    objects: tuple[ObjectRecord, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """List the plugins by name."""

    plugins: tuple[PluginRecord, ...] = field(default=())

    def plugin(self, name: str) -> PluginRecord | None:
        """Return the plugin of a name, whatever its state."""
        return next((record for record in self.plugins if record.name == name), None)

    def objects(self) -> tuple[ObjectRecord, ...]:
        """Return the objects of all plugins that are ok."""
        return tuple(item for record in self.plugins if record.state == "ok" for item in record.objects)

    @property
    def rules(self) -> dict[str, RuleRecord]:
        """Give the rules by name."""
        return {item.name: item for item in self.objects() if isinstance(item, RuleRecord)}

    @property
    def traits(self) -> dict[str, TraitRecord]:
        """Give the traits by name."""
        return {item.name: item for item in self.objects() if isinstance(item, TraitRecord)}

    @property
    def channels(self) -> dict[str, ChannelRecord]:
        """Give the channels by name."""
        return {item.name: item for item in self.objects() if isinstance(item, ChannelRecord)}

    def why_gone(self, object_name: str) -> str:
        """Say why an object is not to be had, and what to do."""
        name = object_name.partition(".")[0]
        record = self.plugin(name)
        if record is None:
            return f"plugin {name!r} is not installed"
        if record.state == "not_allowed":
            return f"plugin {name!r} is installed but not allowed: add it to RAPPORT_PLUGINS_ALLOW"
        if record.state == "quarantined":
            return f"plugin {name!r} is quarantined: {record.reason}"
        has = ", ".join(item.name for item in record.objects) or "nothing"
        return f"plugin {name!r} has no such object; it registers {has}"


def describe(plugin: str, item: SegmentRule | Trait | Channel) -> ObjectRecord:
    """Return the record of a registered object."""
    match item:
        case SegmentRule():
            return RuleRecord(
                plugin,
                item.name,
                item.version,
                item.returns,
                tuple(ParameterRecord(p.name, p.type, p.choices, p.doc) for p in item.parameters),
                item.events,
                item.value is not None,
                item.matches is not None,
                item.when_gone,
                item.doc,
            )
        case Trait():
            return TraitRecord(
                plugin,
                item.name,
                item.version,
                dict(item.columns),
                item.events,
                item.refresh.total_seconds(),
                item.when_gone,
                item.doc,
                item.value is not None,
                item.compute is not None,
            )
        case Channel():
            can = item.capabilities
            return ChannelRecord(
                plugin,
                item.name,
                item.version,
                can.address_kind,
                can.idempotent,
                can.max_batch,
                can.html,
                can.callbacks,
                item.when_gone,
                item.doc,
                can.url_schemes,
            )


def to_json(record: Catalog | PluginRecord | ObjectRecord) -> dict[str, Any]:
    """Return a record as what JSON can hold."""
    return asdict(record)


def object_from_json(data: Mapping[str, Any]) -> ObjectRecord:
    """Return the record that `to_json` made of an object."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }
    if data["kind"] == "rule":
        values["parameters"] = tuple(
            ParameterRecord(**{**parameter, "choices": tuple(parameter["choices"])})
            for parameter in data["parameters"]
        )
    kind: Any = _KINDS[data["kind"]]
    record: ObjectRecord = kind(**values)
    return record


def catalog_from_json(data: Mapping[str, Any]) -> Catalog:
    """Return the catalog that `to_json` made."""
    plugins = []
    for plugin in data["plugins"]:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plugin.items()
        }
        values["objects"] = tuple(object_from_json(item) for item in plugin["objects"])
        values["settings"] = tuple(SettingRecord(**item) for item in plugin["settings"])
        plugins.append(PluginRecord(**values))
    return Catalog(tuple(plugins))
