"""Events become profiles and memberships, whatever their order and however often they come."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from google.type import latlng_pb2
from rapport.contacts.v1 import contacts_pb2, events_pb2

from services.kit.errors import InvalidArgument
from services.kit.wire import to_timestamp
from services.segmentation.usecases import reading
from tests.support.segmentation import (
    NOW,
    World,
    activity_defined,
    attribute_defined,
    by_contact,
    contact,
    contact_id,
    days,
    event,
    order,
    order_returned,
    page_visited_defined,
    payment,
    visit,
)

KEY, OTHER = contact_id(1), contact_id(2)


def test_a_snapshot_becomes_a_profile(seg: World) -> None:
    """Every field arrives; texts in NFC, times to the microsecond."""
    seg.deliver(
        attribute_defined("score", contacts_pb2.VALUE_TYPE_INT),
        attribute_defined("since", contacts_pb2.VALUE_TYPE_TIMESTAMP),
        attribute_defined("hobbies", contacts_pb2.VALUE_TYPE_STRINGS),
        contact(
            KEY,
            kind=contacts_pb2.Contact.KIND_ORGANIZATION,
            has_email=True,
            language_code="vi",
            time_zone="Asia/Ho_Chi_Minh",
            region_code="VN",
            administrative_area="Ha\u0300 No\u0302\u0323i",  # decomposed
            locality="Ba Đình",
            sublocality="Điện Biên",
            postal_code="100000",
            location=latlng_pb2.LatLng(latitude=21.03, longitude=105.85),
            birth_date=date(1990, 2, 28),
            gender="female",
            lifecycle_stage="customer",
            industry="retail",
            occupation="baker",
            attributes={"score": 7, "since": NOW - days(1), "hobbies": ["a", "b"]},
            tags=["vip", "new"],
            consents={"email_marketing": "granted", "sms_flash-sale": "denied"},
            create_time=to_timestamp(NOW - timedelta(microseconds=1)),
        ),
    )
    view = reading.get_profile(seg.service, KEY)
    assert view.attributes == {
        "kind": "organization",
        "has_email": True,
        "has_phone": False,
        "language_code": "vi",
        "time_zone": "Asia/Ho_Chi_Minh",
        "region_code": "VN",
        "admin_area": "Hà Nội",
        "locality": "Ba Đình",
        "ward": "Điện Biên",
        "postal_code": "100000",
        "location": {"latitude": 21.03, "longitude": 105.85},
        "birth_date": "1990-02-28",
        "age": 36,
        "gender": "female",
        "lifecycle_stage": "customer",
        "industry": "retail",
        "occupation": "baker",
        "create_time": "2026-03-01T11:59:59.999999Z",
        "order_count": 0,
        "total_spent": 0.0,
        "score": 7,
        "since": "2026-02-28T12:00:00.000000Z",
        "hobbies": ["a", "b"],
    }
    assert view.tags == ["vip", "new"]
    assert view.consents == {"email_marketing": "granted", "sms_flash-sale": "denied"}
    seg.define("all", 'contact.admin_area == "Hà Nội" && contact.score == 7 && "vip" in contact.tags '
               '&& contact.since < now && contact.consents.email_marketing == "granted"')  # fmt: skip
    assert seg.members("all") == {KEY}


def test_an_older_snapshot_changes_nothing(seg: World) -> None:
    """Neither in the same batch nor in a later one; a snapshot that says nothing empties what was there."""
    seg.deliver(contact(KEY, revision=3, region_code="VN"), contact(KEY, revision=2, region_code="US"))
    seg.deliver(contact(KEY, revision=1, region_code="FR"))
    assert seg.query("SELECT region_code FROM profile") == ["VN"]
    seg.deliver(contact(KEY, revision=4))
    assert seg.query("SELECT region_code FROM profile") == [None]
    assert seg.query("SELECT revision FROM profile") == [4]


def test_events_before_their_contact_count_once_it_is_told_of(seg: World) -> None:
    """Until then it has no profile and is a member of nothing, not even of a segment of those who never did a thing."""
    seg.deliver(page_visited_defined())
    seg.define("buyers", "events.order_placed.size() >= 2")
    seg.define("strangers", "events.page_visited.size() == 0")
    seg.deliver(order(KEY, NOW - days(2), "10.10"), order(KEY, NOW - days(1), "0.05"))
    assert seg.everybody() == {"buyers": set(), "strangers": set()}
    assert seg.query("SELECT count(*) FROM profile") == [0]
    seg.deliver(contact(KEY))
    assert seg.everybody() == {"buyers": {KEY}, "strangers": {KEY}}
    assert seg.query("SELECT order_count FROM profile") == [2]
    assert seg.query("SELECT total_spent FROM profile") == [Decimal("10.15")]
    assert seg.query("SELECT first_order_time FROM profile") == [NOW - days(2)]
    assert seg.query("SELECT last_order_time FROM profile") == [NOW - days(1)]


def test_an_event_that_comes_twice_counts_once(seg: World) -> None:
    """By another subscription too, whose record of processed events is another."""
    placed = order(KEY, NOW, "5")
    seg.deliver(contact(KEY), placed, placed)
    seg.deliver(placed)
    seg.deliver(placed, consumer="segmentation.other")
    assert seg.query("SELECT order_count FROM profile") == [1]
    assert seg.query("SELECT total_spent FROM profile") == [Decimal(5)]


def test_what_profiles_sum_up_of_orders(seg: World) -> None:
    """Orders of zero price count; returns and payments never do; amounts stay exact."""
    seg.deliver(contact(KEY), order(KEY, NOW - days(3), "0.1"), order(KEY, NOW - days(5), "0.2"))
    seg.deliver(order(KEY, NOW - days(4), "0"), order_returned(KEY, NOW, "99"), payment(KEY, NOW, "99"))
    assert seg.query("SELECT total_spent FROM profile") == [Decimal("0.3")]
    assert seg.query("SELECT order_count FROM profile") == [3]
    assert seg.query("SELECT first_order_time FROM profile") == [NOW - days(5)]
    assert seg.query("SELECT last_order_time FROM profile") == [NOW - days(3)]
    view = reading.get_profile(seg.service, KEY)
    assert view.event_counts == {"order_placed": 3, "order_returned": 1, "payment_received": 1}


def test_fields_of_sales_and_activities_can_be_asked_for(seg: World) -> None:
    """Promoted fields live in columns, the others in the payload, optional ones may be missing."""
    seg.deliver(
        activity_defined(
            "cart.added",
            {
                "category": (contacts_pb2.VALUE_TYPE_STRING, False),
                "amount": (contacts_pb2.VALUE_TYPE_DOUBLE, False),
                "quantity": (contacts_pb2.VALUE_TYPE_INT, True),
                "gift": (contacts_pb2.VALUE_TYPE_BOOL, False),
                "until": (contacts_pb2.VALUE_TYPE_TIMESTAMP, False),
            },
        ),
        contact(KEY),
        contact(OTHER),
    )
    fields = {"category": "shoes", "amount": 19.99, "gift": True, "until": NOW + days(1)}
    seg.deliver(visit(KEY, NOW, type_="cart.added", quantity=2, **fields))
    seg.deliver(visit(OTHER, NOW, type_="cart.added", **fields))
    seg.deliver(order(KEY, NOW, "12.5", category="books", coupon_code="C1"), order(OTHER, NOW, "12.5"))
    seg.define(
        "carts",
        'events.cart_added.exists(c, c.category == "shoes" && c.amount == 19.99 && c.gift && c.until > now)',
    )
    seg.define("pairs", "events.cart_added.exists(c, c.quantity == 2)")
    seg.define("coupons", 'events.order_placed.exists(o, o.coupon_code == "C1" && o.category == "books")')
    seg.define(
        "money",
        'events.order_placed.exists(o, o.amount == 12.5 && o.currency == "EUR" && o.source == "shop")',
    )
    assert seg.everybody() == {"carts": {KEY, OTHER}, "pairs": {KEY}, "coupons": {KEY}, "money": {KEY, OTHER}}


@pytest.mark.parametrize("historical", [True, False])
def test_entered_and_left_say_whether_their_cause_was_historical(seg: World, historical: bool) -> None:
    """So a journey that starts with a segment does not start with the import of the past."""
    seg.define("buyers", "events.order_placed.size() == 1")
    seg.deliver(contact(KEY), order(KEY, NOW, historical=historical))
    seg.deliver(order(KEY, NOW, historical=historical))
    assert [(item[0], item[3]) for item in seg.told()] == [
        ("segment.entered", historical),
        ("segment.left", historical),
    ]


def test_a_definition_starts_no_journey(seg: World) -> None:
    """Who is a member because of a new segment or a new rule did nothing just now; what a repair finds is news."""
    seg.deliver(contact(KEY), order(KEY, NOW))
    seg.define("buyers", "events.order_placed.size() >= 1")
    with seg.db.transaction() as connection:
        connection.execute(sa.text("DELETE FROM membership"))
    seg.rebuild("buyers")
    assert [(item[0], item[3]) for item in seg.told()] == [
        ("segment.entered", True),
        ("segment.entered", False),
    ]


def test_a_batch_of_old_and_new_records_tells_them_apart(seg: World) -> None:
    """What the old ones cause comes first and is historical; what the live ones cause is not."""
    seg.define("some", "events.order_placed.size() >= 1")
    seg.define("many", "events.order_placed.size() >= 2")
    seg.deliver(contact(KEY), contact(OTHER))
    seg.deliver(order(KEY, NOW), order(KEY, NOW, historical=True), order(OTHER, NOW))
    assert {item[1:] for item in seg.told()} == {
        ("some", KEY, True),
        ("many", KEY, False),
        ("some", OTHER, False),
    }


def test_a_definition_that_nobody_can_use_is_refused(seg: World) -> None:
    """It goes to the dead letters with its reason, and leaves nothing behind."""
    for bad in (
        attribute_defined("age", contacts_pb2.VALUE_TYPE_STRING),
        attribute_defined("consents", contacts_pb2.VALUE_TYPE_STRING),
        activity_defined("order.placed", {}),
        attribute_defined("x", 0),
    ):
        with pytest.raises(InvalidArgument, match=r"event .* of contacts"):
            seg.deliver(bad)
    with pytest.raises(InvalidArgument, match="not expected"):
        seg.deliver(event("contact.created", contacts_pb2.Contact(), KEY))
    assert seg.query("SELECT count(*) FROM processed_event") == [0]
    seg.define("fine", "contact.age > 3")


def test_an_order_without_a_contact_is_left_alone(seg: World) -> None:
    """Lines without a customer are reported by sales; there is nobody to put into a segment."""
    placed = order(KEY, NOW)
    placed.contact = ""
    seg.deliver(placed)
    assert seg.query("SELECT count(*) FROM event") == [0]


def test_in_segment_follows_in_the_same_batch(seg: World) -> None:
    """A segment is evaluated after those that its rule names, whatever their ids."""
    seg.define("z", "events.order_placed.size() >= 1")
    seg.define("m", '!in_segment("segments/z")')
    seg.define("a", 'in_segment("segments/m") && contact.region_code == "VN"')
    seg.deliver(contact(KEY, region_code="VN"))
    assert seg.everybody() == {"z": set(), "m": {KEY}, "a": {KEY}}
    seg.deliver(order(KEY, NOW))
    assert seg.everybody() == {"z": {KEY}, "m": set(), "a": set()}
    assert by_contact(seg.told(), KEY) == [
        ("segment.entered", "m"),
        ("segment.entered", "a"),
        ("segment.entered", "z"),
        ("segment.left", "m"),
        ("segment.left", "a"),
    ]


def test_a_large_batch_is_a_handful_of_statements(seg: World) -> None:
    """500 events of 500 contacts cost no more statements than one event."""
    import sqlalchemy as sa

    seg.define("buyers", "events.order_placed.size() >= 1")
    counted: list[str] = []

    def count(conn: object, cursor: object, statement: str, *_: object) -> None:
        counted.append(statement)

    seg.deliver(contact(contact_id(1000)), order(contact_id(1000), NOW))
    sa.event.listen(seg.db.engine, "before_cursor_execute", count)
    seg.deliver(contact(contact_id(0)), order(contact_id(0), NOW))
    one = len(counted)
    counted.clear()
    keys = [contact_id(number) for number in range(1, 500)]
    seg.deliver(*(contact(key) for key in keys), *(order(key, NOW) for key in keys))
    # Two of them bound the time of the rules, one forgets what plugins were asked ahead of a rebuild.
    assert len(counted) == one <= 12
    assert len(seg.members("buyers")) == 501


def test_the_payload_of_an_event_is_kept_as_it_came(seg: World) -> None:
    """Decimals digit by digit, texts in NFC."""
    values = events_pb2.ActivityRecorded(type="x.done")
    values.fields["note"].string_value = "e\u0301"
    values.fields["amount"].double_value = 0.1
    seg.deliver(event("activity.recorded", values, KEY))
    assert seg.query("SELECT payload->>'note' FROM event") == ["é"]
    assert seg.query("SELECT amount FROM event") == [Decimal("0.1")]
