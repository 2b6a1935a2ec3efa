"""The seam between handlers and the ways to deliver events."""

from __future__ import annotations

import ast
from pathlib import Path

from services.kit.bus.transport import make_transport
from services.kit.config import Settings

BUS = Path(__file__).resolve().parents[3] / "services" / "kit" / "bus"


def named_in(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_one_place_names_an_implementation() -> None:
    for implementation in ("bus.laptop", "bus.amqp.transport", "bus.amqp.publisher"):
        users = [
            path.relative_to(BUS).as_posix()
            for path in sorted(BUS.parent.parent.rglob("*.py"))
            # To import it, a file must hold its last name; most need not be parsed.
            if implementation.rpartition(".")[2] in path.read_text(encoding="utf-8")
            and f"services.kit.{implementation}" in named_in(path)
        ]
        assert users == ["transport.py"], implementation
    assert "services.kit.bus.transport.make_transport" in named_in(BUS / "process.py")
    assert "services.kit.bus.transport.make_publisher" in named_in(BUS / "process.py")


def test_the_setting_picks_the_transport() -> None:
    for url, kind in (("", "LaptopTransport"), ("amqp://nobody@127.0.0.1:1", "AmqpTransport")):
        transport = make_transport(Settings(amqp_url=url))
        assert type(transport).__name__ == kind
        transport.close()


def test_what_it_makes_opens_streams_and_closes() -> None:
    transport = make_transport(Settings(token="t"))
    stream = transport.open("sales", "toy.take", ["order.placed"], 10)
    stream.close()
    assert stream.next() is None
    transport.close()
