"""CareService over gRPC: decode, use case, encode."""

from __future__ import annotations

from typing import Any

import grpc
from rapport.care.v1 import care_pb2 as pb
from rapport.care.v1 import care_pb2_grpc

from services.care import codec
from services.care.api.base import Methods
from services.care.store.setup import Queue
from services.care.usecases import cases, csat, glance, inbound, setup
from services.care.usecases.customers import check_customer
from services.care.usecases.opening import NewCase
from services.kit.access import audit
from services.kit.errors import Aborted, InvalidArgument
from services.kit.names import parse_name
from services.kit.runtime import Runtime
from services.kit.wire import enum_number

_CASES = (50, 1000)
_SETUP = (100, 1000)
_QUEUE_FIELDS = {"display_name", "agents", "calendar", "sla_targets", "default_queue", "reply_channel"}


class CareServicer(Methods, care_pb2_grpc.CareServiceServicer):
    """Answer the RPCs of CareService; see the proto for what each promises."""

    def __init__(self, runtime: Runtime) -> None:
        """Serve from a runtime."""
        super().__init__(runtime)
        self._glancer = glance.Glancer(runtime)

    def CreateCase(
        self, request: pb.CreateCaseRequest, context: grpc.ServicerContext
    ) -> pb.CreateCaseResponse:
        """Open a case."""
        wanted = request.case
        new = NewCase(
            subject=wanted.subject,
            channel=wanted.channel or "api",
            text=request.text,
            contact_id=parse_name(wanted.contact, "contacts", "case.contact") if wanted.contact else None,
            # Whoever may call this has made sure who the customer is.
            verified=bool(wanted.contact),
            queue=codec.decode_key(wanted.queue, "queues", "case.queue"),
            priority=codec.decode_priority(wanted.priority),
        )
        check_customer(self._runtime, new.contact_id)
        return self.once(
            request,
            pb.CreateCaseResponse,
            lambda connection: pb.CreateCaseResponse(
                case=codec.encode_case(cases.create_case(self._runtime, connection, new))
            ),
        )

    def GetCase(self, request: pb.GetCaseRequest, context: grpc.ServicerContext) -> pb.GetCaseResponse:
        """Return a case."""
        found = cases.get_case(self._runtime, parse_name(request.name, "cases"))
        return pb.GetCaseResponse(case=codec.encode_case(found))

    def ListCases(self, request: pb.ListCasesRequest, context: grpc.ServicerContext) -> pb.ListCasesResponse:
        """List cases, newest first."""
        contact = parse_name(request.contact, "contacts", "contact") if request.contact else None
        found, token = self.page(
            request,
            _CASES,
            lambda after, count: cases.list_cases(
                self._runtime,
                contact_id=contact,
                assignee=codec.decode_key(request.assignee, "agents", "assignee") or None,
                state=codec.decode_state(request.state),
                after=(after["time"], after["id"]) if after else None,
                count=count,
            ),
            lambda item: {"time": item.create_time, "id": item.id},
        )
        return pb.ListCasesResponse(cases=map(codec.encode_case, found), next_page_token=token)

    def ListCaseMessages(
        self, request: pb.ListCaseMessagesRequest, context: grpc.ServicerContext
    ) -> pb.ListCaseMessagesResponse:
        """List what was said in a case, oldest first."""
        key = parse_name(request.case, "cases", "case")
        found, token = self.page(
            request,
            _CASES,
            lambda after, count: cases.list_messages(
                self._runtime, key, after=(after["time"], after["id"]) if after else None, count=count
            ),
            lambda item: {"time": item.create_time, "id": item.id},
        )
        return pb.ListCaseMessagesResponse(messages=map(codec.encode_message, found), next_page_token=token)

    def AddCaseMessage(
        self, request: pb.AddCaseMessageRequest, context: grpc.ServicerContext
    ) -> pb.AddCaseMessageResponse:
        """Add to a case."""
        key = parse_name(request.case, "cases", "case")
        kind = codec.decode_kind(request.message.kind)

        def add(connection: Any) -> pb.AddCaseMessageResponse:
            message, item = cases.add_message(
                self._runtime,
                connection,
                key,
                kind,
                request.message.text,
                request.message.author,
                request.etag,
            )
            return pb.AddCaseMessageResponse(
                message=codec.encode_message(message), case=codec.encode_case(item)
            )

        return self.once(request, pb.AddCaseMessageResponse, add)

    def AssignCase(
        self, request: pb.AssignCaseRequest, context: grpc.ServicerContext
    ) -> pb.AssignCaseResponse:
        """Give a case to an agent."""
        agent = codec.decode_key(request.agent, "agents", "agent")
        changed = cases.assign_case(self._runtime, parse_name(request.name, "cases"), agent, request.etag)
        return pb.AssignCaseResponse(case=codec.encode_case(changed))

    def ResolveCase(
        self, request: pb.ResolveCaseRequest, context: grpc.ServicerContext
    ) -> pb.ResolveCaseResponse:
        """Declare a case solved."""
        changed = cases.resolve_case(self._runtime, parse_name(request.name, "cases"), request.etag)
        return pb.ResolveCaseResponse(case=codec.encode_case(changed))

    def ReopenCase(
        self, request: pb.ReopenCaseRequest, context: grpc.ServicerContext
    ) -> pb.ReopenCaseResponse:
        """Open a solved case again."""
        changed = cases.reopen_case(self._runtime, parse_name(request.name, "cases"), request.etag)
        return pb.ReopenCaseResponse(case=codec.encode_case(changed))

    def ReceiveMail(
        self, request: pb.ReceiveMailRequest, context: grpc.ServicerContext
    ) -> pb.ReceiveMailResponse:
        """Take in a mail."""
        received = inbound.receive_mail(self._runtime, request.raw, request.sender, request.recipients)
        return pb.ReceiveMailResponse(
            outcome=enum_number(pb.ReceiveMailResponse.Outcome, received.outcome),
            case=codec.encode_case(received.case) if received.case else None,
        )

    def CreateAgent(
        self, request: pb.CreateAgentRequest, context: grpc.ServicerContext
    ) -> pb.CreateAgentResponse:
        """Create an agent."""
        key = codec.decode_id(request.agent_id, "agent_id")
        agent = request.agent
        return self.once(
            request,
            pb.CreateAgentResponse,
            lambda connection: pb.CreateAgentResponse(
                agent=codec.encode_agent(
                    setup.create_agent(
                        self._runtime,
                        connection,
                        key,
                        agent.display_name or key,
                        agent.available,
                        agent.capacity,
                    )
                )
            ),
        )

    def SetAgentAvailability(
        self, request: pb.SetAgentAvailabilityRequest, context: grpc.ServicerContext
    ) -> pb.SetAgentAvailabilityResponse:
        """Say whether an agent takes new cases."""
        key = codec.decode_name(request.name, "agents", "name")
        changed, given = setup.set_availability(self._runtime, key, request.available, request.hand_over)
        return pb.SetAgentAvailabilityResponse(agent=codec.encode_agent(changed), handed_over_count=given)

    def ListAgents(
        self, request: pb.ListAgentsRequest, context: grpc.ServicerContext
    ) -> pb.ListAgentsResponse:
        """List agents by id."""
        found, token = self.page(
            request,
            _SETUP,
            lambda after, count: setup.list_agents(
                self._runtime, after=after["id"] if after else "", count=count
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListAgentsResponse(agents=map(codec.encode_agent, found), next_page_token=token)

    def CreateCalendar(
        self, request: pb.CreateCalendarRequest, context: grpc.ServicerContext
    ) -> pb.CreateCalendarResponse:
        """Create a calendar."""
        key = codec.decode_id(request.calendar_id, "calendar_id")
        wanted = codec.decode_calendar(request.calendar)
        return self.once(
            request,
            pb.CreateCalendarResponse,
            lambda connection: pb.CreateCalendarResponse(
                calendar=codec.encode_calendar(
                    key, setup.create_calendar(self._runtime, connection, key, wanted)
                )
            ),
        )

    def GetCalendar(
        self, request: pb.GetCalendarRequest, context: grpc.ServicerContext
    ) -> pb.GetCalendarResponse:
        """Return a calendar."""
        key = codec.decode_name(request.name, "calendars", "name")
        return pb.GetCalendarResponse(
            calendar=codec.encode_calendar(key, setup.get_calendar(self._runtime, key))
        )

    def CreateQueue(
        self, request: pb.CreateQueueRequest, context: grpc.ServicerContext
    ) -> pb.CreateQueueResponse:
        """Create a queue."""
        key = codec.decode_id(request.queue_id, "queue_id")
        wanted = codec.decode_queue(key, request.queue)
        made: list[Queue] = []

        def create(connection: Any) -> pb.CreateQueueResponse:
            made.append(setup.create_queue(self._runtime, connection, wanted))
            return pb.CreateQueueResponse(queue=codec.encode_queue(made[0]))

        response = self.once(request, pb.CreateQueueResponse, create)
        # Not when the answer of before was given again.
        _record(key, set(), {agent for queue in made for agent in queue.agents})
        return response

    def UpdateQueue(
        self, request: pb.UpdateQueueRequest, context: grpc.ServicerContext
    ) -> pb.UpdateQueueResponse:
        """Change a queue."""
        key = codec.decode_name(request.queue.name, "queues", "queue.name")
        unknown = [path for path in request.update_mask.paths if path not in _QUEUE_FIELDS]
        if unknown or not request.update_mask.paths:
            raise InvalidArgument.field(
                "update_mask",
                f"cannot change {unknown or 'nothing'}; it may name {', '.join(sorted(_QUEUE_FIELDS))}",
            )
        with self._runtime.db.transaction() as connection:
            found = setup.get_queue(connection, key)
            present = codec.encode_queue(found)
            merged = codec.encode_queue(found)
            for path in request.update_mask.paths:
                merged.ClearField(path)
            given = pb.Queue()
            given.CopyFrom(request.queue)
            for field in {*_QUEUE_FIELDS, "etag"} - set(request.update_mask.paths):
                given.ClearField(field)
            merged.MergeFrom(given)
            changed = codec.decode_queue(key, merged)
            if changed != found:
                _check_etag(present, request.etag)
                setup.update_queue(self._runtime, connection, changed)
        _record(key, set(found.agents), set(changed.agents))
        return pb.UpdateQueueResponse(queue=codec.encode_queue(changed))

    def ListQueues(
        self, request: pb.ListQueuesRequest, context: grpc.ServicerContext
    ) -> pb.ListQueuesResponse:
        """List queues by id."""
        found, token = self.page(
            request,
            _SETUP,
            lambda after, count: setup.list_queues(
                self._runtime, after=after["id"] if after else "", count=count
            ),
            lambda item: {"id": item.id},
        )
        return pb.ListQueuesResponse(queues=map(codec.encode_queue, found), next_page_token=token)

    def RecordCsatAnswer(
        self, request: pb.RecordCsatAnswerRequest, context: grpc.ServicerContext
    ) -> pb.RecordCsatAnswerResponse:
        """Keep the customer's answer to how it was."""
        csat.record_answer(self._runtime, request.token, request.score, request.comment)
        return pb.RecordCsatAnswerResponse()

    def GetCareSummary(
        self, request: pb.GetCareSummaryRequest, context: grpc.ServicerContext
    ) -> pb.GetCareSummaryResponse:
        """Return the figures of care."""
        found = csat.summary(self._runtime)
        return pb.GetCareSummaryResponse(
            opened_count=found.opened,
            resolved_count=found.resolved,
            breached_count=found.breached,
            unassigned_count=found.unassigned,
            csat_answer_count=found.answers,
            csat_mean_score=found.mean_score,
        )

    def GetCustomerGlance(
        self, request: pb.GetCustomerGlanceRequest, context: grpc.ServicerContext
    ) -> pb.GetCustomerGlanceResponse:
        """Return all that is known of a customer."""
        found = self._glancer.glance(parse_name(request.contact, "contacts", "contact"))
        parts = found.parts
        response = pb.GetCustomerGlanceResponse(
            cases=map(codec.encode_case, found.cases),
            open_tasks=map(codec.encode_task, found.open_tasks),
            unavailable_parts=found.unavailable,
        )
        if "contact" in parts:
            response.contact.CopyFrom(parts["contact"].contact)
        if "activities" in parts:
            response.activities.extend(parts["activities"].activities)
        if "segments" in parts:
            response.segments.extend(parts["segments"].segments)
        if "traits" in parts:
            response.traits.CopyFrom(parts["traits"].traits)
        if "sales" in parts:
            response.sales.CopyFrom(parts["sales"])
        if "messages" in parts:
            response.messages.extend(parts["messages"].messages)
        return response


def _record(key: str, before: set[str], after: set[str]) -> None:
    """Put on record who works for a queue from now on, and so sees its cases."""
    if before != after:
        audit.changed(
            "agents of a queue changed",
            queue=f"queues/{key}",
            added=sorted(after - before),
            removed=sorted(before - after),
        )


def _check_etag(present: pb.Queue, etag: str) -> None:
    """Raise Aborted (ETAG_MISMATCH) when the queue has changed since it was read."""
    if etag and etag != present.etag:
        raise Aborted(
            f"{present.name} was changed meanwhile (etag {etag!r}, now {present.etag!r}): read it again",
            metadata={"resource": present.name, "etag": present.etag},
        )
