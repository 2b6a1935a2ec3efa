"""TaskService over gRPC: what is to be done for customers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from rapport.care.v1 import care_pb2, tasks_pb2_grpc
from rapport.care.v1 import tasks_pb2 as pb

from services.care import codec
from services.care.api.base import Methods
from services.care.domain.tasks import TaskState
from services.care.usecases import tasks
from services.care.usecases.customers import check_customer
from services.kit.errors import InvalidArgument
from services.kit.names import parse_name
from services.kit.wire import enum_text, get_timestamp

_SIZES = (50, 1000)


class TaskServicer(Methods, tasks_pb2_grpc.TaskServiceServicer):
    """Answer the RPCs of TaskService; see the proto for what each promises."""

    def CreateTask(
        self, request: pb.CreateTaskRequest, context: grpc.ServicerContext
    ) -> pb.CreateTaskResponse:
        """Make a task."""
        given = request.task
        contact_id = _key(given.contact, "contacts", "task.contact")
        case_id = _key(given.case, "cases", "task.case")
        fields = _fields(given, tasks.FIELDS)
        check_customer(self._runtime, contact_id)
        return self.once(
            request,
            pb.CreateTaskResponse,
            lambda connection: pb.CreateTaskResponse(
                task=codec.encode_task(
                    tasks.create_task(
                        self._runtime,
                        connection,
                        contact_id=contact_id,
                        case_id=case_id,
                        source=given.source,
                        fields=fields,
                    )
                )
            ),
        )

    def GetTask(self, request: pb.GetTaskRequest, context: grpc.ServicerContext) -> pb.GetTaskResponse:
        """Return a task."""
        found = tasks.get_task(self._runtime, parse_name(request.name, "tasks"))
        return pb.GetTaskResponse(task=codec.encode_task(found))

    def ListTasks(self, request: pb.ListTasksRequest, context: grpc.ServicerContext) -> pb.ListTasksResponse:
        """List tasks, those due first."""
        state = enum_text(care_pb2.Task.State, request.state)
        found, token = self.page(
            request,
            _SIZES,
            lambda after, count: tasks.list_tasks(
                self._runtime,
                contact_id=_key(request.contact, "contacts", "contact"),
                case_id=_key(request.case, "cases", "case"),
                assignee=codec.decode_key(request.assignee, "agents", "assignee") or None,
                queue=codec.decode_key(request.queue, "queues", "queue") or None,
                state=TaskState(state) if state else None,
                due_before=get_timestamp(request, "due_before"),
                unassigned=request.unassigned,
                after=_place(after) if after else None,
                count=count,
            ),
            lambda item: {"due": item.due_time and item.due_time.isoformat(), "id": str(item.id)},
        )
        return pb.ListTasksResponse(tasks=map(codec.encode_task, found), next_page_token=token)

    def UpdateTask(
        self, request: pb.UpdateTaskRequest, context: grpc.ServicerContext
    ) -> pb.UpdateTaskResponse:
        """Change fields of a task."""
        key = parse_name(request.task.name, "tasks", "task.name")
        paths = request.update_mask.paths
        unknown = sorted(set(paths) - set(tasks.FIELDS))
        if unknown or not paths:
            raise InvalidArgument.field(
                "update_mask",
                f"cannot change {', '.join(unknown) or 'nothing'}; it may name {', '.join(tasks.FIELDS)}",
            )
        changed = tasks.update_task(self._runtime, key, _fields(request.task, paths), request.etag)
        return pb.UpdateTaskResponse(task=codec.encode_task(changed))

    def CompleteTask(
        self, request: pb.CompleteTaskRequest, context: grpc.ServicerContext
    ) -> pb.CompleteTaskResponse:
        """Say that a task is done or dropped."""
        key = parse_name(request.name, "tasks")
        changed = tasks.complete_task(self._runtime, key, drop=request.drop, etag=request.etag)
        return pb.CompleteTaskResponse(task=codec.encode_task(changed))

    def ReopenTask(
        self, request: pb.ReopenTaskRequest, context: grpc.ServicerContext
    ) -> pb.ReopenTaskResponse:
        """Open a task again."""
        changed = tasks.reopen_task(self._runtime, parse_name(request.name, "tasks"), request.etag)
        return pb.ReopenTaskResponse(task=codec.encode_task(changed))


def _key(name: str, collection: str, field: str) -> UUID | None:
    return parse_name(name, collection, field) if name else None


def _place(after: dict[str, Any]) -> tuple[datetime | None, UUID]:
    return after["due"] and datetime.fromisoformat(after["due"]), UUID(after["id"])


def _fields(task: care_pb2.Task, names: Collection[str]) -> dict[str, Any]:
    found = {
        "title": task.title,
        "text": task.text,
        "queue": codec.decode_key(task.queue, "queues", "task.queue"),
        "assignee": codec.decode_key(task.assignee, "agents", "task.assignee"),
        "priority": codec.decode_priority(task.priority),
        "due_time": get_timestamp(task, "due_time"),
    }
    return {name: found[name] for name in names}
