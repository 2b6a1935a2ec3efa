"""The memory that pods may have: enough for a process and for all the children that it may start."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from services.campaign.renderer.child import DATA_BYTES
from services.kit.plugins import PluginHost
from tests.deploy.conftest import CI_VALUES, Release

PLUGIN_HOST = inspect.signature(PluginHost).parameters["memory_bytes"].default
CHILDREN = {
    "segmentation-api": PLUGIN_HOST,
    "segmentation-worker": PLUGIN_HOST,
    "campaign-api": PLUGIN_HOST + DATA_BYTES,
    "campaign-worker": PLUGIN_HOST + DATA_BYTES,
    # Of the channel that sends, one for quick batches and one for slow ones.
    "campaign-sender": 2 * DATA_BYTES,
}
"""What the children of a process take at most before their own limits end them."""
OWN = 160 << 20
"""What a process of its own takes when it has little to do; measured 105 to 131 MiB."""


def quantity(text: str) -> int:
    for unit, shift in (("Mi", 20), ("Gi", 30)):
        if text.endswith(unit):
            return int(text.removesuffix(unit)) << shift
    raise AssertionError(text)


@pytest.mark.parametrize("name", [path.stem for path in CI_VALUES])
def test_a_child_ends_by_its_own_limit_before_the_container_does(
    name: str, render: Callable[..., Release]
) -> None:
    pods = render(name).pods()
    for component, children in CHILDREN.items():
        (container,) = pods[f"rapport-{component}"]["spec"]["containers"]
        assert quantity(container["resources"]["limits"]["memory"]) >= OWN + children, component
    for pod in pods.values():
        resources = pod["spec"]["containers"][0]["resources"]
        assert quantity(resources["requests"]["memory"]) >= OWN
