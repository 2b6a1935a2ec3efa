"""The main job: customers and orders come in, segments follow, a campaign goes out, purchases are thanked for,
replies become cases. Everything goes through the API and through real mail."""

from __future__ import annotations

import random
import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Protocol

from google.type import timeofday_pb2
from rapport.campaign.v1 import campaign_pb2 as campaign
from rapport.care.v1 import care_pb2 as care
from rapport.segmentation.v1 import segmentation_pb2 as segmentation
from rapport_client import Rapport
from rapport_client.errors import RapportError

from services.demo import definitions, send
from services.demo.live import live_orders
from services.demo.mailbox import Mail, Mailbox
from services.demo.records import Dataset

PATIENCE_SECONDS = 180.0
"""How long the job waits for something that should happen by itself before it gives up."""
LIVE_ORDERS = 100
REPLIES = 24
ANSWERED = 18
RATINGS = 10


class DemoFailed(Exception):
    """Report that something that should have happened did not."""


class View(Protocol):
    """Show how the job comes on."""

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a step; yields a function that takes how many more units are done. total: 0 while unknown."""
        ...


@dataclass
class Outcome:
    """What the report needs beside the API: how long each step took, and what the customers' server received."""

    seconds: dict[str, float] = field(default_factory=dict)
    mails_received: int = 0
    mails_doubled: int = 0


