"""`rapport contacts`: find a contact and see what is known of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import typer
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client import Rapport
from rapport_client.errors import NotFound as NotFoundThere
from rapport_client.errors import RapportError as ClientError
from rich.table import Table
from rich.text import Text

from services.cli.connection import connect_here
from services.cli.console import console, errors
from services.cli.words import harmless
from services.kit.errors import InvalidArgument, NotFound

app = typer.Typer(help="Find contacts.", no_args_is_help=True)
_TYPES = {name.removeprefix("TYPE_").lower(): name for name, number in pb.Identity.Type.items() if number}
_EXTERNAL = "external"
_PLAIN = ("given_name", "family_name", "language_code", "time_zone", "gender", "lifecycle_stage", "industry")
_MORE = ("occupation", "owner", "team")


@app.callback()
def _group() -> None:
    """Find contacts."""  # a callback keeps `find` a sub-command even while it is the only one


@app.command("find")
def find(
    who: Annotated[
        str,
        typer.Argument(
            help="an e-mail address, a phone number as +84…, contacts/… or its id, or an identity as TYPE:VALUE: "
            f"{', '.join(_TYPES)}; {_EXTERNAL}:SOURCE:VALUE for the id in another system"
        ),
    ] = "",
    email: Annotated[str, typer.Option("--email", help="the e-mail address")] = "",
    phone: Annotated[str, typer.Option("--phone", help="the phone number, in any spelling")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Find a contact by an identity or its id, and show what is known of it; exit status 1 when there is none."""
    given = [item for item in (who, email and f"email:{email}", phone and f"phone:{phone}") if item]
    if len(given) != 1:
        raise typer.BadParameter("name one: an address, number, identity or id, --email or --phone")
    with connect_here() as rapport:
        contact = _found(rapport, given[0])
        segments = _segments(rapport, contact.name)
    if as_json:
        typer.echo(json.dumps(_plain(contact, segments), ensure_ascii=False, indent=2))
    else:
        console.print(_table(contact, segments))


def _found(rapport: Rapport, who: str) -> Any:
    """Return the contact that is meant; raises InvalidArgument for a text of no known form, NotFound."""
    name = _name(who)
    if name:
        return rapport.contacts.get_contact(name=name).contact
    identity = _identity(who)
    try:
        return rapport.contacts.lookup_contact(identity=identity).contact
    except NotFoundThere as error:
        raise NotFound(f"no contact has the identity {_written(identity)}", reason=error.reason) from error


def _name(who: str) -> str:
    if who.startswith("contacts/"):
        return who
    try:
        return f"contacts/{UUID(who)}"
    except ValueError:
        return ""


def _identity(who: str) -> pb.Identity:
    kind, colon, value = who.partition(":")
    if colon and kind.lower() in _TYPES:
        source = ""
        if kind.lower() == _EXTERNAL:
            source, colon, value = value.partition(":")
        if not colon or not value:
            raise InvalidArgument(
                f"{who!r} has no value: write {_EXTERNAL}:SOURCE:VALUE", reason="BAD_IDENTITY"
            )
        return pb.Identity(type=_TYPES[kind.lower()], value=value, source=source)
    if "@" in who:
        return pb.Identity(type=pb.Identity.TYPE_EMAIL, value=who)
    if who.startswith("+"):
        return pb.Identity(type=pb.Identity.TYPE_PHONE, value=who)
    raise InvalidArgument(
        f"{who!r} is neither an e-mail address, a phone number with its country code nor an id: write TYPE:VALUE, with "
        f"one of {', '.join(_TYPES)}; {_EXTERNAL} takes the other system's name too, such as {_EXTERNAL}:shop:4711",
        reason="BAD_IDENTITY",
    )


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


def _plain(contact: Any, segments: list[Any] | None) -> dict[str, Any]:
    """Return a contact as JSON, with the names of the API; `segments` is null when nobody tells."""
    # As other commands do: protobuf's JSON takes its time to import.
    from google.protobuf.json_format import MessageToDict

    made: dict[str, Any] = MessageToDict(contact, preserving_proto_field_name=True)
    listed = [MessageToDict(item, preserving_proto_field_name=True) for item in segments or ()]
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
    yield "identities", [_written(item) for item in contact.identities]
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


def _written(identity: Any) -> str:
    """Write an identity as `find` takes it."""
    kind = pb.Identity.Type.Name(identity.type).removeprefix("TYPE_").lower()
    return ":".join(item for item in (kind, identity.source, identity.value) if item)


def _consent(consent: Any) -> str:
    state = pb.Consent.State.Name(consent.state).removeprefix("STATE_").lower()
    source = f" ({consent.source})" if consent.source else ""
    return f"{consent.channel} {consent.topic}: {state} since {_day(consent.decide_time)}{source}"


def _day(stamp: Any) -> str:
    return str(stamp.ToJsonString()[:10])
