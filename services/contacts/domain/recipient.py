"""What another service must know of a contact to write to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.contacts.domain.attributes import Value


class Recipient(NamedTuple):
    """Hold a contact as the recipient of messages on one channel and topic.

    address: empty when there is none. granted: the decision in force, None when there was none.
    """

    display_name: str
    given_name: str
    family_name: str
    language_code: str
    time_zone: str
    region_code: str
    locality: str
    attributes: Mapping[str, Value]
    tags: Sequence[str]
    address: str
    granted: bool | None