class Job:
    """Run the main job against a running installation."""

    def __init__(
        self,
        rapport: Rapport,
        dataset: Dataset,
        mailbox: Mailbox,
        *,
        set_clock: Callable[[datetime], None],
        inbound_mail: tuple[str, int],
        view: View,
        seed: int,
    ) -> None:
        """set_clock: moves the business time of all services; inbound_mail: host and port where care takes mail."""
        self.rapport = rapport
        self.data = dataset
        self.mailbox = mailbox
        self.outcome = Outcome()
        self._set_clock = set_clock
        self._inbound = inbound_mail
        self._view = view
        self._random = random.Random(seed)
        self._names: dict[str, str] = {}
        self.segment_counts: dict[str, int] = {}

    def run(self, after_segments: Callable[[], None] = lambda: None) -> Outcome:
        """Run all steps; after_segments: called once the segments stand, before the first live order.

        Raises DemoFailed when a figure does not come out, RapportError when a call fails.
        """
        self._define()
        self._send_past()
        self._follow_segments()
        after_segments()
        self._campaign()
        self._live_orders()
        self._thank()
        self._replies()
        self.outcome.mails_received = len(self.mailbox.mails())
        self.outcome.mails_doubled = self.mailbox.doubled()
        return self.outcome

    @contextmanager
    def _step(self, name: str, total: int = 0) -> Iterator[Callable[[int], None]]:
        began = time.monotonic()
        with self._view.step(name, total) as advance:
            yield advance
        self.outcome.seconds[name] = round(time.monotonic() - began, 2)

    def _define(self) -> None:
        with self._step("definitions"):
            self.rapport.contacts.create_activity_type(activity_type=definitions.PAGE_VISITED)
            # A rule can only name what segmentation has heard of.
            self._caught_up("contacts", "segmentation")
            for key, (title, rule) in definitions.SEGMENTS.items():
                made = self.rapport.segmentation.create_segment(
                    segment_id=key, segment=segmentation.Segment(display_name=title, rule=rule)
                )
                self.rapport.segmentation.wait_operation(made.rebuild, timeout=PATIENCE_SECONDS)
            for key, contents in definitions.TEMPLATES.items():
                self.rapport.campaign.create_template(
                    template_id=key, template=campaign.Template(contents=contents)
                )
            for pool, prefix in ((definitions.CAMPAIGN_POOL, "BACK"), (definitions.THANKS_POOL, "THX")):
                self.rapport.campaign.create_coupon_pool(
                    coupon_pool_id=pool, coupon_pool=campaign.CouponPool(prefix=prefix, personal=True)
                )
            self._define_care()

    def _define_care(self) -> None:
        for agent in definitions.AGENTS:
            self.rapport.care.create_agent(
                agent_id=agent, agent=care.Agent(display_name=agent, available=True)
            )
        hours = [
            care.WeeklyInterval(
                week_day=day,
                start_time=timeofday_pb2.TimeOfDay(hours=begin),
                end_time=timeofday_pb2.TimeOfDay(hours=end),
            )
            for day in range(1, 7)
            for begin, end in ((8, 12), (13, 18))
        ]
        self.rapport.care.create_calendar(
            calendar_id="shop", calendar=care.Calendar(time_zone=self.data.time_zone, weekly_intervals=hours)
        )
        self.rapport.care.create_queue(
            queue_id="front",
            queue=care.Queue(
                display_name="Front desk",
                agents=[f"agents/{agent}" for agent in definitions.AGENTS],
                calendar="calendars/shop",
                default_queue=True,
                reply_channel=definitions.CHANNEL,
                sla_targets=[
                    care.SlaTarget(
                        first_response_minutes=definitions.FIRST_RESPONSE_MINUTES,
                        resolution_minutes=definitions.RESOLUTION_MINUTES,
                    )
                ],
            ),
        )

    def _send_past(self) -> None:
        data, source = self.data, self.data.name
        with self._step("customers", len(data.people)) as advance:
            self._names = send.people(self.rapport, data.people, source, advance)
        with self._step("products", len(data.items)) as advance:
            send.products(self.rapport, data.items, advance)
        with self._step("visits", len(data.visits)) as advance:
            send.visits(self.rapport, data.visits, self._names, source, advance)
        with self._step("orders and returns", len(data.sales)) as advance:
            send.past_sales(self.rapport, data.sales, self._names, data.currency, source, advance)
        with self._step("lines without customer", len(data.loose_lines)) as advance:
            send.loose_lines(self.rapport, data.loose_lines, data.currency, source, advance)

    def _follow_segments(self) -> None:
        with self._step("segments follow"):
            for service in ("contacts", "sales"):
                self._caught_up(service, "segmentation")
            followed = self._members()
        with self._step("segments rebuilt"):
            started = self.rapport.segmentation.rebuild_segments()
            result = self.rapport.segmentation.wait_operation(started.operation, timeout=PATIENCE_SECONDS)
            moved = {row.segment: (row.entered_count, row.left_count) for row in result.segments}
            if any(entered or left for entered, left in moved.values()):
                raise DemoFailed(f"segments followed the events to {followed}, but a rebuild moved {moved}")
        self.segment_counts = followed

    def _members(self) -> dict[str, int]:
        return {
            key: self.rapport.segmentation.get_segment(name=f"segments/{key}").segment.member_count
            for key in definitions.SEGMENTS
        }

    def _campaign(self) -> None:
        self.rapport.campaign.create_campaign(
            campaign_id=definitions.CAMPAIGN,
            campaign=campaign.Campaign(
                display_name="We miss you",
                segment="segments/lapsed",
                template="templates/come-back",
                channel=definitions.CHANNEL,
                topic="marketing",
                coupon_pool=f"couponPools/{definitions.CAMPAIGN_POOL}",
            ),
        )
        with self._step("campaign", self.segment_counts["lapsed"]) as advance:
            done = 0

            def draw(operation: object) -> None:
                nonlocal done
                completed = operation.progress.completed  # type: ignore[attr-defined]
                advance(completed - done)
                done = completed

            started = self.rapport.campaign.launch_campaign(name=f"campaigns/{definitions.CAMPAIGN}")
            self.rapport.campaign.wait_operation(started.operation, progress=draw, timeout=PATIENCE_SECONDS)
        counts = self.rapport.campaign.get_campaign(name=f"campaigns/{definitions.CAMPAIGN}").campaign.counts
        received = len(self.mailbox.mails())
        if received != counts.sent:
            raise DemoFailed(f"the ledger says {counts.sent} sent, the customers' server holds {received}")

    def _live_orders(self) -> None:
        self.rapport.campaign.create_journey(
            journey_id=definitions.JOURNEY,
            journey=campaign.Journey(
                display_name="Thank you",
                trigger=campaign.JourneyTrigger(event_type="order.placed", reentry_after=timedelta(0)),
                steps=[
                    campaign.JourneyStep(wait=campaign.WaitStep(duration=timedelta(days=1))),
                    campaign.JourneyStep(
                        send=campaign.SendStep(
                            template="templates/thanks",
                            channel=definitions.CHANNEL,
                            topic="transactional",
                            coupon_pool=f"couponPools/{definitions.THANKS_POOL}",
                        )
                    ),
                ],
            ),
        )
        self.rapport.campaign.activate_journey(name=f"journeys/{definitions.JOURNEY}")
        coupons = self._coupons_by_contact()
        with self._step("live orders", LIVE_ORDERS) as advance:
            for sale in live_orders(self.data, count=LIVE_ORDERS, seed=self._random.randrange(1 << 30)):
                contact = self._names[sale.customer]
                self.rapport.sales.place_order(
                    order=send.order(
                        sale,
                        contact,
                        self.data.currency,
                        self.data.name,
                        historical=False,
                        coupon=coupons.pop(contact, ""),
                    )
                )
                advance(1)
            self._caught_up("sales", "campaign")
            self._caught_up("sales", "segmentation")

    def _coupons_by_contact(self) -> dict[str, str]:
        """Return the coupon that each customer found in a mail of the campaign, as the ledger knows it."""
        origin = f"campaigns/{definitions.CAMPAIGN}"
        messages = self.rapport.campaign.list_messages.iterate(
            origin=origin, state=campaign.Message.STATE_SENT, page_size=1000
        )
        coupons = {message.contact: message.coupon_code for message in messages}
        texts = " ".join(mail.text for mail in self.mailbox.mails())
        missing = [code for code in coupons.values() if code not in texts]
        if missing:
            raise DemoFailed(f"{len(missing)} coupons of the ledger were in no mail, such as {missing[0]}")
        return coupons

    def _thank(self) -> None:
        with self._step("thank-you journey", LIVE_ORDERS) as advance:
            self._set_clock(self.data.now + timedelta(days=1, minutes=1))
            done = 0

            def thanked() -> bool:
                nonlocal done
                counts = self._journey().counts
                finished = counts.sent + counts.suppressed + counts.failed
                advance(finished - done)
                done = finished
                return finished == LIVE_ORDERS

            self._until("all purchases are thanked for", thanked)

    def _journey(self) -> campaign.Journey:
        journey: campaign.Journey = self.rapport.campaign.get_journey(
            name=f"journeys/{definitions.JOURNEY}"
        ).journey
        return journey

    def _replies(self) -> None:
        before = {mail.message_id for mail in self.mailbox.mails()}
        thanks = [mail for mail in self.mailbox.mails() if "THX" in mail.text]
        chosen = self._random.sample(thanks, min(REPLIES, len(thanks)))
        with self._step("replies become cases", len(chosen)) as advance:
            for mail in chosen:
                self._reply(mail, "It arrived late, and one piece is broken.")
                advance(1)
        cases = sorted(self.rapport.care.list_cases.iterate(page_size=1000), key=lambda case: case.number)
        if len(cases) != len(chosen):
            raise DemoFailed(f"{len(chosen)} replies became {len(cases)} cases")
        answered = min(ANSWERED, len(cases))
        with self._step("agents answer", answered) as advance:
            for case in cases[:answered]:
                self.rapport.care.add_case_message(
                    case=case.name,
                    message=care.CaseMessage(
                        kind=care.CaseMessage.KIND_REPLY,
                        text="We are sorry. A new one is on its way.",
                        author=case.assignee,
                    ),
                )
                self.rapport.care.resolve_case(name=case.name)
                advance(1)
            # Each answered case has an answer and a question how it was, both by mail.
            if not self.mailbox.wait_for(len(before) + 2 * answered, PATIENCE_SECONDS):
                raise DemoFailed(
                    f"only {len(self.mailbox.mails()) - len(before)} of {2 * answered} answers arrived"
                )
        with self._step("customers rate the answers", RATINGS) as advance:
            questions = [mail for mail in self.mailbox.mails() if "survey code" in mail.text]
            for mail in self._random.sample(questions, min(RATINGS, len(questions))):
                self._reply(mail, f"{self._random.randint(3, 5)}, thank you")
                advance(1)
            rated = self.rapport.care.get_care_summary().csat_answer_count
            if rated != min(RATINGS, len(questions)):
                raise DemoFailed(f"customers rated {RATINGS} answers, care knows of {rated}")
        with self._step("promises are checked"):
            self._set_clock(self.data.now + timedelta(days=8))
            left = len(cases) - answered
            self._until(
                f"{left} unanswered cases are late",
                lambda: self.rapport.care.get_care_summary().breached_count >= left,
            )

    def _reply(self, mail: Mail, text: str) -> None:
        answer = EmailMessage()
        answer["From"] = mail.recipient
        answer["To"] = mail.message["Reply-To"]
        answer["Subject"] = f"Re: {mail.message['Subject']}"
        answer["In-Reply-To"] = mail.message_id
        answer["Message-ID"] = f"<reply-{mail.message_id.strip('<>')}>"
        answer.set_content(text)
        with smtplib.SMTP(*self._inbound, timeout=30) as smtp:
            smtp.send_message(answer)

    def _caught_up(self, source: str, consumer: str) -> None:
        """Wait until a service has taken in all events that another has written so far."""

        def settled() -> bool:
            stream = self.rapport.events(source).get_stream()
            lags = [item.lag for item in stream.subscriptions if item.name.startswith(f"{consumer}.")]
            return not stream.unpositioned_events and bool(lags) and not any(lags)

        self._until(f"{consumer} has caught up with {source}", settled)

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise DemoFailed(f"gave up waiting after {PATIENCE_SECONDS:.0f} s until {what}")
            time.sleep(0.1)


__all__ = ["DemoFailed", "Job", "Outcome", "RapportError", "View"]
