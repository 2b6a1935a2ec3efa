from __future__ import annotations

import grpc
import pytest
from rapport_client import errors as remote
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.kit.errors import Aborted, InvalidArgument, NotFound, Unavailable
from services.kit.transient import is_transient


class Rpc(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("away"),
        Aborted("changed"),
        ConnectionResetError(),
        TimeoutError(),
        PoolTimeout(),
        OperationalError("SELECT 1", {}, Exception("gone")),
        Rpc(grpc.StatusCode.UNAVAILABLE),
        Rpc(grpc.StatusCode.DEADLINE_EXCEEDED),
        Rpc(grpc.StatusCode.PERMISSION_DENIED),
    ],
)
def test_passing_errors(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        InvalidArgument("no"),
        NotFound("no"),
        IntegrityError("INSERT", {}, Exception("duplicate")),
        Rpc(grpc.StatusCode.NOT_FOUND),
        Rpc(grpc.StatusCode.INVALID_ARGUMENT),
        KeyError("code"),
    ],
)
def test_lasting_errors(error: Exception) -> None:
    assert not is_transient(error)


def test_the_cause_counts() -> None:
    error = ValueError("could not ask")
    assert not is_transient(error)
    error.__cause__ = ConnectionRefusedError()
    assert is_transient(error)


def test_errors_of_the_client_library_tell_by_their_code() -> None:
    assert is_transient(remote.Unavailable("away"))
    assert not is_transient(remote.NotFound("none"))
