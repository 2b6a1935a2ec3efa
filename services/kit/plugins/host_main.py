"""The plugin host: a child process in which rules and traits run, and channels are tried.

Run as `python -m services.kit.plugins.host_main SOCKET_FD ALIVE_FD`; one request at a time comes over the
socket. The process ends when its parent does, whatever plugin code is doing.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rapport_sdk import EvalContext, SegmentRule, Trait
from rapport_sdk.rules import bind_parameters

from services.kit.expendable import allow_cpu, end_with_parent, limit_memory
from services.kit.plugins.answers import (
    answer_problem,
    split_answers,
    split_trait_answers,
    trait_problem,
)
from services.kit.plugins.catalog import to_json
from services.kit.plugins.compiled import CompileFault
from services.kit.plugins.discovery import installed_plugins, module_plugins
from services.kit.plugins.errors import PluginError, RequiredPluginError
from services.kit.plugins.loader import PLUGIN_FAULTS, describe_fault
from services.kit.plugins.manager import PluginManager
from services.kit.plugins.wire import ConnectionLost, WireError, decode_profile, receive_frame, send_frame

Reply = dict[str, Any]


class Host:
    """Answer the core's requests with the plugins of this process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        start = receive_frame(connection)
        self._cpu_seconds = start["cpu_seconds"]
        limit_memory(start["memory_bytes"])
        sys.path[:0] = start["paths"]
        modules = module_plugins(start["modules"])
        sources = [found for found in installed_plugins() if found.name not in start["modules"]] + modules
        self._manager = PluginManager(
            start["allowed"],
            start["required"],
            start["environment"],
            sources=sources,
            set_aside=start["set_aside"],
        )
        # The parent decides what a missing required plugin means; here it is only a line of the catalog.
        with contextlib.suppress(RequiredPluginError):
            self._manager.load(before=self._announce)
        send_frame(connection, {"ready": to_json(self._manager.catalog)})

    def _announce(self, plugin: str) -> None:
        # So the parent knows whom to blame when the import hangs or takes the process down.
        send_frame(self._connection, {"loading": plugin})
        allow_cpu(self._cpu_seconds)

    def serve(self) -> None:
        """Answer requests until the parent goes away."""
        operations: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "compile": self._compile,
            "matches": self._matches,
            "compute": self._compute,
            "open": self._open,
        }
        while True:
            request = receive_frame(self._connection)
            allow_cpu(self._cpu_seconds)
            send_frame(self._connection, self._answer(operations[request["op"]], request))

    def _answer(self, operation: Callable[[Mapping[str, Any]], Any], request: Mapping[str, Any]) -> Reply:
        try:
            return {"ok": operation(request)}
        except PluginError as error:
            return {"error": error.problem}
        except (CompileFault, WireError) as error:
            return {"error": str(error)}
        except PLUGIN_FAULTS as error:
            logging.getLogger("rapport.plugins").exception("%s raised", request["name"])
            return {"error": describe_fault(error)}

    def _compile(self, request: Mapping[str, Any]) -> Reply:
        # With SQLAlchemy, which would double the time to start; many children are never asked to compile.
        from services.kit.plugins.compile import compile_rule, compile_trait

        name = request["name"]
        if name in self._manager.catalog.traits:
            plugin, trait = self._manager.find(name, Trait)
            return asdict(compile_trait(plugin.source.name, trait, plugin.settings))
        plugin, rule = self._manager.find(name, SegmentRule)
        params = bind_parameters(name, rule.parameters, request["params"])
        return asdict(compile_rule(plugin.source.name, rule, params, plugin.settings))

    def _matches(self, request: Mapping[str, Any]) -> list[Any]:
        plugin, rule = self._manager.find(request["name"], SegmentRule)
        if rule.matches is None:
            raise CompileFault("the rule has no Python form")
        params = bind_parameters(rule.name, rule.parameters, request["params"])
        profiles = [decode_profile(item) for item in request["profiles"]]
        context = EvalContext(request["now"], plugin.settings)
        given = rule.matches(context, params, profiles)
        try:
            answers = split_answers(given, len(profiles))
        except ValueError as error:
            raise CompileFault(str(error)) from error
        for profile, (value, next_change) in zip(profiles, answers, strict=True):
            if problem := answer_problem(value, next_change, rule.returns, context.now):
                raise CompileFault(f"contact {profile.contact_id}: {problem}")
        return [[value, next_change] for value, next_change in answers]

    def _compute(self, request: Mapping[str, Any]) -> list[Any]:
        plugin, trait = self._manager.find(request["name"], Trait)
        if trait.compute is None:
            raise CompileFault("the trait has no Python form")
        profiles = [decode_profile(item) for item in request["profiles"]]
        given = trait.compute(EvalContext(request["now"], plugin.settings), profiles)
        try:
            answers = split_trait_answers(given, trait.columns, len(profiles))
        except ValueError as error:
            raise CompileFault(str(error)) from error
        for profile, values in zip(profiles, answers, strict=True):
            if problem := trait_problem(values, trait.columns):
                raise CompileFault(f"contact {profile.contact_id}: {problem}")
        return answers

    def _open(self, request: Mapping[str, Any]) -> None:
        self._manager.open_channel(request["name"]).close()


def main() -> None:
    """Serve the parent named by the two file descriptors in the arguments."""
    connection_fd, alive_fd = map(int, sys.argv[1:3])
    # The parent makes lines of its log of it.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    end_with_parent(alive_fd)
    with contextlib.suppress(ConnectionLost):
        Host(socket.socket(fileno=connection_fd)).serve()


if __name__ == "__main__":
    main()
