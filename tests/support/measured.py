"""Which metrics the code defines, read from its source, and which an expression of PromQL asks for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import promql_parser as promql

ROOT = Path(__file__).resolve().parents[2]
_CLASSES = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "GaugeMetricFamily": "gauge",
    "gauge": "gauge",
}


@dataclass(frozen=True)
class Metric:
    """A metric as Prometheus names it, the labels that tell its series apart, and where it is defined."""

    name: str
    kind: str
    labels: tuple[str, ...]
    where: str

    def series(self) -> set[str]:
        """Return the names of its series."""
        if self.kind == "histogram":
            return {f"{self.name}_{part}" for part in ("bucket", "sum", "count")}
        return {self.name}


def metrics() -> dict[str, Metric]:
    """Return the metrics that the services define, by name."""
    found: dict[str, Metric] = {}
    for path in sorted((ROOT / "services").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "rapport_" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and (made := _metric(node, path.relative_to(ROOT).as_posix())):
                assert made.name not in found, f"{made.name} is defined twice"
                found[made.name] = made
    return found


def _metric(call: ast.Call, where: str) -> Metric | None:
    kind = _CLASSES.get(ast.unparse(call.func))
    if kind is None or not call.args or not isinstance(call.args[0], ast.Constant):
        return None
    name = call.args[0].value
    if not isinstance(name, str) or not name.startswith("rapport_"):
        return None
    given = [item.value for item in call.keywords if item.arg in ("labelnames", "labels")] + call.args[2:3]
    labels = tuple(ast.literal_eval(given[0])) if given else ()
    return Metric(f"{name}_total" if kind == "counter" else name, kind, labels, where)


def asked_for(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each series that an expression asks for, with the labels by which it chooses; raises on a mistake in it."""
    # Grafana puts the interval in.
    for selector in _selectors(promql.parse(expression.replace("$__rate_interval", "5m"))):
        yield selector.name, {matcher.name for matcher in selector.matchers.matchers}


def _selectors(node: object) -> Iterator[promql.VectorSelector]:
    if isinstance(node, promql.VectorSelector):
        yield node
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector
    for part in ("expr", "lhs", "rhs", "param"):
        if (inner := getattr(node, part, None)) is not None:
            yield from _selectors(inner)
    for argument in getattr(node, "args", None) or ():
        yield from _selectors(argument)
