"""The plugins of this process: found, loaded one by one, the broken ones set aside.

Loading imports plugin code into the calling process. Processes that must outlive any plugin use PluginHost
instead, which does this in a child.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from rapport_sdk import Channel, OutboundMessage, Recipient, SegmentRule, Trait, Veto
from rapport_sdk.names import plugin_of

from services.kit.plugins.breaker import Breakers
from services.kit.plugins.catalog import Catalog, PluginRecord
from services.kit.plugins.channels import OpenChannel
from services.kit.plugins.discovery import PluginSource, installed_plugins, is_allowed, is_listed, unmatched
from services.kit.plugins.errors import PluginError, PluginUnavailable, RequiredPluginError
from services.kit.plugins.loader import (
    PLUGIN_FAULTS,
    LoadedPlugin,
    LoadFailure,
    describe_fault,
    load_plugin,
    new_hook_manager,
)

log = logging.getLogger("rapport.plugins")
T = TypeVar("T", SegmentRule, Trait, Channel)


class PluginManager:
    """Load the allowed plugins and give out their objects.

    allowed: plugin or distribution names; empty allows all that are installed. required: those without which
    `load` raises. environment: where settings are read. sources: what to choose from, by default all
    installed plugins. set_aside: plugins not to be imported at all, with the reason.
    """

    def __init__(
        self,
        allowed: Collection[str] = (),
        required: Collection[str] = (),
        environment: Mapping[str, str] | None = None,
        *,
        sources: Sequence[PluginSource] | None = None,
        set_aside: Mapping[str, str] | None = None,
    ) -> None:
        self._allowed = tuple(allowed)
        self._required = tuple(required)
        self._environment = dict(environment or {})
        self._sources = list(installed_plugins() if sources is None else sources)
        self._set_aside = dict(set_aside or {})
        self._hooks = new_hook_manager()
        self._breakers = Breakers()
        self._vetoing = threading.Lock()
        self._loaded: dict[str, LoadedPlugin] = {}
        self.catalog = Catalog()

    def load(self, before: Callable[[str], None] = lambda name: None) -> Catalog:
        """Load every allowed plugin, each by itself, and return the catalog.

        before: called with the name of each plugin before it is imported. A plugin that fails is quarantined
        and logged. Raises RequiredPluginError, which names them all, when a required one is missing or
        quarantined.
        """
        for name in unmatched(self._allowed, self._sources):
            log.warning("RAPPORT_PLUGINS_ALLOW names %r, but no such plugin is installed", name)
        counts = Counter(source.name for source in self._sources)
        names = sorted(counts)
        records = [self._load_one(source, counts[source.name] > 1, names, before) for source in self._sources]
        for name in unmatched(self._required, self._sources):
            reason = f"required, but no installed distribution has a plugin {name!r}"
            records.append(PluginRecord(name, state="quarantined", reason=reason, required=True))
        self.catalog = Catalog(tuple(records))
        if bad := [record for record in records if record.required and record.state != "ok"]:
            listed = "; ".join(f"{record.name}: {record.reason}" for record in bad)
            raise RequiredPluginError(f"required plugins are not usable: {listed}")
        return self.catalog

    def _load_one(
        self, source: PluginSource, ambiguous: bool, names: Sequence[str], before: Callable[[str], None]
    ) -> PluginRecord:
        required = is_listed(source, self._required)
        failed = PluginRecord(
            source.name, source.distribution, source.version, "quarantined", required=required
        )
        # A required plugin is wanted whatever the allowlist says; refusing it would only contradict the
        # operator.
        if not required and not is_allowed(source, self._allowed):
            return replace(failed, state="not_allowed", reason="not in the list of allowed plugins")
        try:
            if ambiguous:
                raise LoadFailure("two installed distributions have a plugin of this name: remove one")
            if reason := self._set_aside.get(source.name):
                raise LoadFailure(reason)
            before(source.name)
            loaded = load_plugin(source, self._hooks, self._environment, names)
            self._check_columns(loaded)
        except LoadFailure as failure:
            log.error("plugin %s is quarantined: %s", source.name, failure)
            return replace(failed, reason=str(failure))
        for warning in loaded.warnings:
            log.warning("plugin %s: %s", source.name, warning)
        self._loaded[source.name] = loaded
        return loaded.record(required)

    def _check_columns(self, loaded: LoadedPlugin) -> None:
        taken = {
            column: trait.name
            for other in self._loaded.values()
            for trait in other.objects.values()
            if isinstance(trait, Trait)
            for column in trait.columns
        }
        for trait in loaded.objects.values():
            for column in trait.columns if isinstance(trait, Trait) else ():
                if other := taken.get(column):
                    self._hooks.unregister(name=loaded.source.name)
                    raise LoadFailure(f"{trait.name}: column {column!r} belongs to {other} already")
                taken[column] = trait.name

    def loaded(self, plugin: str) -> LoadedPlugin:
        """Return a plugin that is ok; raises PluginUnavailable that says why it is not."""
        if plugin not in self._loaded:
            raise PluginUnavailable(plugin, "", self.catalog.why_gone(f"{plugin}.?"))
        return self._loaded[plugin]

    def find(self, name: str, kind: type[T]) -> tuple[LoadedPlugin, T]:
        """Return an object of a kind and its plugin; raises PluginUnavailable that says why it is gone."""
        plugin = self._loaded.get(plugin_of(name))
        item = plugin.objects.get(name) if plugin else None
        if plugin is None or not isinstance(item, kind):
            raise PluginUnavailable(plugin_of(name), name, self.catalog.why_gone(name))
        return plugin, item

    def open_channel(self, name: str) -> OpenChannel:
        """Open a channel; raises PluginUnavailable when it is gone, PluginError when its `open` raises."""
        plugin, channel = self.find(name, Channel)
        try:
            adapter = channel.open(plugin.settings)
        except PLUGIN_FAULTS as error:
            raise PluginError(plugin.source.name, name, f"open raised {describe_fault(error)}") from error
        return OpenChannel(plugin.source.name, channel, adapter, plugin.settings, self._breakers)

    def send_veto(self, message: OutboundMessage, recipient: Recipient) -> Veto | None:
        """Ask every plugin whether the message may go and return the first Veto; one that fails vetoes.

        May be called from several threads: plugins are asked by one at a time.
        """
        with self._vetoing:
            return self._ask_for_veto(message, recipient)

    def _ask_for_veto(self, message: OutboundMessage, recipient: Recipient) -> Veto | None:
        for implementation in self._hooks.hook.rapport_send_veto.get_hookimpls():
            name = implementation.plugin_name
            given = {"message": message, "recipient": recipient, "settings": self._loaded[name].settings}
            try:
                answer = implementation.function(*(given[argument] for argument in implementation.argnames))
            except PLUGIN_FAULTS as error:
                log.exception("plugin %s: rapport_send_veto raised", name)
                return Veto(f"plugin {name} failed: {describe_fault(error)}")
            if isinstance(answer, Veto):
                return answer
            if answer is not None:
                return Veto(f"plugin {name} answered {type(answer).__name__} where Veto or None belongs")
        return None
