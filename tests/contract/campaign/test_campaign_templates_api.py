"""Templates over a real port: made, changed, shown, and refused with the line at fault."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.contacts.v1 import contacts_pb2
from rapport_client import errors
from rapport_client.retry import NO_RETRY

from services.campaign.domain import template_names
from services.campaign.usecases import audience
from services.kit.wire import from_timestamp
from tests.support.campaign_desk import CONTENT, Desk
from tests.support.campaign_fakes import Directory
from tests.support.stack import NOW


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def create(api: Any, key: str = "hello", *contents: dict[str, str], **more: Any) -> Any:
    template = {"display_name": key.title(), "contents": list(contents) or [CONTENT]}
    return api.create_template(template_id=key, template=template, **more).template


def test_create_template(api: Any) -> None:
    german = {"language_code": "de", "subject": "Hallo", "text": "Hallo", "html": "<p>Hallo</p>"}
    made = create(api, "hello", german, CONTENT)
    assert (made.name, made.display_name) == ("templates/hello", "Hello")
    assert {item.language_code: (item.subject, item.text, item.html) for item in made.contents} == {
        "de": ("Hallo", "Hallo", "<p>Hallo</p>"),
        "": (CONTENT["subject"], CONTENT["text"], ""),
    }
    assert made.etag
    assert from_timestamp(made.create_time) == from_timestamp(made.update_time) == NOW


def test_create_template_ignores_what_is_output_only(api: Any) -> None:
    given = {"contents": [CONTENT], "etag": "mine", "create_time": NOW - timedelta(days=9)}
    made = api.create_template(template_id="hello", template=given).template
    assert made.etag != "mine"
    assert from_timestamp(made.create_time) == NOW


def test_create_template_refuses_an_id_that_is_taken_or_malformed(api: Any) -> None:
    create(api)
    with pytest.raises(errors.AlreadyExists) as caught:
        create(api, "hello", {**CONTENT, "text": "Other"})
    assert "templates/hello" in str(caught.value)
    assert api.get_template(name="templates/hello").template.contents[0].text == CONTENT["text"]
    for key in ("Hello", "1a", "a b", "a/b", "-", "ä", "a" * 64):
        with pytest.raises(errors.InvalidArgument) as bad:
            create(api, key)
        assert fields(bad) == {"template_id"}
    assert create(api, "a" * 63).name == "templates/" + "a" * 63
    assert create(api, "a1_-").name == "templates/a1_-"


@pytest.mark.parametrize(
    ("content", "field", "line"),
    [
        ({"text": "one\ntwo\n{{ contact."}, "text", 3),
        ({"subject": "{% if %}"}, "subject", 1),
        ({"html": "<p>\n\n{% endfor %}</p>"}, "html", 3),
        ({"text": "{{ a | nosuchfilter }}"}, "text", 1),
        ({"text": "\n{{ a is nosuchtest }}"}, "text", 2),
        ({"text": "ok\n{% include 'other' %}"}, "text", 2),
        ({"text": "{% extends 'other' %}"}, "text", 1),
        ({"text": "{% import 'other' as o %}"}, "text", 1),
        ({"text": "{% nosuchtag %}"}, "text", 1),
        ({"text": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}"}, "text", 1),
    ],
)
def test_create_template_refuses_what_does_not_compile_and_names_the_line(
    api: Any, content: dict[str, str], field: str, line: int
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "bad", CONTENT, {**CONTENT, "language_code": "de", **content})
    assert caught.value.reason == "INVALID_TEMPLATE"
    assert fields(caught) == {f"template.contents[1].{field}"}
    [violation] = caught.value.violations
    assert f"line {line}:" in violation.description
    with pytest.raises(errors.NotFound):
        api.get_template(name="templates/bad")


def test_create_template_names_every_bad_content(api: Any) -> None:
    bad = {"subject": "{{", "text": "{%"}
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "bad", {**CONTENT, **bad}, {"language_code": "de", **bad})
    assert {path.rpartition(".")[0] for path in fields(caught)} == {
        "template.contents[0]",
        "template.contents[1]",
    }


def test_create_template_refuses_names_that_nobody_knows(api: Any, directory: Directory) -> None:
    directory.attributes |= {"shoe_size", "since"}
    german = {"language_code": "de", "subject": "Hallo {{ zebra }}", "text": "x"}
    odd = {"subject": "{{ frist_name }}", "text": "\n{{ contact.attributes.shoesize }} {{ contact.since }}"}
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "odd", odd, german)
    assert caught.value.reason == "INVALID_TEMPLATE"
    assert [(item.field, item.description) for item in caught.value.violations] == [
        (
            f"template.contents[{index}].{part}",
            f"{part}, line {line}: nothing is named {name!r}, so it would be empty: {hint}",
        )
        for index, part, line, name, hint in (
            (0, "subject", 1, "frist_name", "did you mean contact.given_name?"),
            (0, "text", 2, "contact.attributes.shoesize", "did you mean contact.attributes.shoe_size?"),
            (0, "text", 2, "contact.since", "did you mean contact.attributes.since?"),
            (1, "subject", 1, "zebra", "there are contact, coupon, event, links, now"),
        )
    ]
    made = create(api, "even", {"subject": "x", "text": "{{ contact.attributes.shoe_size }}"})
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_template(template={"name": made.name, "contents": [odd]}, update_mask=["contents"])
    assert caught.value.reason == "INVALID_TEMPLATE"
    assert api.get_template(name=made.name).template == made


def test_create_template_asks_contacts_only_for_attributes(api: Any, directory: Directory) -> None:
    directory.down = True
    create(api, "plain", {"subject": "{{ contact.given_name }}", "text": "{{ contact.attributes | length }}"})
    with pytest.raises(errors.Unavailable) as caught:
        api.create_template(
            template_id="asks",
            template={"contents": [{"subject": "x", "text": "{{ contact.attributes.shoe }}"}]},
            _retry=NO_RETRY,
        )
    assert "the attributes that templates name cannot be looked up" in caught.value.message


def test_the_names_that_are_known_are_those_that_templates_see(desk: Desk) -> None:
    recipient = contacts_pb2.Recipient(contact=f"contacts/{uuid4()}")
    seen = audience.template_context(
        desk.served.runtime, recipient, topic="marketing", coupon="X", event={"time": NOW.isoformat()}
    )
    assert set(seen) == set(template_names.ROOTS)
    assert tuple(seen["contact"]) == template_names.CONTACT
    assert tuple(seen["links"]) == template_names.LINKS


@pytest.mark.parametrize(
    ("languages", "field"),
    [
        (["de", "en"], "template.contents"),
        (["", "de", "de"], "template.contents[2].language_code"),
        (["", "zh-Hans", "zh-hans"], "template.contents[2].language_code"),
        (["", "d" * 36], "template.contents[1].language_code"),
    ],
)
def test_create_template_needs_one_content_for_a_language_and_a_fallback(
    api: Any, languages: list[str], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "bad", *({**CONTENT, "language_code": language} for language in languages))
    assert fields(caught) == {field}


def test_create_template_has_bounds(api: Any) -> None:
    for content, field in (
        ({"subject": "s" * 1001}, "subject"),
        ({"text": "t" * 200_001}, "text"),
        ({"html": "h" * 500_001}, "html"),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            create(api, "big", {**CONTENT, **content})
        assert fields(caught) == {f"template.contents[0].{field}"}
    many = [{**CONTENT, "language_code": f"l{number}" if number else ""} for number in range(51)]
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "big", *many)
    assert fields(caught) == {"template.contents"}
    assert len(create(api, "big", *many[:50]).contents) == 50


def test_create_template_with_a_request_id_happens_once(api: Any) -> None:
    request_id = uuid4().hex
    first = create(api, "once", request_id=request_id)
    assert create(api, "once", request_id=request_id) == first
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "twice", request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    assert [item.name for item in api.list_templates().templates] == ["templates/once"]


def test_get_template(api: Any) -> None:
    made = create(api)
    assert api.get_template(name="templates/hello").template == made
    with pytest.raises(errors.NotFound) as caught:
        api.get_template(name="templates/other")
    assert caught.value.metadata["resource"] == "templates/other"


def test_list_templates(api: Any) -> None:
    assert not api.list_templates().templates
    for key in ("b", "a", "a-1", "a_1", "z"):
        create(api, key)
    first = api.list_templates(page_size=2)
    assert [item.name for item in first.templates] == ["templates/a", "templates/a-1"]
    second = api.list_templates(page_size=2, page_token=first.next_page_token)
    assert [item.name for item in second.templates] == ["templates/a_1", "templates/b"]
    third = api.list_templates(page_size=1, page_token=second.next_page_token)
    assert [item.name for item in third.templates] == ["templates/z"]
    assert not third.next_page_token
    assert first.templates[0] == api.get_template(name="templates/a").template
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_campaigns(page_token=first.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_list_templates_returns_fifty_by_default(api: Any) -> None:
    for number in range(51):
        create(api, f"t{number:02}")
    page = api.list_templates()
    assert len(page.templates) == 50
    assert [item.name for item in api.list_templates(page_token=page.next_page_token).templates] == [
        "templates/t50"
    ]


def test_update_template(desk: Desk, api: Any) -> None:
    made = create(api)
    desk.served.clock.instant = NOW + timedelta(hours=1)
    named = api.update_template(
        template={"name": made.name, "display_name": "New", "contents": [{**CONTENT, "text": "not named"}]},
        update_mask=["display_name"],
        etag=made.etag,
    ).template
    assert (named.display_name, named.contents) == ("New", made.contents)
    assert named.etag != made.etag
    assert from_timestamp(named.create_time) == NOW
    assert from_timestamp(named.update_time) == NOW + timedelta(hours=1)
    changed = api.update_template(
        template={"name": made.name, "contents": [{**CONTENT, "text": "Second"}]}, update_mask=["contents"]
    ).template
    assert (changed.display_name, changed.contents[0].text) == ("New", "Second")
    assert changed.etag not in (made.etag, named.etag)
    assert api.get_template(name=made.name).template == changed


def test_update_template_refuses_what_somebody_changed_meanwhile(api: Any) -> None:
    made = create(api)
    change = {"template": {"name": made.name, "display_name": "Mine"}, "update_mask": ["display_name"]}
    done = api.update_template(**change, etag=made.etag).template
    with pytest.raises(errors.Aborted) as caught:
        api.update_template(**change, etag=made.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert api.get_template(name=made.name).template == done


def test_update_template_with_a_request_id_happens_once(api: Any) -> None:
    made = create(api)
    change = {
        "template": {"name": made.name, "display_name": "Mine"},
        "update_mask": ["display_name"],
        "etag": made.etag,
        "request_id": "update-once",
    }
    done = api.update_template(**change).template
    # The same call again, whose answer was lost: neither a second change nor a stale etag.
    assert api.update_template(**change).template == done
    assert api.get_template(name=made.name).template == done
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_template(**{**change, "etag": done.etag})
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_update_template_refuses_bad_requests(api: Any) -> None:
    made = create(api)
    with pytest.raises(errors.NotFound):
        api.update_template(
            template={"name": "templates/none", "display_name": "x"}, update_mask=["display_name"]
        )
    for content in ({**CONTENT, "text": "\n{{ x"}, {**CONTENT, "language_code": "de"}):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.update_template(template={"name": made.name, "contents": [content]}, update_mask=["contents"])
        assert caught.value.reason == "INVALID_TEMPLATE"
    for path in ("etag", "create_time", "name", "nothing"):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.update_template(
                template={"name": made.name, "display_name": "x"}, update_mask=["display_name", path]
            )
        assert fields(caught) == {"update_mask"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_template(template={"name": "hello", "display_name": "x"}, update_mask=["display_name"])
    assert fields(caught) == {"template.name"}
    assert api.get_template(name=made.name).template == made


def test_update_template_holds_for_messages_that_are_rendered_later(desk: Desk, api: Any) -> None:
    desk.template(text="first", subject="First")
    desk.directory.add()
    name = desk.campaign()
    desk.launch(name)
    api.update_template(
        template={"name": "templates/hello", "contents": [{"subject": "Second", "text": "second"}]},
        update_mask=["contents"],
    )
    desk.send()
    [message] = api.list_messages(origin=name).messages
    assert message.subject == "Second"


def value(**kind: Any) -> contacts_pb2.AttributeValue:
    return contacts_pb2.AttributeValue(**kind)


def test_preview_template(api: Any, directory: Directory) -> None:
    person = directory.add(
        given_name="Mai & Co",
        display_name="Mai Nguyễn",
        region_code="VN",
        locality="Huế",
        attributes={"size": value(int_value=38)},
    )
    directory.attributes.add("size")
    create(
        api,
        "hello",
        {
            "subject": "{{ contact.given_name }} in {{ contact.locality }}",
            "text": "{{ contact.display_name }}, {{ contact.region_code }}, {{ contact.attributes.size }}",
            "html": "<b>{{ contact.given_name }}</b>",
        },
    )
    shown = api.preview_template(name="templates/hello", contact=person)
    assert shown.subject == "Mai & Co in Huế"
    assert shown.text == "Mai Nguyễn, VN, 38"
    assert shown.html == "<b>Mai &amp; Co</b>"
    assert shown.language_code == ""
    assert not api.list_messages().messages


def test_preview_template_shows_missing_values_as_nothing_or_their_fallback(
    api: Any, directory: Directory
) -> None:
    person = directory.add()
    directory.attributes.add("shoe")
    create(
        api,
        "hello",
        {
            "subject": "Dear {{ contact.attributes.shoe.thing }}.",
            "text": "{{ contact.given_name | default('friend', true) }} {{ contact.attributes.shoe }}"
            "{{ event.total.amount }}||{{ contact.attributes.shoe | default('none') }}",
            "html": "{% if event %}event{% else %}no event{% endif %}",
        },
    )
    shown = api.preview_template(name="templates/hello", contact=person)
    assert (shown.subject, shown.text, shown.html) == ("Dear .", "friend ||none", "no event")


def test_preview_template_shows_an_example_of_a_coupon_and_issues_none(desk: Desk, api: Any) -> None:
    desk.pool()
    create(api, "hello", {"subject": "x", "text": "[{{ coupon }}]"})
    code = api.preview_template(name="templates/hello", contact=desk.directory.add()).text.strip("[]")
    assert code
    assert api.get_coupon_pool(name="couponPools/gift").coupon_pool.issued_count == 0
    with pytest.raises(errors.NotFound):
        api.redeem_coupon(code=code, order=f"orders/{uuid4()}")


def test_preview_template_knows_the_time_and_how_to_leave(desk: Desk, api: Any) -> None:
    create(
        api,
        "hello",
        {"subject": "x", "text": "{{ now.strftime('%Y-%m-%d %H:%M') }} {{ links.unsubscribe }}"},
    )
    person = desk.directory.add(time_zone="Asia/Ho_Chi_Minh")
    shown = api.preview_template(name="templates/hello", contact=person).text
    assert shown.startswith("2026-03-01 19:00 mailto:")
    assert shown.endswith("@shop.test")


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("zh-Hans-CN", "zh-Hans"),
        ("zh-Hans", "zh-Hans"),
        ("zh-Hant-TW", "zh"),
        ("zh-TW", "zh"),
        ("ZH-hans-sg", "zh-Hans"),
        ("vi", ""),
        ("", ""),
    ],
)
def test_preview_template_falls_back_from_one_language_to_the_next(
    api: Any, directory: Directory, wanted: str, given: str
) -> None:
    languages = ("zh", "zh-Hans", "", "en-GB")
    create(api, "hello", *({"language_code": key, "subject": "x", "text": f"<{key}>"} for key in languages))
    shown = api.preview_template(name="templates/hello", contact=directory.add(language_code=wanted))
    assert (shown.language_code, shown.text) == (given, f"<{given}>")


def test_preview_template_of_nothing(api: Any, directory: Directory) -> None:
    person = directory.add()
    with pytest.raises(errors.NotFound) as caught:
        api.preview_template(name="templates/hello", contact=person)
    assert caught.value.metadata["resource"] == "templates/hello"
    create(api)
    nobody = f"contacts/{uuid4()}"
    with pytest.raises(errors.NotFound) as caught:
        api.preview_template(name="templates/hello", contact=nobody)
    assert caught.value.metadata["resource"] == nobody
    with pytest.raises(errors.InvalidArgument) as bad:
        api.preview_template(name="templates/hello", contact="orders/1")
    assert fields(bad) == {"contact"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\n{{ 1 // 0 }}", 2),
        ("{{ contact.given_name + 1 }}", 1),
        ("one\ntwo\n{{ contact.given_name.__class__.__mro__ }}", 3),
        ("\n\n{% for n in range(100000000) %}.{% endfor %}", 3),
    ],
)
def test_preview_template_that_cannot_be_rendered_names_the_line(
    api: Any, directory: Directory, text: str, line: int
) -> None:
    create(api, "hello", {"subject": "x", "text": text})
    with pytest.raises(errors.InvalidArgument) as caught:
        api.preview_template(name="templates/hello", contact=directory.add(given_name="Minh"))
    assert caught.value.reason == "RENDER_FAILED"
    assert f"text, line {line}:" in str(caught.value)


def test_preview_template_while_contacts_is_away(api: Any, directory: Directory) -> None:
    person = directory.add()
    create(api)
    directory.down = True
    with pytest.raises(errors.Unavailable):
        api.preview_template(name="templates/hello", contact=person, _retry=NO_RETRY)
