"""What segmentation tells of itself: traces through a batch, lateness, contacts that wait."""

from __future__ import annotations

import sqlalchemy as sa

from services.kit.telemetry import spans
from services.segmentation.models import kit
from services.segmentation.store import waiting
from services.segmentation.usecases.figures import upkeep_figures
from tests.support.segmentation import NOW, World, contact, contact_id, days, order
from tests.support.spans import keeping_spans, trace_of

AN, BINH, CHI = (contact_id(number) for number in (1, 2, 3))


def test_each_entry_continues_the_trace_of_its_contact(seg: World) -> None:
    seg.define("buyers", "events.order_placed.size() > 0")
    seg.define("others", "events.order_placed.size() == 7")
    seg.deliver(contact(AN), contact(BINH), contact(CHI))
    events = [order(AN, NOW), order(BINH, NOW), order(CHI, NOW)]
    traces = {AN: trace_of("a"), BINH: trace_of("b"), CHI: trace_of("c", sampled=False)}
    # Whose memberships do not change leaves no span.
    unchanged = contact_id(4)
    with keeping_spans() as kept:
        causes = [*((str(key), trace) for key, trace in traces.items()), (str(unchanged), trace_of("d"))]
        call, links = spans.call_for("segmentation.test", causes)
        with spans.work(call, links=links):
            seg.deliver(*events)
    outbox = kit.outbox
    with seg.db.read() as connection:
        query = sa.select(outbox.c.contact_id, outbox.c.traceparent).where(outbox.c.type == "segment.entered")
        rows = connection.execute(query.where(outbox.c.subject == "segments/buyers")).all()
    entered = {row.contact_id: row.traceparent for row in rows}
    assert entered.keys() == {AN, BINH, CHI}
    assert entered[CHI] == call.traceparent
    by_contact = {span.attributes["rapport.contact"]: span for span in kept}
    assert by_contact.keys() == {str(AN), str(BINH)}
    for key in (AN, BINH):
        span = by_contact[str(key)]
        assert (span.traceparent, span.parent) == (entered[key], traces[key])
        assert span.traceparent[:36] == traces[key][:36]


def figures(seg: World) -> dict[str, float]:
    with seg.db.read() as connection:
        found = list(upkeep_figures(connection, seg.clock.now()))
    return {family.name: sample.value for family in found for sample in family.samples}


def test_lateness_and_waiting_contacts_are_shown(seg: World) -> None:
    seg.define("fresh", "events.order_placed.exists(o, now - o.time < days(1))")
    seg.deliver(contact(AN), order(AN, NOW))
    nothing = {"rapport_segmentation_upkeep_delay_seconds": 0, "rapport_segmentation_waiting_contacts": 0}
    assert figures(seg) == nothing
    seg.clock.instant = NOW + days(2)
    with seg.db.transaction() as connection:
        waiting.add(connection, [AN, BINH], historical=False, now=NOW)
    assert figures(seg) == {
        "rapport_segmentation_upkeep_delay_seconds": 86_400,
        "rapport_segmentation_waiting_contacts": 2,
    }
