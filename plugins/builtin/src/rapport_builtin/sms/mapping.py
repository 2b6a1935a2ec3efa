"""Templates of requests, and places in answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
NAMES = frozenset({"to", "to_digits", "sender", "text", "message_id", "encoding", "secret"})


class Template:
    """A JSON object whose texts hold placeholders such as `{to}`."""

    def __init__(self, source: str, what: str) -> None:
        """Read it; raises ValueError that names what it is and the placeholder that there is not, never its text."""
        try:
            self._tree = json.loads(source)
        except ValueError:
            raise ValueError(f"{what} is not JSON") from None
        if not isinstance(self._tree, dict):
            raise ValueError(f"{what} is not a JSON object")
        _walk(self._tree, lambda text: check_placeholders(text, what))

    def fill(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Return the object with the placeholders replaced; values are never looked into for placeholders."""
        filled: dict[str, Any] = _walk(self._tree, lambda text: fill(text, values))
        return filled


def check_placeholders(text: str, what: str) -> str:
    """Return the text; raises ValueError for a placeholder that there is not."""
    for name in _PLACEHOLDER.findall(text):
        if name not in NAMES:
            raise ValueError(
                f"{what}: there is no placeholder {{{name}}}; there are {', '.join(sorted(NAMES))}"
            )
    return text


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders replaced, all in one pass."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def fill_url(url: str, values: Mapping[str, str]) -> str:
    """Return a URL with its placeholders replaced, percent-encoded."""
    return fill(url, {name: quote(value, safe="") for name, value in values.items()})


def form(values: Mapping[str, Any]) -> bytes:
    """Return fields as a form (application/x-www-form-urlencoded)."""
    return urlencode({name: value for name, value in values.items() if value is not None}).encode("ascii")


def read_body(body: bytes, content_type: str) -> Any:
    """Return the JSON of a body, or the fields of a form; raises ValueError when it is neither."""
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return {
            name: values[0] for name, values in parse_qs(body.decode("utf-8"), max_num_fields=200).items()
        }
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def at(tree: Any, path: str) -> str:
    """Return the value at a path such as `messages.0.id` as text; empty when there is none, or no simple one."""
    for step in path.split("."):
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isascii() and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return ""
    if isinstance(tree, bool):
        return "true" if tree else "false"
    return str(tree) if isinstance(tree, str | int | float) else ""


def _walk(tree: Any, change: Callable[[str], str]) -> Any:
    if isinstance(tree, str):
        return change(tree)
    if isinstance(tree, dict):
        return {name: _walk(value, change) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_walk(value, change) for value in tree]
    return tree
