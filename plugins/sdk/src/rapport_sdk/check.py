"""Tell what is wrong with a plugin, before anything relies on it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from rapport_sdk import hookspecs
from rapport_sdk.channels import Capabilities, Channel
from rapport_sdk.names import FIELD_NAME, object_name_problem, plugin_name_problem
from rapport_sdk.rules import SegmentRule, parameter_problem
from rapport_sdk.settings import Setting
from rapport_sdk.traits import Trait
from rapport_sdk.values import VALUE_TYPES

HOOKS: dict[str, type] = {
    "rapport_settings": Setting,
    "rapport_segment_rules": SegmentRule,
    "rapport_traits": Trait,
    "rapport_channels": Channel,
}
"""The hooks that return registration objects, and of which type."""

DIRECT_HOOKS = ("rapport_send_veto",)


def hook_problems(plugin: Any) -> list[str]:
    """Return what is wrong with the hook functions of a module or object: misspelt, unmarked, wrong
    arguments.

    pluggy by itself ignores a function without the marker, so that a forgotten `@hookimpl` would be silent.
    """
    problems = []
    found = False
    for name in dir(plugin):
        function: Any = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue  # types, modules, and objects like SQLAlchemy's `func` that have any attribute
        marked = hasattr(function, f"{hookspecs.PROJECT}_impl")
        if not (marked or name.startswith(hookspecs.HOOK_PREFIX)):
            continue
        if not name.startswith(hookspecs.HOOK_PREFIX) or not hasattr(hookspecs, name):
            known = ", ".join((*HOOKS, *DIRECT_HOOKS))
            problems.append(f"{name} is not a hook; the hooks are {known}")
        elif not marked:
            problems.append(f"{name} is not marked with @hookimpl, so it would never be called")
        else:
            found = True
            allowed = list(inspect.signature(getattr(hookspecs, name)).parameters)
            taken = list(inspect.signature(function).parameters)
            if extra := [argument for argument in taken if argument not in allowed]:
                problems.append(f"{name} takes {', '.join(extra)}; the hook gives ({', '.join(allowed)})")
    if not found and not problems:
        problems.append("implements no hook")
    return problems


def object_problems(plugin: str, kind: type, objects: Iterable[Any]) -> list[str]:
    """Return what is wrong with the objects that one hook of a plugin returned."""
    problems: list[str] = []
    seen: set[str] = set()
    for position, item in enumerate(objects):
        if not isinstance(item, kind):
            problems.append(f"item {position} is a {type(item).__name__}, not a {kind.__name__}")
            continue
        assert isinstance(item, (Setting, SegmentRule, Trait, Channel))
        if item.name in seen:
            problems.append(f"{item.name} is registered twice")
        seen.add(item.name)
        problems += _problems_of(plugin, item)
    return problems


def _problems_of(plugin: str, item: Setting | SegmentRule | Trait | Channel) -> list[str]:
    if isinstance(item, Setting):
        problem = item.problem()
        return [problem] if problem else []
    found: list[str | None] = [object_name_problem(item.name, plugin)]
    if isinstance(item.version, bool) or not isinstance(item.version, int) or item.version < 1:
        found.append(f"version {item.version!r} must be a whole number from 1 up")
    if not item.doc.strip():
        found.append("say in doc what it is")
    match item:
        case SegmentRule():
            found += _rule_problems(item)
        case Trait():
            found += _trait_problems(plugin, item)
        case Channel():
            found += _channel_problems(item)
    return [f"{item.name}: {problem}" for problem in found if problem]


def _rule_problems(rule: SegmentRule) -> Sequence[str | None]:
    found: list[str | None] = [parameter_problem(parameter) for parameter in rule.parameters]
    names = [parameter.name for parameter in rule.parameters]
    if len(set(names)) < len(names):
        found.append("two parameters have the same name")
    if rule.returns not in VALUE_TYPES:
        found.append(f"returns {rule.returns!r} is not one of {', '.join(VALUE_TYPES)}")
    if rule.value is None and rule.matches is None:
        found.append("give value (SQL), matches (Python) or both")
    if rule.value is not None:
        found.append(_arity_problem("value", rule.value, "ctx, params"))
    if rule.matches is not None:
        found.append(_arity_problem("matches", rule.matches, "ctx, params, profiles"))
    if rule.when_gone not in ("keep", "unknown"):
        found.append(f"when_gone {rule.when_gone!r} is not keep or unknown")
    return [*found, _events_problem(rule.events)]


def _trait_problems(plugin: str, trait: Trait) -> Sequence[str | None]:
    found: list[str | None] = [_events_problem(trait.events)]
    if trait.value is None and trait.compute is None:
        found.append("give value (SQL), compute (Python) or both")
    if trait.value is not None:
        found.append(_arity_problem("value", trait.value, "ctx"))
    if trait.compute is not None:
        found.append(_arity_problem("compute", trait.compute, "ctx, profiles"))
    if not trait.columns:
        found.append("columns is empty")
    for column, type_ in trait.columns.items():
        if not FIELD_NAME.fullmatch(column) or not column.startswith(f"{plugin}_"):
            found.append(
                f"column {column!r}: begin with '{plugin}_'; lower case letters, digits and _, 63 at most"
            )
        if type_ not in VALUE_TYPES:
            found.append(f"column {column!r}: type {type_!r} is not one of {', '.join(VALUE_TYPES)}")
    if not isinstance(trait.refresh, timedelta) or trait.refresh < timedelta(minutes=1):
        found.append("refresh must be a timedelta of a minute at least")
    if trait.when_gone not in ("keep", "clear"):
        found.append(f"when_gone {trait.when_gone!r} is not keep or clear")
    return found


def _channel_problems(channel: Channel) -> Sequence[str | None]:
    found: list[str | None] = [_arity_problem("open", channel.open, "settings")]
    if not isinstance(channel.capabilities, Capabilities):
        return [*found, "capabilities must be a Capabilities"]
    if channel.capabilities.max_batch < 1:
        found.append("max_batch must be 1 at least")
    if not FIELD_NAME.fullmatch(channel.capabilities.address_kind):
        found.append(
            f"address_kind {channel.capabilities.address_kind!r}: use lower case letters, digits and _"
        )
    schemes = channel.capabilities.url_schemes
    if not isinstance(schemes, tuple) or not all(isinstance(name, str) for name in schemes):
        found.append(f"url_schemes {schemes!r} must be a tuple of schemes, such as ('https',)")
    if channel.when_gone not in ("hold", "fail"):
        found.append(f"when_gone {channel.when_gone!r} is not hold or fail")
    if channel.capabilities_of is not None:
        found.append(_arity_problem("capabilities_of", channel.capabilities_of, "settings"))
    return found


def _events_problem(events: object) -> str | None:
    if not isinstance(events, tuple) or not all(isinstance(name, str) and name for name in events):
        return f"events {events!r} must be a tuple of event types, such as ('order.placed',)"
    return None


def _arity_problem(field: str, function: object, arguments: str) -> str | None:
    if not callable(function):
        return f"{field} is not a function"
    if inspect.iscoroutinefunction(function):
        return f"{field} is async; the host calls plain functions"
    try:
        inspect.signature(function).bind(*arguments.split(", "))
    except TypeError:
        return f"{field} must take ({arguments})"
    except ValueError:  # a builtin without a signature: seen when called
        return None
    return None


def plugin_problems(name: str, plugin: Any) -> list[str]:
    """Return everything that is wrong with a plugin, by calling each of its registration hooks; empty when it
    is fit.

    What a hook raises is let through: it is the plugin's own error, and its traceback is the best message.
    """
    found = [problem for problem in [plugin_name_problem(name)] if problem]
    found += hook_problems(plugin)
    if found:
        return found
    for hook, kind in HOOKS.items():
        function = getattr(plugin, hook, None)
        if function is not None:
            found += [f"{hook}: {problem}" for problem in object_problems(name, kind, function())]
    return found
