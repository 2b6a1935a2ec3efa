"""Run rules and traits of plugins, and try channels, in expendable child processes."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from rapport_sdk import Parameter, Profile
from rapport_sdk.names import plugin_of
from rapport_sdk.rules import bind_parameters

from services.kit.errors import InvalidArgument
from services.kit.plugins.answers import Answer, TraitAnswer, answer_problem, trait_problem
from services.kit.plugins.breaker import Breakers
from services.kit.plugins.catalog import Catalog, RuleRecord, TraitRecord, catalog_from_json
from services.kit.plugins.compiled import CompiledSelect
from services.kit.plugins.errors import (
    PluginBusy,
    PluginError,
    PluginTimeout,
    PluginUnavailable,
    RequiredPluginError,
)
from services.kit.plugins.guard import sql_problem
from services.kit.plugins.metrics import note_plugins
from services.kit.plugins.process import HostDied, HostProcess
from services.kit.plugins.wire import encode_profile

log = logging.getLogger("rapport.plugins")
_COMPILED_KEPT = 1000


class PluginHost:
    """Ask plugins without running their code in this process. Safe to use from several threads.

    allowed, required, environment: as for PluginManager; only RAPPORT_PLUGIN_* variables reach the child.
    processes: how many requests run at once. deadline: seconds for one request, after which its child is
    killed and replaced. load_seconds: time to load one plugin, after which that plugin is quarantined.
    memory_bytes: address space of a child. cpu_seconds: CPU time of one request, by default the deadline.
    modules: plugins that are not installed, or instead of those that are, module by plugin name, with the
    folders in paths where to find them. The children start with the first request.
    """

    def __init__(
        self,
        allowed: Collection[str] = (),
        required: Collection[str] = (),
        environment: Mapping[str, str] | None = None,
        *,
        processes: int = 1,
        deadline: float = 10.0,
        load_seconds: float = 60.0,
        memory_bytes: int = 1 << 30,
        cpu_seconds: int | None = None,
        modules: Mapping[str, str] | None = None,
        paths: Sequence[str] = (),
        breakers: Breakers | None = None,
    ) -> None:
        self._deadline = deadline
        self._load_seconds = load_seconds
        self._set_aside: dict[str, str] = {}
        self._start: Mapping[str, Any] = {
            "allowed": list(allowed),
            "required": list(required),
            "environment": {k: v for k, v in (environment or {}).items() if k.startswith("RAPPORT_PLUGIN_")},
            "modules": dict(modules or {}),
            "paths": list(paths),
            "memory_bytes": memory_bytes,
            "cpu_seconds": max(1, round(deadline)) if cpu_seconds is None else cpu_seconds,
        }
        self._breakers = breakers or Breakers()
        self._lock = threading.Lock()
        self._closed = False
        self._catalog: Catalog | None = None
        self._compiled: OrderedDict[tuple[Any, ...], CompiledSelect] = OrderedDict()
        self._slots: queue.LifoQueue[HostProcess | None] = queue.LifoQueue()
        self._processes = processes
        for _ in range(processes):
            self._slots.put(None)

    def catalog(self) -> Catalog:
        """Return what is installed and in which state; starts a child if none ran yet.

        Raises RequiredPluginError when a required plugin is missing or quarantined.
        """
        if self._catalog is None:
            self._release(self._acquire())
        assert self._catalog is not None
        return self._catalog

    def compile_sql(self, name: str, params: Sequence[Any] = ()) -> CompiledSelect:
        """Compile the SQL form of a rule for literal arguments, or a trait; answers are kept for the next
        time.

        Raises InvalidArgument when params do not fit the rule's signature, PluginError when the plugin fails.
        """
        record = self._record(name)
        params = self._bind(record, params)
        key = (name, *((type(value), value) for value in params))
        with self._lock:
            if found := self._compiled.get(key):
                self._compiled.move_to_end(key)
                return found
        if not record.has_sql:
            instead = "matches" if isinstance(record, RuleRecord) else "compute"
            raise InvalidArgument(f"{name} has no SQL form: ask {instead} instead", reason="NO_SQL_FORM")
        reply = self._ask(name, {"op": "compile", "name": name, "params": list(params)})
        compiled = self._checked(record, reply)
        with self._lock:
            self._compiled[key] = compiled
            if len(self._compiled) > _COMPILED_KEPT:
                self._compiled.popitem(last=False)
        return compiled

    def matches(
        self, name: str, params: Sequence[Any], profiles: Sequence[Profile], now: datetime
    ) -> list[Answer]:
        """Ask the Python form of a rule about a batch of profiles; one answer each, in order.

        Keep batches small (500): the deadline is for one. Raises as compile_sql does.
        """
        record = self._record(name)
        if not isinstance(record, RuleRecord) or not record.has_python:
            raise InvalidArgument(f"{name} has no Python form", reason="NO_PYTHON_FORM")
        params = self._bind(record, params)
        encoded = [encode_profile(profile) for profile in profiles]
        request = {"op": "matches", "name": name, "params": list(params), "profiles": encoded, "now": now}
        reply = self._ask(name, request)
        # The child has checked this already, but the child is where plugin code runs.
        if not isinstance(reply, list) or len(reply) != len(profiles):
            raise self._failed(name, "the plugin host answered for another number of profiles")
        answers = []
        for profile, (value, next_change) in zip(profiles, reply, strict=True):
            if problem := answer_problem(value, next_change, record.returns, now):
                raise self._failed(name, f"contact {profile.contact_id}: {problem}")
            # As in the SQL form: an event dated in the future may change values when it becomes visible.
            moments = [moment for moment in (next_change, profile.next_event_time) if moment is not None]
            answers.append(Answer(profile.contact_id, value, min(moments, default=None)))
        return answers

    def compute(self, name: str, profiles: Sequence[Profile], now: datetime) -> list[TraitAnswer]:
        """Ask the Python form of a trait about a batch of profiles; one answer each, in order.

        Batches, deadline and errors are as for matches.
        """
        record = self._record(name)
        if not isinstance(record, TraitRecord) or not record.has_python:
            raise InvalidArgument(f"{name} has no Python form", reason="NO_PYTHON_FORM")
        encoded = [encode_profile(profile) for profile in profiles]
        reply = self._ask(name, {"op": "compute", "name": name, "profiles": encoded, "now": now})
        # Checked once more, as the answers of matches are.
        if not isinstance(reply, list) or len(reply) != len(profiles):
            raise self._failed(name, "the plugin host answered for another number of profiles")
        answers = []
        for profile, values in zip(profiles, reply, strict=True):
            if not isinstance(values, list) or len(values) != len(record.columns):
                raise self._failed(name, "the plugin host answered for other columns")
            if problem := trait_problem(values, record.columns):
                raise self._failed(name, f"contact {profile.contact_id}: {problem}")
            named = zip(record.columns.items(), values, strict=True)
            # A whole number is a double all the same, as the SQL form casts it.
            typed = {
                column: float(value) if type_ == "double" and value is not None else value
                for (column, type_), value in named
            }
            answers.append(TraitAnswer(profile.contact_id, typed))
        return answers

    def channel_problem(self, name: str) -> str:
        """Open a channel as a sender does, close it, and return why it cannot be opened; "" when it can.

        Nothing is sent, and nothing counted against the channel.
        """
        catalog = self.catalog()
        if name not in catalog.channels:
            return catalog.why_gone(name)
        child = self._acquire()
        kept: HostProcess | None = None
        try:
            reply = child.ask({"op": "open", "name": name}, self._deadline)
            kept = child
        except HostDied as death:
            log.error("plugin host %s: %s %s", child.pid, name, death.problem)
            return f"open {death.problem}"
        finally:
            self._release(kept)
        if not isinstance(reply, dict) or "ok" not in reply:
            return str(reply.get("error")) if isinstance(reply, dict) else "the plugin host answered junk"
        return ""

    def failed(self, name: str, problem: str) -> None:
        """Count a failure of an object that showed outside of the host, such as in its SQL."""
        self._breakers.failed(name, problem)

    def child_pids(self) -> list[int]:
        """Return the process ids of idle children, for tests and diagnosis."""
        with self._slots.mutex:
            return [child.pid for child in self._slots.queue if child is not None]

    def close(self) -> None:
        """Stop the children, waiting for requests in flight; the host cannot be used afterwards."""
        self._closed = True
        for _ in range(self._processes):
            child = self._slots.get()
            if child is not None:
                child.kill()
        self._processes = 0

    def __enter__(self) -> PluginHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self, name: str) -> RuleRecord | TraitRecord:
        catalog = self.catalog()
        record = catalog.rules.get(name) or catalog.traits.get(name)
        if record is None:
            raise PluginUnavailable(plugin_of(name), name, catalog.why_gone(name))
        return record

    def _bind(self, record: RuleRecord | TraitRecord, values: Sequence[Any]) -> Sequence[Any]:
        parameters = record.parameters if isinstance(record, RuleRecord) else ()
        declared = [Parameter(p.name, p.type, p.doc, p.choices) for p in parameters]
        try:
            return tuple(bind_parameters(record.name, declared, values).values())
        except ValueError as error:
            raise InvalidArgument(str(error), reason="INVALID_RULE_ARGUMENTS") from error

    def _checked(self, record: RuleRecord | TraitRecord, reply: Any) -> CompiledSelect:
        try:
            columns = tuple((str(name), type_) for name, type_ in reply["columns"])
            compiled = CompiledSelect(**{**reply, "columns": columns})
        except (TypeError, KeyError, ValueError) as error:
            raise self._failed(record.name, f"the plugin host answered junk: {error}") from error
        for sql in (compiled.all_sql, compiled.batch_sql):
            if sql and (problem := sql_problem(sql)):
                raise self._failed(record.name, problem)
        return compiled

    def _failed(self, name: str, problem: str) -> PluginError:
        self._breakers.failed(name, problem)
        return PluginError(plugin_of(name), name, problem)

    def _ask(self, name: str, request: Mapping[str, Any]) -> Any:
        plugin = plugin_of(name)
        if refusal := self._breakers.refusal(name):
            raise PluginUnavailable(plugin, name, refusal)
        try:
            child = self._acquire()
        except BaseException:
            self._breakers.abandoned(name)
            raise
        kept: HostProcess | None = None
        try:
            reply = child.ask(request, self._deadline)
            kept = child
        except HostDied as death:
            log.error("plugin host %s: %s %s", child.pid, name, death.problem)
            self._breakers.failed(name, death.problem)
            kind = PluginTimeout if death.timeout else PluginError
            raise kind(plugin, name, death.problem) from None
        except BaseException:
            self._breakers.abandoned(name)
            raise
        finally:
            self._release(kept)
        if not isinstance(reply, dict) or "ok" not in reply:
            problem = reply.get("error") if isinstance(reply, dict) else "the plugin host answered junk"
            raise self._failed(name, str(problem))
        self._breakers.succeeded(name)
        return reply["ok"]

    def _acquire(self) -> HostProcess:
        """Take a running child, starting one in a free slot if need be."""
        if self._closed:
            raise PluginUnavailable("", "", "the plugin host is closed")
        try:
            child = self._slots.get(timeout=self._deadline + self._load_seconds)
        except queue.Empty:
            raise PluginBusy("", "", "every plugin host process is busy: raise their number") from None
        if child is not None and child.is_alive():
            return child
        try:
            if child is not None:
                child.kill()
            return self._spawn()
        except BaseException:
            self._slots.put(None)
            raise

    def _release(self, child: HostProcess | None) -> None:
        self._slots.put(child)

    def _spawn(self) -> HostProcess:
        while True:
            with self._lock:
                set_aside = dict(self._set_aside)
            started = time.monotonic()
            try:
                child = HostProcess({**self._start, "set_aside": set_aside}, self._load_seconds)
            except HostDied as death:
                if not death.loading or death.loading in set_aside:
                    raise PluginUnavailable(
                        "", "", f"the plugin host does not start: it {death.problem}"
                    ) from None
                # One plugin hangs or kills the process on import: go on without it.
                log.error("plugin %s is quarantined: %s", death.loading, death.problem)
                with self._lock:
                    self._set_aside[death.loading] = death.problem
                continue
            catalog = catalog_from_json(child.catalog)
            note_plugins(catalog)
            log.info("plugin host %s started in %.1f s", child.pid, time.monotonic() - started)
            if bad := [record for record in catalog.plugins if record.required and record.state != "ok"]:
                child.kill()
                listed = "; ".join(f"{record.name}: {record.reason}" for record in bad)
                raise RequiredPluginError(f"required plugins are not usable: {listed}")
            self._catalog = catalog
            return child
