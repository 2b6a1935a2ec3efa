"""Every RPC of OperationService over a real port, with its errors."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.status_pb2 import Status
from rapport_client import errors

from tests.contract.operations.conftest import Work

PERMISSIONS = {
    "get_operation": "operations.read",
    "list_operations": "operations.read",
    "wait_operation": "operations.read",
    "cancel_operation": "operations.write",
}
NOBODY = "00000000-0000-4000-8000-000000000000"
OF_ONE = ["get_operation", "wait_operation", "cancel_operation"]


def call(client: Any, method: str, name: str) -> Any:
    """Call the RPC; `wait_operation` of a client is a helper, and its RPC is meant here."""
    rpc = client._methods[method]
    return rpc() if method == "list_operations" else rpc(name=name, _timeout=2)


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


@pytest.mark.parametrize("method", PERMISSIONS)
def test_each_rpc_asks_for_its_permission_and_no_more(work: Work, method: str) -> None:
    name = work.start().name
    for token in ("", "wrong"):
        with pytest.raises(errors.Unauthenticated):
            call(work.served.client_with(token=token), method, name)
    needed = PERMISSIONS[method]
    others = {"sales.read", "events.read", *PERMISSIONS.values()} - {needed}
    with pytest.raises(errors.PermissionDenied) as caught:
        call(work.served.client_with(*others), method, name)
    assert caught.value.metadata["permission"] == needed
    call(work.served.client_with(needed), method, name)


@pytest.mark.parametrize("method", OF_ONE)
def test_an_unknown_operation_is_not_found(work: Work, method: str) -> None:
    name = f"operations/{uuid4()}"
    with pytest.raises(errors.NotFound) as caught:
        call(work.api, method, name)
    assert caught.value.metadata["resource"] == name


@pytest.mark.parametrize("method", OF_ONE)
@pytest.mark.parametrize("name", ["", "operations/7", f"orders/{NOBODY}", NOBODY])
def test_a_malformed_name_is_refused(work: Work, method: str, name: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        call(work.api, method, name)
    assert fields(caught) == {"name"}


def test_get_operation(work: Work) -> None:
    started = work.start()
    found = work.api.get_operation(name=started.name).operation
    assert found == started
    assert (found.kind, found.done, found.WhichOneof("result")) == ("count", False, None)
    assert (found.progress.completed, found.progress.total, found.progress.unit) == (0, 3, "rows")
    assert found.create_time.ToDatetime(work.served.clock.instant.tzinfo) == work.served.clock.instant
    assert not found.HasField("end_time")
    work.end(started, StringValue(value="three"))
    ended = work.api.get_operation(name=started.name).operation
    result = StringValue()
    assert ended.done
    assert ended.response.Unpack(result)
    assert result.value == "three"
    assert ended.HasField("end_time")


def test_get_operation_shows_the_error_with_which_it_ended(work: Work) -> None:
    started = work.start()
    work.end(started, Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="no header"))
    found = work.api.get_operation(name=started.name).operation
    assert (found.done, found.error.message) == (True, "no header")
    with pytest.raises(errors.FailedPrecondition, match="no header"):
        work.api.wait_operation(found)


def test_list_operations_from_the_newest_on_page_by_page(work: Work) -> None:
    names = []
    for number in range(5):
        # Some at the same instant.
        work.served.clock.instant += timedelta(seconds=number % 2)
        names.append(work.start().name)
    pages = list(work.api.list_operations.pages(page_size=2))
    assert all(len(page.operations) == 2 for page in pages[:-1])
    found = [operation.name for page in pages for operation in page.operations]
    assert found[:5] == names[::-1]
    assert len(set(found)) == len(found)
    assert not pages[-1].next_page_token


@pytest.mark.parametrize("size", [-1, 1001])
def test_list_operations_refuses_a_page_size_out_of_bounds(work: Work, size: int) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        work.api.list_operations(page_size=size)
    assert fields(caught) == {"page_size"}


def test_list_operations_refuses_a_page_token_of_another_query_or_of_nobody(work: Work) -> None:
    work.api.batch_upsert_products(products=[{"code": "A", "title": "Boot"}, {"code": "B", "title": "Cap"}])
    foreign = work.api.list_products(page_size=1).next_page_token
    assert foreign
    with pytest.raises(errors.InvalidArgument) as caught:
        work.api.list_operations(page_token=foreign)
    assert (caught.value.reason, fields(caught)) == ("PAGE_TOKEN_MISMATCH", {"page_token"})
    work.start()
    work.start()
    own = work.api.list_operations(page_size=1).next_page_token
    for token in ("forged", own[:-2] + ("AA" if own[-2:] != "AA" else "BB")):
        with pytest.raises(errors.InvalidArgument) as caught:
            work.api.list_operations(page_token=token)
        assert (caught.value.reason, fields(caught)) == ("INVALID_PAGE_TOKEN", {"page_token"})
    # The size may change from page to page.
    assert work.api.list_operations(page_token=own, page_size=3).operations


def test_wait_operation_returns_as_soon_as_it_is_done(work: Work) -> None:
    started = work.start()
    answers: list[Any] = []
    waiting = threading.Thread(
        target=lambda: answers.append(work.api._methods["wait_operation"](name=started.name).operation)
    )
    waiting.start()
    work.end(started, StringValue(value="done"))
    waiting.join(20)
    (answer,) = answers
    assert answer.done
    # One that is done is returned at once, and the helper of the client gives the typed result.
    assert work.api.wait_operation(started, timeout=20).value == "done"


def test_wait_operation_returns_it_unfinished_when_the_time_is_up(work: Work) -> None:
    name = work.start().name
    rpc = work.api._methods["wait_operation"]
    assert not rpc(name=name, timeout={"seconds": 0}).operation.done
    began = time.monotonic()
    assert not rpc(name=name, timeout={"nanos": 200_000_000}).operation.done
    assert time.monotonic() - began >= 0.2
    # Without a timeout it answers before the call's deadline.
    assert not rpc(name=name, _timeout=1).operation.done
    with pytest.raises(errors.InvalidArgument) as caught:
        rpc(name=name, timeout={"seconds": -1})
    assert fields(caught) == {"timeout"}


def test_cancel_operation_is_recorded_and_may_be_repeated(work: Work) -> None:
    started = work.start()
    for _ in range(2):
        work.api.cancel_operation(name=started.name)
        found = work.api.get_operation(name=started.name).operation
        assert (found.cancel_requested, found.done) == (True, False)


def test_cancel_operation_refuses_one_that_has_ended(work: Work) -> None:
    started = work.start()
    work.end(started, StringValue(value="done"))
    with pytest.raises(errors.FailedPrecondition) as caught:
        work.api.cancel_operation(name=started.name)
    assert (caught.value.reason, caught.value.metadata) == ("OPERATION_DONE", {"operation": started.name})
    assert not work.api.get_operation(name=started.name).operation.cancel_requested
