"""The event stream of a service: the relay that orders it, the server that offers it, and payload decoding.

The API process serves it: `stream = EventStream(runtime.service, runtime.db, kit, clock=..., ...)`, then
`events_pb2_grpc.add_EventServiceServicer_to_server(stream, server)`, `stream.start()` and, before the server
stops, `stream.stop()`. The worker process runs the `Relay`.
"""

from __future__ import annotations

from services.kit.events.payload import event_uuid, unpack
from services.kit.events.relay import Relay
from services.kit.events.stream import EventStream

__all__ = ["EventStream", "Relay", "event_uuid", "unpack"]
