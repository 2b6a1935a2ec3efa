"""The fixtures; pytest loads this module by its entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

# Nothing of the server is imported until a fixture is used: this module loads in every run of pytest.
if TYPE_CHECKING:
    from rapport_testing.clock import FakeClock
    from rapport_testing.database import PluginDatabase
    from rapport_testing.runner import RuleRunner, TraitRunner
    from services.kit.plugins import PluginHost

_NEVER = 1_000_000_000


@pytest.fixture
def fake_clock() -> FakeClock:
    """Give a clock that stands at 2026-01-01T00:00:00Z until told otherwise."""
    from rapport_testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def plugin_environment() -> Mapping[str, str]:
    """Override to set RAPPORT_PLUGIN_* variables."""
    return {}


@pytest.fixture
def plugin_modules() -> Mapping[str, str]:
    """Override to test plugins that are not installed: importable module by plugin name."""
    return {}


class _Hosts:
    """Keep plugin hosts for the session: starting one takes most of a second."""

    def __init__(self) -> None:
        self._hosts: dict[object, PluginHost] = {}

    def get(self, environment: Mapping[str, str], modules: Mapping[str, str]) -> PluginHost:
        from services.kit.plugins import PluginHost
        from services.kit.plugins.breaker import Breakers

        key = (tuple(sorted(environment.items())), tuple(sorted(modules.items())))
        if key not in self._hosts:
            # One host serves many tests: a rule that fails in one of them must not be refused in the next.
            self._hosts[key] = PluginHost(
                environment=environment, modules=modules, deadline=30.0, breakers=Breakers(threshold=_NEVER)
            )
        return self._hosts[key]

    def close(self) -> None:
        for host in self._hosts.values():
            host.close()


@pytest.fixture(scope="session")
def _plugin_hosts() -> Iterator[_Hosts]:
    hosts = _Hosts()
    yield hosts
    hosts.close()


@pytest.fixture
def plugin_host(
    _plugin_hosts: _Hosts, plugin_environment: Mapping[str, str], plugin_modules: Mapping[str, str]
) -> PluginHost:
    """Give a plugin host with all installed plugins and those of `plugin_modules`."""
    return _plugin_hosts.get(plugin_environment, plugin_modules)


@pytest.fixture(scope="session")
def plugin_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginDatabase]:
    """Give a database with the published views, empty until filled; one for the session."""
    from rapport_testing.database import plugin_database

    with plugin_database(tmp_path_factory.mktemp("plugins")) as database:
        yield database


@pytest.fixture
def rule_runner(
    plugin_host: PluginHost, plugin_database: PluginDatabase, fake_clock: FakeClock
) -> RuleRunner:
    """Give the runner that proves that the forms of a rule agree."""
    from rapport_testing.runner import RuleRunner

    return RuleRunner(plugin_host, plugin_database, fake_clock)


@pytest.fixture
def trait_runner(
    plugin_host: PluginHost, plugin_database: PluginDatabase, fake_clock: FakeClock
) -> TraitRunner:
    """Give the runner of traits."""
    from rapport_testing.runner import TraitRunner

    return TraitRunner(plugin_host, plugin_database, fake_clock)
