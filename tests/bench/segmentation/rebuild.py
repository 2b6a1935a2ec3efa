"""Rebuilds: one segment at a time, and 200 in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from services.segmentation.rules import CompiledRule, pass_statement
from services.segmentation.rules.tables import membership
from services.segmentation.store import bounds, differing, segments, sweeps
from services.segmentation.usecases.rebuilding import rebuild_one
from tests.bench.machine import cpu_seconds
from tests.bench.report import Figure
from tests.bench.segmentation.by_hand import hand_pass, hand_rebuild
from tests.bench.segmentation.data import bare
from tests.bench.segmentation.many import rules as rules
from tests.bench.segmentation.rules import SINGLE
from tests.support.segmentation import NOW, World

ROUNDS = 5


def measure(seg: World, postmaster: int, say: Callable[[str], None]) -> list[Figure]:
    """Rebuild single segments of which one member in a hundred is astray, by us and by hand, in turns."""
    figures = []
    for item in SINGLE:
        id_ = item.name.replace(" ", "-")
        started = time.monotonic()
        seg.define(id_, item.rule)
        with seg.db.read() as connection:
            number = connection.exec_driver_sql(
                "SELECT number FROM segment WHERE id = %s", (id_,)
            ).scalar_one()
        say(
            f"{item.name}: {len(seg.members(id_)):,} members, first built in {time.monotonic() - started:.1f} s"
        )
        with seg.db.transaction() as connection:
            disturb(connection, number)
        ways = {
            "ours": lambda connection, id_=id_: rebuild_one(seg.service, connection, id_),
            "by hand": lambda connection, item=item, number=number: hand_rebuild(connection, item, number),
        }
        cost: dict[str, list[float]] = {name: [] for name in ways}
        found = {}
        for _ in range(ROUNDS):
            for name, run in ways.items():
                with seg.db.engine.connect() as connection:
                    before = cpu_seconds(postmaster)
                    run(connection)
                    cost[name].append(cpu_seconds(postmaster) - before)
                    found[name] = fingerprint(connection, number)
                    connection.rollback()
        # The ceiling must do the same work, or it is none.
        assert found["ours"] == found["by hand"], (item.name, found)
        say(f"{item.name}: " + ", ".join(f"{name} {min(seconds):.2f} s" for name, seconds in cost.items()))
        figures.append(
            Figure(f"rebuild: {item.name}", min(cost["ours"]), min(cost["by hand"]), "s of CPU", 1.3)
        )
        seg.rebuild(id_)
    return figures


def disturb(connection: Connection, number: int) -> None:
    """Put one member in a hundred out, and as many others in."""
    connection.exec_driver_sql(
        "DELETE FROM membership WHERE segment_number = %(number)s AND get_byte(uuid_send(contact_id), 15) < 2",
        {"number": number},
    )
    connection.exec_driver_sql(
        "INSERT INTO membership (segment_number, contact_id, enter_time) "
        "SELECT %(number)s, contact_id, %(now)s FROM profile "
        "WHERE get_byte(uuid_send(contact_id), 15) = 255 ON CONFLICT DO NOTHING",
        {"number": number, "now": NOW},
    )


def fingerprint(connection: Connection, number: int) -> tuple[int, ...]:
    """Return what tells two memberships apart: how many, a sum over their hashes, the size that is kept, how many
    memberships are past, and how many events were told.
    """
    members = connection.exec_driver_sql(
        "SELECT count(*), coalesce(sum(uuid_hash(contact_id)::bigint), 0) FROM membership WHERE segment_number = %s",
        (number,),
    ).one()
    (size,) = connection.exec_driver_sql(
        "SELECT coalesce(sum(delta), 0)::bigint FROM segment_size WHERE segment_number = %s", (number,)
    ).one()
    (past,) = connection.exec_driver_sql("SELECT count(*) FROM membership_past").one()
    (told,) = connection.exec_driver_sql("SELECT count(*) FROM outbox").one()
    return (*members, size, past, told)


def measure_pass(
    seg: World, ours: Sequence[tuple[int, CompiledRule]], postmaster: int, say: Callable[[str], None]
) -> list[Figure]:
    """Judge everybody by many rules in one pass, compare with what is stored, and note who differs."""
    count = len(ours)
    numbers = [number for number, _ in ours]
    with seg.db.transaction() as connection:
        for number in numbers[:10]:
            disturb(connection, number)
    cost: dict[str, list[float]] = {"ours": [], "by hand": []}
    found = {}
    for _ in range(2):
        with seg.db.engine.connect() as connection:
            before = cpu_seconds(postmaster)
            look(connection, ours)
            cost["ours"].append(cpu_seconds(postmaster) - before)
            found["ours"] = connection.exec_driver_sql("SELECT count(*) FROM differing").scalar_one()
            connection.rollback()
        with seg.db.engine.connect() as connection:
            before = cpu_seconds(postmaster)
            found["by hand"] = hand_pass(connection, numbers)
            cost["by hand"].append(cpu_seconds(postmaster) - before)
            connection.rollback()
    assert found["ours"] == found["by hand"], found
    say(
        f"{count} in one pass: " + ", ".join(f"{name} {min(seconds):.1f} s" for name, seconds in cost.items())
    )
    seg.rebuild()
    return [Figure(f"{count} segments in one pass", min(cost["ours"]), min(cost["by hand"]), "s of CPU", 1.5)]


def look(connection: Connection, many: Sequence[tuple[int, CompiledRule]]) -> None:
    """Note who differs from what many rules say, slice by slice, as a rebuild does."""
    finder = differing.Finder(pass_statement(many).select, [number for number, _ in many])
    cut = sweeps.Cut()
    while (some := cut.next(connection)) is not None:
        finder.find(connection, some, NOW, bounds.UNBOUNDED)


def put_in_force(seg: World, wanted: Mapping[str, str]) -> list[tuple[int, CompiledRule]]:
    """Define segments and make their rules those in force, with the members and the schedule that they give."""
    for id_, rule in wanted.items():
        seg.define(id_, rule, build=False)
    with seg.db.transaction() as connection:
        connection.exec_driver_sql("UPDATE segment SET active_version = version, state = 'ready'")
        segments.bump(connection, rules=True)
    with seg.db.transaction() as connection:
        plan = seg.service.plan(connection)
        found = sorted(
            ((rule.number, plan.compiled[rule.number]) for rule in plan.rules.values() if rule.id in wanted),
            key=lambda pair: pair[0],
        )
        verdicts = pass_statement(found).select.subquery("verdicts")
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE verdict (contact_id uuid, segments int[], next_change timestamptz) ON COMMIT DROP"
        )
        table = sa.table("verdict", *(sa.column(name) for name in ("contact_id", "segments", "next_change")))
        connection.execute(
            sa.insert(table).from_select(list(table.c.keys()), sa.select(verdicts)),
            {"now": NOW, "first": sweeps.FIRST, "last": sweeps.LAST},
        )
        run = connection.exec_driver_sql
        run("ANALYZE verdict")
        with bare(connection, membership):
            run(
                "INSERT INTO membership (segment_number, contact_id, enter_time) "
                "SELECT s.number, v.contact_id, %(now)s FROM verdict AS v, unnest(v.segments) AS s(number)",
                {"now": NOW},
            )
        run(
            "INSERT INTO segment_size (segment_number, delta) SELECT segment_number, count(*) FROM membership "
            "WHERE segment_number = ANY(%(numbers)s::int[]) GROUP BY 1",
            {"numbers": [number for number, _ in found]},
        )
        run(
            "UPDATE contact_state AS s SET next_change = LEAST(s.next_change, v.next_change) FROM verdict AS v "
            "WHERE s.contact_id = v.contact_id AND v.next_change IS NOT NULL"
        )
    with seg.db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE membership, contact_state, segment_size")
    return found
