"""Core attributes: the typed columns every profile has, and how a rule names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CoreAttribute:
    """Describe a core attribute; ``default`` is what a profile that says nothing holds (None: it is
    missing).
    """

    name: str
    type: Literal["int", "double", "string", "bool", "timestamp", "strings"]
    default: object = None


CORE_ATTRIBUTES: tuple[CoreAttribute, ...] = (
    CoreAttribute("has_email", "bool", False),
    CoreAttribute("has_phone", "bool", False),
    CoreAttribute("kind", "string", "person"),
    CoreAttribute("language_code", "string"),
    CoreAttribute("region_code", "string"),
    CoreAttribute("admin_area", "string"),
    CoreAttribute("locality", "string"),
    CoreAttribute("ward", "string"),
    CoreAttribute("postal_code", "string"),
    CoreAttribute("gender", "string"),
    CoreAttribute("lifecycle_stage", "string"),
    CoreAttribute("time_zone", "string"),
    CoreAttribute("industry", "string"),
    CoreAttribute("occupation", "string"),
    CoreAttribute("age", "int"),
    CoreAttribute("birth_date", "timestamp"),
    CoreAttribute("create_time", "timestamp"),
    CoreAttribute("first_order_time", "timestamp"),
    CoreAttribute("last_order_time", "timestamp"),
    CoreAttribute("order_count", "int", 0),
    CoreAttribute("total_spent", "double", 0.0),
    CoreAttribute("tags", "strings", ()),
)

CORE_BY_NAME = {a.name: a for a in CORE_ATTRIBUTES}

DEFAULT_CONSENTS: tuple[str, ...] = (
    "email_marketing",
    "sms_marketing",
    "phone_marketing",
    "push_marketing",
    "messaging_marketing",
    "profiling",
)
