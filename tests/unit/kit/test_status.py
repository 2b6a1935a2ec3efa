"""Exceptions become typed statuses that fit into headers and tell nothing they should not."""

from __future__ import annotations

from urllib.parse import quote

import grpc
import psycopg
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from hypothesis import given
from hypothesis import strategies as st
from rapport_client import errors as remote
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit import errors
from services.kit.grpc.status import classify, status_message, to_wire


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidArgument, "INVALID_ARGUMENT"),
        (errors.OutOfRange, "OUT_OF_RANGE"),
        (errors.NotFound, "NOT_FOUND"),
        (errors.AlreadyExists, "ALREADY_EXISTS"),
        (errors.FailedPrecondition, "FAILED_PRECONDITION"),
        (errors.Aborted, "ABORTED"),
        (errors.Unauthenticated, "UNAUTHENTICATED"),
        (errors.PermissionDenied, "PERMISSION_DENIED"),
        (errors.ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (errors.Unavailable, "UNAVAILABLE"),
        (errors.Cancelled, "CANCELLED"),
    ],
)
def test_each_typed_error_has_its_code(kind, code):
    failure = classify(kind("text", reason="SOME_REASON", metadata={"k": "v"}), "r1")
    assert (failure.code.name, failure.message, failure.reason, failure.metadata, failure.expected) == (
        code,
        "text",
        "SOME_REASON",
        {"k": "v"},
        True,
    )


def test_every_typed_error_of_the_kit_is_mapped():
    for kind in errors.RapportError.__subclasses__():
        assert classify(kind("x"), "r").code is not grpc.StatusCode.INTERNAL, kind


def test_a_subclass_keeps_its_parents_code():
    class Special(errors.NotFound):
        pass

    assert classify(Special("x"), "r").code is grpc.StatusCode.NOT_FOUND


def test_an_unknown_error_tells_nothing_but_the_request_id():
    failure = classify(ValueError("the password is swordfish"), "r42")
    assert failure.code is grpc.StatusCode.INTERNAL
    assert not failure.expected
    assert "swordfish" not in str(status_message(failure))
    assert "r42" in failure.message


@pytest.mark.parametrize(
    ("original", "wrapper", "code", "reason"),
    [
        (psycopg.errors.QueryCanceled, OperationalError, "DEADLINE_EXCEEDED", "STATEMENT_TIMEOUT"),
        (psycopg.errors.SerializationFailure, OperationalError, "UNAVAILABLE", "TRANSACTION_CONFLICT"),
        (psycopg.errors.DeadlockDetected, OperationalError, "UNAVAILABLE", "TRANSACTION_CONFLICT"),
        (psycopg.errors.AdminShutdown, OperationalError, "UNAVAILABLE", "DATABASE_UNAVAILABLE"),
        (psycopg.errors.DiskFull, OperationalError, "RESOURCE_EXHAUSTED", "DATABASE_FULL"),
        (psycopg.OperationalError, OperationalError, "UNAVAILABLE", "DATABASE_UNAVAILABLE"),
        (psycopg.errors.UniqueViolation, IntegrityError, "INTERNAL", "INTERNAL"),
        (psycopg.errors.UndefinedTable, DBAPIError, "INTERNAL", "INTERNAL"),
    ],
)
def test_database_errors(original, wrapper, code, reason):
    failure = classify(wrapper("SELECT 1", {"name": "An"}, original("Key (email)=(an@example.test)")), "r")
    assert (failure.code.name, failure.reason) == (code, reason)
    assert "example.test" not in str(status_message(failure))


def test_a_full_pool_is_unavailable():
    assert classify(PoolTimeout("QueuePool limit"), "r").reason == "DATABASE_BUSY"


def test_the_error_of_another_service_is_passed_on():
    details = remote.Details("NO_STOCK", "rapport", {"a": "b"}, (remote.Violation("x", "y"),))
    failure = classify(remote.FailedPrecondition("none left", details), "r")
    assert (failure.code.name, failure.reason, failure.metadata) == (
        "FAILED_PRECONDITION",
        "NO_STOCK",
        {"a": "b"},
    )
    assert failure.violations == (errors.FieldViolation("x", "y"),)


@pytest.mark.parametrize("kind", [remote.PermissionDenied, remote.Unauthenticated, remote.Internal])
def test_our_own_trouble_with_another_service_is_not_the_callers(kind):
    assert classify(kind("service:care may not"), "r").code is grpc.StatusCode.INTERNAL


def unpack(status):
    info, bad = ErrorInfo(), BadRequest()
    for detail in status.details:
        if not detail.Unpack(info):
            assert detail.Unpack(bad)
    return info, bad


@given(
    st.text(max_size=6000),
    st.lists(st.tuples(st.text(max_size=60), st.text(max_size=400)), max_size=300),
    # What the server adds by itself no error gives.
    st.dictionaries(
        st.text(max_size=40).filter(lambda key: key != "violations_omitted"),
        st.text(max_size=400),
        max_size=20,
    ),
)
def test_any_error_fits_into_headers(message, violations, metadata):
    error = errors.InvalidArgument(
        message,
        violations=[errors.FieldViolation(field, text) for field, text in violations],
        metadata=metadata,
    )
    wire = to_wire(classify(error, "r1"), "r1")
    binary = dict(wire.trailing_metadata)["grpc-status-details-bin"]
    assert len(quote(wire.details)) + len(binary) * 4 / 3 < 8000
    status = status_message(classify(error, "r1"))
    info, bad = unpack(status)
    assert info.domain == "rapport"
    omitted = int(info.metadata.get("violations_omitted", 0))
    assert len(bad.field_violations) + omitted == len(violations)


def test_text_that_utf8_cannot_hold_is_no_fault():
    error = errors.InvalidArgument.field("file", "bad name \udcff")
    assert status_message(classify(error, "r")).message == "file: bad name ?"


def test_details_hold_one_error_info_and_the_fields():
    error = errors.InvalidArgument.field("things[0].name", "is odd", reason="ODD")
    status = status_message(classify(error, "r"))
    info, bad = unpack(status)
    assert (status.code, info.reason) == (3, "ODD")
    assert [(item.field, item.description) for item in bad.field_violations] == [("things[0].name", "is odd")]
    assert status_message(classify(errors.NotFound("x"), "r")).details[0].Is(ErrorInfo.DESCRIPTOR)


def test_long_texts_end_between_words_and_one_field_may_say_more_than_many():
    words = " ".join(f"word{number}" for number in range(400))
    alone = status_message(classify(errors.InvalidArgument.field("f", words), "r"))
    (item,) = unpack(alone)[1].field_violations
    many = [errors.FieldViolation(f"f{number}", words) for number in range(9)]
    some = unpack(status_message(classify(errors.InvalidArgument("m", violations=many), "r")))[1]
    assert len(item.description) > 1200 > 300 >= len(some.field_violations[0].description) > 200
    for text in (alone.message, item.description, some.field_violations[0].description):
        assert text.endswith("…")
        assert words.startswith(text.removesuffix("…").removeprefix("f: ") + " ")
    chinese = "订" * 2000
    (item,) = unpack(status_message(classify(errors.InvalidArgument.field("f", chinese), "r")))[
        1
    ].field_violations
    assert len(item.description) > 400
    assert item.description.strip("订") == "…"
