"""Activities."""

from __future__ import annotations

import grpc
from rapport.contacts.v1 import contacts_pb2 as pb

from services.contacts.api.base import Methods
from services.contacts.codec.activities import decode_activity, encode_activity
from services.contacts.codec.problems import Problems
from services.contacts.usecases import activities, registry
from services.kit.names import parse_name


class ActivityMethods(Methods):
    """Answer the RPCs on activities."""

    def RecordActivities(
        self, request: pb.RecordActivitiesRequest, context: grpc.ServicerContext
    ) -> pb.RecordActivitiesResponse:
        """Record activities, all or none."""
        runtime = self._runtime
        with runtime.db.read() as connection:
            types = registry.of(runtime.db).activity_types(
                connection, {one.type for one in request.activities}
            )
        problems = Problems()
        now = runtime.clock.now()
        decoded = [
            decode_activity(one, f"activities[{index}]", problems, types, now)
            for index, one in enumerate(request.activities)
        ]
        problems.raise_any()
        recorded = activities.record(runtime, [one for one in decoded if one is not None])
        return pb.RecordActivitiesResponse(recorded_count=recorded, skipped_count=len(decoded) - recorded)

    def ListActivities(
        self, request: pb.ListActivitiesRequest, context: grpc.ServicerContext
    ) -> pb.ListActivitiesResponse:
        """List activities of a contact, newest first."""
        key = parse_name(request.contact, "contacts", "contact")
        place, size = self._page(request, 50)
        after = (place["time"], place["id"]) if place else None
        found, more = activities.page(self._runtime, key, after, size)
        return pb.ListActivitiesResponse(
            activities=map(encode_activity, found),
            next_page_token=self._token(request, more, time=found[-1].occur_time, id=found[-1].id)
            if more
            else "",
        )
