"""The RPCs on cases, mail and customers over a real port, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.care.v1 import care_pb2 as pb
from rapport_client import errors
from rapport_client.retry import NO_RETRY

from services.care.usecases import upkeep
from services.kit.signing import CASE, MESSAGE, SURVEY
from tests.support.care import (
    DOMAIN,
    Campaign,
    Contacts,
    Sales,
    Segmentation,
    case_id,
    mail,
    neighbour,
    reply_address,
    unsubscribe_address,
)
from tests.support.stack import NOW, Served

NOWHERE = f"cases/{uuid4()}"
OPEN = f"care@{DOMAIN}"
NOTE = {"kind": "KIND_NOTE", "text": "n"}
CALLS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "create_case": ("care.cases.write", lambda: {"case": {"subject": "permission"}}),
    "get_case": ("care.read", lambda: {"name": NOWHERE}),
    "list_cases": ("care.read", dict),
    "list_case_messages": ("care.read", lambda: {"case": NOWHERE}),
    "add_case_message": ("care.cases.write", lambda: {"case": NOWHERE, "message": NOTE}),
    "assign_case": ("care.cases.write", lambda: {"name": NOWHERE}),
    "resolve_case": ("care.cases.write", lambda: {"name": NOWHERE}),
    "reopen_case": ("care.cases.write", lambda: {"name": NOWHERE}),
    "receive_mail": (
        "care.mail.receive",
        lambda: {"raw": mail(), "recipients": [OPEN], "sender": "a@b.test"},
    ),
    "create_agent": ("care.setup.write", lambda: {"agent_id": f"a{uuid4().hex}", "agent": {"capacity": 1}}),
    "set_agent_availability": ("care.cases.write", lambda: {"name": "agents/nobody", "available": True}),
    "list_agents": ("care.read", dict),
    "create_calendar": (
        "care.setup.write",
        lambda: {
            "calendar_id": f"c{uuid4().hex}",
            "calendar": {
                "time_zone": "UTC",
                "weekly_intervals": [
                    {"week_day": 1, "start_time": {"hours": 8}, "end_time": {"hours": 9}},
                ],
            },
        },
    ),
    "get_calendar": ("care.read", lambda: {"name": "calendars/none"}),
    "create_queue": (
        "care.setup.write",
        lambda: {"queue_id": f"q{uuid4().hex}", "queue": {"reply_channel": "c"}},
    ),
    "update_queue": (
        "care.setup.write",
        lambda: {"queue": {"name": "queues/none", "reply_channel": "c"}, "update_mask": ["reply_channel"]},
    ),
    "list_queues": ("care.read", dict),
    "get_care_summary": ("care.read", dict),
    "get_customer_glance": ("care.glance.read", lambda: {"contact": f"contacts/{uuid4()}"}),
}
EVERY = {permission for permission, _ in CALLS.values()}


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def close(served: Served, name: str) -> None:
    """Let a case be solved, and so long pass that it is closed."""
    served.client.resolve_case(name=name)
    before = served.clock.instant
    served.clock.instant += upkeep.CLOSE_AFTER
    try:
        assert upkeep.close_resolved(served.runtime) >= 1
    finally:
        served.clock.instant = before


@pytest.mark.parametrize("method", CALLS)
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = CALLS[method]
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**arguments())
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(*(EVERY - {permission})), method)(**arguments())
    try:
        getattr(served.client_with(permission), method)(**arguments())
    except errors.NotFound:
        assert "none" in str(arguments()) or "nobody" in str(arguments()) or NOWHERE in str(arguments())


def test_create_case(care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    wanted = {"subject": "Broken", "contact": contact, "channel": "phone", "priority": "PRIORITY_HIGH"}
    case = care.create_case(case=wanted, text="It broke.").case
    assert (case.subject, case.contact, case.channel) == ("Broken", contact, "phone")
    assert (case.queue, case.assignee) == ("queues/main", "agents/ana")
    assert case.assignment_reason.startswith("round robin")
    assert (case.priority, case.state) == (pb.PRIORITY_HIGH, pb.Case.STATE_NEW)
    assert case.first_response_due_time.ToDatetime(UTC) == NOW + timedelta(minutes=30)
    assert case.resolution_due_time.ToDatetime(UTC) == NOW + timedelta(hours=4)
    assert not case.HasField("first_response_time")
    assert not case.HasField("resolve_time")
    assert case.create_time.ToDatetime(UTC) == NOW
    assert case.sender_verified
    assert not case.breached
    [message] = care.list_case_messages(case=case.name).messages
    assert (message.kind, message.text) == (pb.CaseMessage.KIND_INBOUND, "It broke.")
    assert care.get_case(name=case.name).case == case
    bare = care.create_case(case={"subject": "s"}).case
    assert (bare.contact, bare.sender_verified, bare.channel) == ("", False, "api")
    assert bare.number > case.number


def test_create_case_output_only_fields_are_not_taken(care: Any) -> None:
    case = care.create_case(
        case={"subject": "s", "state": "STATE_CLOSED", "assignee": "agents/x", "breached": True, "number": 1}
    ).case
    assert (case.state, case.assignee, case.breached) == (pb.Case.STATE_NEW, "agents/ana", False)


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        ({}, errors.InvalidArgument, "case"),
        ({"case": {"channel": "api"}}, errors.InvalidArgument, "case.subject"),
        ({"case": {"subject": "x" * 1001}}, errors.InvalidArgument, "case.subject"),
        ({"case": {"subject": "a\0b"}}, errors.InvalidArgument, "case.subject"),
        ({"case": {"subject": "s", "contact": "contacts/x"}}, errors.InvalidArgument, "case.contact"),
        ({"case": {"subject": "s", "queue": "main"}}, errors.InvalidArgument, "case.queue"),
        ({"case": {"subject": "s", "queue": "queues/No"}}, errors.InvalidArgument, "case.queue"),
        ({"case": {"subject": "s", "priority": 9}}, errors.InvalidArgument, "case.priority"),
        ({"case": {"subject": "s", "queue": "queues/none"}}, errors.NotFound, None),
        ({"case": {"subject": "s"}, "text": "x" * 200_001}, errors.InvalidArgument, "text"),
    ],
)
def test_create_case_refuses(care: Any, request_: dict[str, Any], error: type[Exception], field: str) -> None:
    before = care.get_care_summary().opened_count
    with pytest.raises(error) as caught:
        care.create_case(**request_)
    if field:
        assert fields(caught) == {field}
    else:
        assert caught.value.metadata["resource"] == "queues/none"
    assert care.get_care_summary().opened_count == before


def test_create_case_again_with_its_request_id(care: Any) -> None:
    key = uuid4().hex
    first = care.create_case(case={"subject": "s"}, request_id=key)
    assert care.create_case(case={"subject": "s"}, request_id=key) == first
    with pytest.raises(errors.InvalidArgument) as caught:
        care.create_case(case={"subject": "other"}, request_id=key)
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_get_case(care: Any) -> None:
    with pytest.raises(errors.NotFound) as caught:
        care.get_case(name=NOWHERE)
    assert caught.value.metadata["resource"] == NOWHERE
    for name in ("", "cases/1", NOWHERE.upper()):
        with pytest.raises(errors.InvalidArgument) as refused:
            care.get_case(name=name)
        assert fields(refused) == {"name"}


def test_list_cases(care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    names = [
        care.create_case(case={"subject": f"{number}", "contact": contact}).case.name for number in range(5)
    ]
    care.resolve_case(name=names[1])
    found = [item.name for item in care.list_cases.iterate(contact=contact, page_size=2)]
    assert found == names[::-1]
    pages = [len(page.cases) for page in care.list_cases.pages(contact=contact, page_size=2)]
    assert pages == [2, 2, 1]
    resolved = care.list_cases(contact=contact, state="STATE_RESOLVED").cases
    assert [item.name for item in resolved] == [names[1]]
    assert len(care.list_cases(contact=contact, assignee="agents/ana").cases) == 5
    assert len(care.list_cases(contact=contact, assignee="agents/nobody").cases) == 0
    token = care.list_cases(contact=contact, page_size=2).next_page_token
    with pytest.raises(errors.InvalidArgument) as caught:
        care.list_cases(assignee="agents/ana", page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_size": 1001}, "page_size"),
        ({"page_token": "forged"}, "page_token"),
        ({"contact": "x"}, "contact"),
        ({"assignee": "ana"}, "assignee"),
    ],
)
def test_list_cases_refuses(care: Any, question: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        care.list_cases(**question)
    assert fields(caught) == {field}


def test_list_case_messages(care: Any) -> None:
    name = care.create_case(case={"subject": "s"}, text="0").case.name
    for number in range(1, 4):
        care.add_case_message(case=name, message={"kind": "KIND_NOTE", "text": f"{number}"})
    assert [item.text for item in care.list_case_messages.iterate(case=name, page_size=3)] == list("0123")
    token = care.list_case_messages(case=name, page_size=1).next_page_token
    other = care.create_case(case={"subject": "s"}).case.name
    with pytest.raises(errors.InvalidArgument) as caught:
        care.list_case_messages(case=other, page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
    assert len(care.list_case_messages(case=other).messages) == 0
    with pytest.raises(errors.NotFound):
        care.list_case_messages(case=NOWHERE)


def test_add_case_message(care: Any) -> None:
    case = care.create_case(case={"subject": "s", "contact": f"contacts/{uuid4()}"}).case
    said = {"kind": "KIND_REPLY", "text": "hello", "author": "agents/ana", "external_id": "<forged@x>"}
    added = care.add_case_message(case=case.name, message=said)
    assert added.message.name.startswith("caseMessages/")
    assert (added.message.text, added.message.author, added.message.external_id) == (
        "hello",
        "agents/ana",
        "",
    )
    assert added.message.create_time.ToDatetime(UTC) == NOW
    assert added.case.state == pb.Case.STATE_WAITING
    assert added.case.first_response_time.ToDatetime(UTC) == NOW
    assert added.case.etag != case.etag
    assert care.get_case(name=case.name).case == added.case
    back = care.add_case_message(case=case.name, message={"kind": "KIND_INBOUND", "text": "thanks"})
    assert back.case.state == pb.Case.STATE_OPEN


def test_add_case_message_again_with_its_request_id(care: Any) -> None:
    case = care.create_case(case={"subject": "s"}).case
    key = uuid4().hex
    first = care.add_case_message(case=case.name, message=NOTE, request_id=key)
    assert care.add_case_message(case=case.name, message=NOTE, request_id=key) == first
    assert len(care.list_case_messages(case=case.name).messages) == 1


def test_add_case_message_refuses(served: Served, care: Any) -> None:
    case = care.create_case(case={"subject": "s"}).case
    for message, field in (
        ({"text": "t"}, "message.kind"),
        ({"kind": "KIND_NOTE"}, "message.text"),
        ({"kind": 7, "text": "t"}, "message.kind"),
        ({"kind": "KIND_NOTE", "text": "x" * 200_001}, "message.text"),
    ):
        with pytest.raises(errors.InvalidArgument) as refused:
            care.add_case_message(case=case.name, message=message)
        assert fields(refused) == {field}
    with pytest.raises(errors.NotFound):
        care.add_case_message(case=NOWHERE, message=NOTE)
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.add_case_message(case=case.name, message={"kind": "KIND_REPLY", "text": "t"})
    assert caught.value.reason == "NO_ADDRESS"
    close(served, case.name)
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.add_case_message(case=case.name, message=NOTE)
    assert caught.value.reason == "CASE_CLOSED"
    assert len(care.list_case_messages(case=case.name).messages) == 0


def test_assign_case(served: Served, care: Any) -> None:
    key = f"b{uuid4().hex[:8]}"
    care.create_agent(agent_id=key, agent={"available": False})
    case = care.create_case(case={"subject": "s"}).case
    moved = care.assign_case(name=case.name, agent=f"agents/{key}").case
    assert (moved.assignee, moved.assignment_reason) == (f"agents/{key}", "chosen by hand")
    assert care.assign_case(name=case.name).case.assignee == "agents/ana"
    for name, agent in ((NOWHERE, "agents/ana"), (case.name, "agents/nobody")):
        with pytest.raises(errors.NotFound):
            care.assign_case(name=name, agent=agent)
    with pytest.raises(errors.InvalidArgument) as refused:
        care.assign_case(name=case.name, agent="ana")
    assert fields(refused) == {"agent"}
    close(served, case.name)
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.assign_case(name=case.name, agent="agents/ana")
    assert caught.value.reason == "CASE_CLOSED"


def test_resolve_case(served: Served, care: Any) -> None:
    case = care.create_case(case={"subject": "s"}).case
    solved = care.resolve_case(name=case.name).case
    assert solved.state == pb.Case.STATE_RESOLVED
    assert solved.resolve_time.ToDatetime(UTC) == NOW
    assert care.resolve_case(name=case.name).case == solved
    with pytest.raises(errors.NotFound):
        care.resolve_case(name=NOWHERE)
    close(served, case.name)
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.resolve_case(name=case.name)
    assert caught.value.reason == "CASE_STATE"


def test_reopen_case(served: Served, care: Any) -> None:
    case = care.create_case(case={"subject": "s"}).case
    solved = care.resolve_case(name=case.name).case
    again = care.reopen_case(name=case.name).case
    assert again.state == pb.Case.STATE_OPEN
    assert again.resolution_due_time == solved.resolution_due_time
    assert care.reopen_case(name=case.name).case == again
    with pytest.raises(errors.NotFound):
        care.reopen_case(name=NOWHERE)
    close(served, case.name)
    with pytest.raises(errors.FailedPrecondition) as caught:
        care.reopen_case(name=case.name)
    assert caught.value.reason == "CASE_STATE"


@pytest.mark.parametrize("method", ["assign_case", "resolve_case", "reopen_case", "add_case_message"])
def test_a_case_that_somebody_changed_meanwhile_is_left_alone(care: Any, method: str) -> None:
    case = care.create_case(case={"subject": "s", "contact": f"contacts/{uuid4()}"}).case
    if method == "reopen_case":
        case = care.resolve_case(name=case.name, etag=case.etag).case
    other = f"a{uuid4().hex}"
    care.create_agent(agent_id=other, agent={"available": False})
    arguments: dict[str, Any] = {
        "assign_case": {"name": case.name, "agent": f"agents/{other}"},
        "resolve_case": {"name": case.name},
        "reopen_case": {"name": case.name},
        "add_case_message": {"case": case.name, "message": {"kind": "KIND_REPLY", "text": "Yes."}},
    }[method]
    said = len(care.list_case_messages(case=case.name).messages)
    now = care.add_case_message(case=case.name, message=NOTE).case
    assert now.etag != case.etag
    with pytest.raises(errors.Aborted) as caught:
        getattr(care, method)(**arguments, etag=case.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert caught.value.metadata == {"resource": case.name, "etag": now.etag}
    assert care.get_case(name=case.name).case == now
    assert len(care.list_case_messages(case=case.name).messages) == said + 1
    changed = getattr(care, method)(**arguments, etag=now.etag).case
    assert changed.etag != now.etag
    if method != "add_case_message":
        # The same call again, whose answer was lost, finds what it wanted.
        assert getattr(care, method)(**arguments, etag=now.etag).case == changed


def test_receive_mail(served: Served, care: Any) -> None:
    outcome = pb.ReceiveMailResponse
    raw = mail("Chào bạn")
    opened = care.receive_mail(raw=raw, recipients=[OPEN], sender="a@b.test")
    assert opened.outcome == outcome.OUTCOME_OPENED
    assert (opened.case.channel, opened.case.sender_verified) == ("email", False)
    assert care.receive_mail(raw=raw, recipients=[OPEN], sender="a@b.test") == outcome(
        outcome=outcome.OUTCOME_DUPLICATE, case=opened.case
    )
    address = reply_address(served.runtime, CASE, case_id(opened.case.name))
    more = care.receive_mail(raw=mail("more"), recipients=[address], sender="a@b.test")
    assert (more.outcome, more.case.name) == (outcome.OUTCOME_CONTINUED, opened.case.name)
    away = care.receive_mail(raw=mail("away"), recipients=[address])
    assert away == outcome(outcome=outcome.OUTCOME_AUTOMATIC)
    stop = unsubscribe_address(served.runtime, uuid4())
    left = care.receive_mail(raw=mail(), recipients=[stop], sender="a@b.test")
    assert left == outcome(outcome=outcome.OUTCOME_UNSUBSCRIBED)


def test_receive_mail_of_a_contact_that_answers_a_message(served: Served, care: Any) -> None:
    campaign = Campaign()
    contact = f"contacts/{uuid4()}"
    address = reply_address(served.runtime, MESSAGE, campaign.went_to(contact))
    with pytest.raises(errors.Unavailable) as caught:
        care.receive_mail(raw=mail(), recipients=[address], sender="a@b.test", _retry=NO_RETRY)
    assert caught.value.reason == "CAMPAIGN_UNAVAILABLE"
    with neighbour(served, "campaign", campaign):
        opened = care.receive_mail(raw=mail(), recipients=[address], sender="a@b.test")
    assert (opened.case.contact, opened.case.sender_verified) == (contact, True)


def test_receive_mail_refuses(care: Any) -> None:
    for values, field, reason in (
        ({"raw": b"no mail", "recipients": [OPEN]}, "raw", "INVALID_MAIL"),
        ({"recipients": [OPEN]}, "raw", None),
        ({"raw": mail()}, "recipients", None),
        ({"raw": mail(), "recipients": ["care@else.test"]}, "recipients", "UNKNOWN_RECIPIENT"),
        ({"raw": mail(), "recipients": [OPEN] * 101}, "recipients", None),
        ({"raw": mail() + b"x" * 6_000_000, "recipients": [OPEN]}, "raw", None),
    ):
        with pytest.raises(errors.InvalidArgument) as caught:
            care.receive_mail(sender="a@b.test", **values)
        assert fields(caught) == {field}
        assert reason in (None, caught.value.reason)


def test_record_csat_answer(served: Served, care: Any) -> None:
    case = care.create_case(case={"subject": "s"}).case
    token = served.runtime.signer.sign(SURVEY, case_id(case.name).bytes)
    # The token proves the customer, who has no other.
    nobody = served.client_with(token="")
    nobody.record_csat_answer(token=token, score=2, comment="slow")
    nobody.record_csat_answer(token=token, score=5)
    assert care.get_case(name=case.name).case.csat_score == 5
    for score in (0, 6, -1):
        with pytest.raises(errors.InvalidArgument) as refused:
            nobody.record_csat_answer(token=token, score=score)
        assert fields(refused) == {"score"}
    for bad in ("x", token + "a", served.runtime.signer.sign(CASE, case_id(case.name).bytes)):
        with pytest.raises(errors.InvalidArgument) as caught:
            nobody.record_csat_answer(token=bad, score=1)
        assert caught.value.reason == "INVALID_TOKEN"
    with pytest.raises(errors.NotFound):
        nobody.record_csat_answer(token=served.runtime.signer.sign(SURVEY, uuid4().bytes), score=1)
    assert care.get_case(name=case.name).case.csat_score == 5


def test_get_care_summary(served: Served, care: Any) -> None:
    before = care.get_care_summary()
    case = care.create_case(case={"subject": "s"}).case
    care.create_case(case={"subject": "s"})
    care.resolve_case(name=case.name)
    care.record_csat_answer(token=served.runtime.signer.sign(SURVEY, case_id(case.name).bytes), score=4)
    after = care.get_care_summary()
    assert after.opened_count == before.opened_count + 2
    assert after.resolved_count == before.resolved_count + 1
    assert after.csat_answer_count == before.csat_answer_count + 1
    assert 1 <= after.csat_mean_score <= 5
    assert after.breached_count == before.breached_count
    assert after.unassigned_count == before.unassigned_count


def test_get_customer_glance(served: Served, care: Any) -> None:
    contact = f"contacts/{uuid4()}"
    case = care.create_case(case={"subject": "s", "contact": contact}).case
    with neighbour(served, "contacts", Contacts(contact)), neighbour(served, "sales", Sales()):
        with neighbour(served, "segmentation", Segmentation()):
            answer = care.get_customer_glance(contact=contact)
        with pytest.raises(errors.NotFound):
            care.get_customer_glance(contact=f"contacts/{uuid4()}")
    assert answer.contact.name == contact
    assert list(answer.cases) == [case]
    assert answer.sales.order_count == 7
    assert set(answer.unavailable_parts) == {"messages"}
    with pytest.raises(errors.InvalidArgument) as refused:
        care.get_customer_glance(contact="someone")
    assert fields(refused) == {"contact"}
