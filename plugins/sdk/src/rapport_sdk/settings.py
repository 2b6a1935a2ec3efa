"""Typed settings of a plugin, read from the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from rapport_sdk.names import FIELD_NAME

SETTING_TYPES: Final = (str, bool, int, float, Decimal, tuple)
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


@dataclass(frozen=True)
class Setting:
    """Declare one setting of a plugin; its value is the environment variable
    `RAPPORT_PLUGIN_<PLUGIN>_<NAME>`.

    name: lower case, such as `gold_from`. type: str, bool, int, float, Decimal, or tuple for a
    comma-separated list of strings. default: the value when the variable is unset or empty; REQUIRED
    quarantines the plugin instead. secret: never shown or logged. choices: the only values allowed, when not
    empty. doc: one sentence with units.
    """

    name: str
    type: type
    default: Any = REQUIRED
    secret: bool = False
    choices: tuple[Any, ...] = ()
    doc: str = ""

    def variable(self, plugin: str) -> str:
        """Return the name of the environment variable for a plugin."""
        return f"RAPPORT_PLUGIN_{plugin.upper()}_{self.name.upper()}"

    def parse(self, text: str) -> Any:
        """Turn the variable's text into a value; raises ValueError that does not repeat a secret."""
        try:
            value = self._convert(text.strip())
        except (ValueError, InvalidOperation):
            shown = "the value" if self.secret else repr(text)
            raise ValueError(f"{shown} is not {_describe(self.type)}") from None
        if self.choices and value not in self.choices:
            shown = "the value" if self.secret else repr(value)
            raise ValueError(f"{shown} is not one of {', '.join(map(str, self.choices))}")
        return value

    def _convert(self, text: str) -> Any:
        if self.type is bool:
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError(text)
            return text.lower() in _TRUE
        if self.type is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        value = self.type(text)
        if isinstance(value, (float, Decimal)) and not Decimal(value).is_finite():
            raise ValueError(text)
        return value

    def problem(self) -> str | None:
        """Tell what is wrong with the declaration, or None."""
        if not FIELD_NAME.fullmatch(self.name):
            return f"setting {self.name!r}: use lower case letters, digits and _, a letter first"
        if self.type not in SETTING_TYPES:
            return (
                f"setting {self.name!r}: type must be one of {', '.join(t.__name__ for t in SETTING_TYPES)}"
            )
        if self.default is not REQUIRED and type(self.default) is not self.type:
            return f"setting {self.name!r}: the default {self.default!r} is not {_describe(self.type)}"
        if self.choices and self.default is not REQUIRED and self.default not in self.choices:
            return f"setting {self.name!r}: the default {self.default!r} is not one of its choices"
        if not self.doc.strip():
            return f"setting {self.name!r}: say in doc what it is for"
        return None


def _describe(type_: type) -> str:
    return {
        str: "a text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        Decimal: "a decimal number",
        tuple: "a comma-separated list",
    }.get(type_, type_.__name__)


class Settings(Mapping[str, Any]):
    """Hold a plugin's values by name; printing it hides secrets."""

    def __init__(self, values: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> None:
        self._values = dict(values)
        self._secrets = secrets

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            known = ", ".join(sorted(self._values)) or "none"
            raise KeyError(f"setting {name!r} is not declared by rapport_settings; declared: {known}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: "***" if name in self._secrets else value for name, value in self._values.items()}
        return f"Settings({shown})"


def read_settings(plugin: str, declared: tuple[Setting, ...], environment: Mapping[str, str]) -> Settings:
    """Read a plugin's settings; raises ValueError that names every bad or missing variable."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for setting in declared:
        variable = setting.variable(plugin)
        text = environment.get(variable, "")
        if text.strip():
            try:
                values[setting.name] = setting.parse(text)
            except ValueError as error:
                problems.append(f"{variable}: {error}")
        elif setting.default is REQUIRED:
            problems.append(f"{variable} must be set ({setting.doc})")
        else:
            values[setting.name] = setting.default
    if problems:
        raise ValueError("; ".join(problems))
    return Settings(values, frozenset(setting.name for setting in declared if setting.secret))
