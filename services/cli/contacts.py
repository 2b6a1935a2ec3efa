"""`rapport contacts`: find a contact and see what is known of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client import Rapport
from rapport_client.errors import RapportError as ClientError
from rich.table import Table
from rich.text import Text

from services.cli import identities
from services.cli.connection import connect_here
from services.cli.console import console, errors
from services.cli.words import harmless
from services.kit.errors import NotFound

app = typer.Typer(help="Find contacts.", no_args_is_help=True)
MOST_NAMES = 10
_PLAIN = ("given_name", "family_name", "language_code", "time_zone", "gender", "lifecycle_stage", "industry")
_MORE = ("occupation", "owner", "team")


@app.callback()
def _group() -> None:
    """Find contacts."""  # a callback keeps `find` a sub-command even while it is the only one


@app.command("find")
def find(
    who: Annotated[
        list[str] | None,
        typer.Argument(help=f"{identities.FORMS}; any other text is a part of a name"),
    ] = None,
    email: Annotated[str, typer.Option("--email", help="the e-mail address")] = "",
    phone: Annotated[
        str,
        typer.Option(
            "--phone",
            help="the phone number, in any spelling with its country code; without it one of the region that the "
            "services have in RAPPORT_DEFAULT_REGION",
        ),
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="print one JSON object; of a name a list of those who are called so"),
    ] = False,
) -> None:
    """Find a contact by an identity, its id or name, and show what is known of it; exit status 1 when there is none.

    Of several who are called so the oldest are listed.
    """
    words = " ".join(who or ()).strip()
    given = [item for item in (words, email and f"email:{email}", phone and f"phone:{phone}") if item]
    if len(given) != 1:
        raise typer.BadParameter("name one: an address, number, identity, id or name, --email or --phone")
    with connect_here() as rapport:
        contact = _found(rapport, given[0])
        if contact is None:
            called, more = _called(rapport, given[0])
            if as_json or len(called) > 1:
                _show_called(called, more, as_json)
                return
            [contact] = called
        segments = _segments(rapport, contact.name)
    if as_json:
        typer.echo(json.dumps(_plain(contact, segments), ensure_ascii=False, indent=2))
    else:
        console.print(_table(contact, segments))


def _found(rapport: Rapport, who: str) -> Any:
    """Return the contact that is meant, None for a text that has the form of no identity; raises NotFound."""
    if name := identities.contact_name(who):
        return rapport.contacts.get_contact(name=name).contact
    identity = identities.identity_of(who)
    return None if identity is None else identities.lookup(rapport, identity)


def _called(rapport: Rapport, words: str) -> tuple[list[Any], bool]:
    """Return the contacts whose names hold a text, the oldest first, and whether there are more; raises NotFound."""
    answer = rapport.contacts.list_contacts(query=words, page_size=MOST_NAMES)
    if not answer.contacts:
        raise NotFound(
            f"no contact is called {words!r}; otherwise than by name, name one by {identities.FORMS}. A phone number "
            "without its country code is phone:VALUE, of the region RAPPORT_DEFAULT_REGION of the services"
        )
    return list(answer.contacts), bool(answer.next_page_token)


def _segments(rapport: Rapport, contact: str) -> list[Any] | None:
    """Return the segments of a contact, None when nobody tells, which is said."""
    try:
        return list(rapport.segmentation.list_contact_segments(contact=contact).segments)
    except ClientError as error:
        errors.print(
            f"its segments are not known: {error.message} ({error.reason})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return None


def _show_called(contacts: Sequence[Any], more: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_json(item) for item in contacts], ensure_ascii=False, indent=2))
    else:
        table = Table("contact", "name", "identities")
        for item in contacts:
            known = "\n".join(harmless(identities.written(one)) for one in item.identities)
            table.add_row(Text(item.name), Text(harmless(item.display_name)), Text(known))
        console.print(table)
    if more:
        said = f"these are the first {MOST_NAMES}, and there are more: write more of the name"
        errors.print(said, markup=False, highlight=False, soft_wrap=True)


def _json(message: Any) -> dict[str, Any]:
    # As other commands do: protobuf's JSON takes its time to import.
    from google.protobuf.json_format import MessageToDict

    made: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return made


def _plain(contact: Any, segments: list[Any] | None) -> dict[str, Any]:
    """Return a contact as JSON, with the names of the API; `segments` is null when nobody tells."""
    made = _json(contact)
    listed = [_json(item) for item in segments or ()]
    return {**made, "segments": None if segments is None else listed}


def _table(contact: Any, segments: list[Any] | None) -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, values in _rows(contact, segments):
        if values:
            table.add_row(Text(label), Text("\n".join(map(harmless, values))))
    return table


def _rows(contact: Any, segments: list[Any] | None) -> Iterator[tuple[str, list[str]]]:
    """Yield what is known: a label, and its values, a line each."""
    kind = "organization" if contact.kind == pb.Contact.KIND_ORGANIZATION else "person"
    yield "contact", [contact.name]
    yield kind, [contact.display_name]
    for field in _PLAIN:
        yield _label(field), _given(contact, field)
    if contact.HasField("birth_date"):
        born = contact.birth_date
        yield "birth date", [f"{born.year:04}-{born.month:02}-{born.day:02}"]
    yield "address", _address(contact.address)
    for field in _MORE:
        yield _label(field), _given(contact, field)
    yield "tags", [", ".join(contact.tags)] if contact.tags else []
    yield "attributes", [f"{name}: {_value(contact.attributes[name])}" for name in sorted(contact.attributes)]
    yield "identities", [identities.written(item) for item in contact.identities]
    yield "consents", [_consent(item) for item in contact.consents] or ["none recorded"]
    if segments is not None:
        yield "segments", [f"{item.segment} since {_day(item.enter_time)}" for item in segments] or ["none"]
    yield "made", [contact.create_time.ToJsonString()]
    yield "changed", [contact.update_time.ToJsonString()]


def _label(field: str) -> str:
    return field.removesuffix("_code").replace("_", " ")


def _given(contact: Any, field: str) -> list[str]:
    value = getattr(contact, field)
    return [value] if value else []


def _address(address: Any) -> list[str]:
    places = (address.sublocality, address.locality, address.administrative_area, address.postal_code)
    line = ", ".join(item for item in (*places, address.region_code) if item)
    return [*address.address_lines, *([line] if line else [])]


def _value(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "strings_value":
        return ", ".join(value.strings_value.values)
    if kind == "timestamp_value":
        return str(value.timestamp_value.ToJsonString())
    if kind == "bool_value":
        return "yes" if value.bool_value else "no"
    return str(getattr(value, kind)) if kind else ""


def _consent(consent: Any) -> str:
    state = pb.Consent.State.Name(consent.state).removeprefix("STATE_").lower()
    source = f" ({consent.source})" if consent.source else ""
    return f"{consent.channel} {consent.topic}: {state} since {_day(consent.decide_time)}{source}"


def _day(stamp: Any) -> str:
    return str(stamp.ToJsonString()[:10])
