"""A service without business nouns, behind the kit's real gRPC server, for tests of server and client."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.api
import grpc
import grpc_tools
from grpc_tools import protoc
from rapport_client.method import CallSettings
from rapport_client.retry import RetryPolicy
from rapport_client.service import ServiceClient

from services.kit.auth import TokenStore, add_tokens
from services.kit.grpc.server import ApiServer

ROOT = Path(__file__).parents[2]


def _compile() -> tuple[Any, Any]:
    if "rapporttest.v1.echo_pb2_grpc" not in sys.modules:
        out = tempfile.mkdtemp(prefix="rapport-test-stubs-")
        includes = [
            ROOT / "tests/support/protos",
            ROOT / "protos",
            Path(google.api.__path__[0]).parents[1],
            Path(grpc_tools.__file__).parent / "_proto",
        ]
        arguments = [
            "protoc",
            *(f"-I{path}" for path in includes),
            f"--python_out={out}",
            f"--grpc_python_out={out}",
        ]
        assert protoc.main([*arguments, "rapporttest/v1/echo.proto"]) == 0
        sys.path.append(out)
    return (
        importlib.import_module("rapporttest.v1.echo_pb2"),
        importlib.import_module("rapporttest.v1.echo_pb2_grpc"),
    )


pb, stubs = _compile()
OWNER, READER = "owner-token", "reader-token"


class Echo(stubs.EchoServiceServicer):  # type: ignore[misc]
    """Answer with what was asked, or do what the test puts into `behave`."""

    def __init__(self) -> None:
        self.behave: Callable[[Any, Any], Any] = lambda request, context: request.text
        self.calls: list[Any] = []

    def _answer(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        result = self.behave(request, context)
        return pb.EchoResponse(text=result) if isinstance(result, str) else result

    Echo = Save = Charge = GetVersion = _answer

    def ListWords(self, request: Any, context: Any) -> Any:
        """Return seven words, page by page."""
        start, size = int(request.page_token or 0), request.page_size or 3
        words = [f"w{number}" for number in range(7)]
        after = start + size
        return pb.ListWordsResponse(words=words[start:after], next_page_token=str(after) if after < 7 else "")

    def Upload(self, requests: Iterable[Any], context: Any) -> Any:
        """Join what is uploaded."""
        return pb.EchoResponse(text="+".join(request.text for request in requests))

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        """Stream what `behave` yields."""
        yield from (pb.EchoResponse(text=text) for text in self.behave(request, context))

    def Chat(self, requests: Iterable[Any], context: Any) -> Iterator[Any]:
        """Answer each message."""
        for request in requests:
            yield pb.EchoResponse(text=request.text.upper())


@dataclass
class Served:
    """A running server with its servicer and clients."""

    server: ApiServer
    echo: Echo
    tokens_file: Path
    _channels: list[grpc.Channel] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"127.0.0.1:{self.server.port}"

    def channel(self) -> grpc.Channel:
        """Return a plain channel with gRPC's defaults."""
        channel = grpc.insecure_channel(self.address)
        self._channels.append(channel)
        return channel

    def client(self, token: str = OWNER, **settings: Any) -> ServiceClient:
        """Return a client of the library."""
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return make_client(self.channel(), metadata=lambda: metadata, **settings)

    def stub(self) -> Any:
        """Return the generated stub on a channel with gRPC's defaults."""
        return stubs.EchoServiceStub(self.channel())

    def close(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            channel.close()


def make_client(channel: grpc.Channel, **settings: Any) -> ServiceClient:
    """Return a client of EchoService on a channel."""
    values: dict[str, Any] = {
        "timeout": 20.0,
        "wait_for_ready": False,
        "retry": RetryPolicy(first_seconds=0.01),
        "metadata": lambda: (),
    }
    return ServiceClient(
        channel, [pb.DESCRIPTOR.services_by_name["EchoService"]], CallSettings(**(values | settings))
    )


@contextmanager
def serve(folder: Path, **options: Any) -> Iterator[Served]:
    """Serve EchoService on a free port; OWNER may do everything, READER reads."""
    path = folder / "tokens.json"
    add_tokens(path, [("owner", ("*",), OWNER), ("reader", ("echo.read",), READER)])
    server = ApiServer("127.0.0.1:0", TokenStore(path), **options)
    echo = Echo()
    server.add(lambda registry: stubs.add_EchoServiceServicer_to_server(echo, registry))
    server.start()
    served = Served(server, echo, path)
    try:
        yield served
    finally:
        served.close()
        server.stop(0)


__all__ = ["OWNER", "READER", "Echo", "Served", "make_client", "pb", "serve", "stubs"]
