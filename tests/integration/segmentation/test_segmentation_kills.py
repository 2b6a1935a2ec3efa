"""The worker or PostgreSQL is killed in the midst of each kind of upkeep: nothing is lost, nothing happens twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.kit.postgres import EmbeddedPostgres
from tests.integration.segmentation.kills import Scene, people_events, points
from tests.support.memory import memory_folder
from tests.support.postgres import DatabaseFactory, Originals
from tests.support.segmentation import NOW, contact_id, days

MakeScene = Callable[[str], Scene]

VICTIMS = [("worker",), ("postmaster", "server")]
both = pytest.mark.parametrize("victims", VICTIMS, ids=["worker", "postgres"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server with the settings of a real one, so that it keeps what was committed; nobody else notices its end."""
    settings = {"shared_buffers": "64MB", "max_prepared_transactions": "20"}
    with memory_folder() as root:
        folder = tmp_path_factory.mktemp("server") if root is None or os.geteuid() == 0 else root
        place = {} if root is None else {"root": root}
        made = EmbeddedPostgres(folder / "postgres", settings=settings, throwaway=True, **place)
        made.start()
        try:
            yield made
        finally:
            made.destroy()


@pytest.fixture(scope="module")
def server_originals(server: EmbeddedPostgres) -> Originals:
    """What databases on the server are copied from; they go with it."""
    return Originals(server.admin_url)


@pytest.fixture
def scene(tmp_path: Path, server: EmbeddedPostgres, server_originals: Originals) -> Iterator[Scene]:
    """A service whose segments have nobody yet, and whose worker was not started."""
    server.start()  # if a test that failed left it dead
    made = Scene(tmp_path, server, DatabaseFactory(server.admin_url, server_originals))
    try:
        made.define()
        yield made
    finally:
        made.close()


@both
def test_increments_from_a_stream(scene: Scene, victims: tuple[str, ...]) -> None:
    draw = random.Random(11)
    first, later = people_events(draw, [contact_id(number) for number in range(300)])
    scene.publish(first)
    scene.publish(later)
    # Each of these is noted as processed, and stored.
    events = [item for item in first + later if item.type in ("activity.recorded", "order.placed")]
    numbers = scene.gates.close(points(draw, 2 * len(events), 3))
    scene.stack.start_worker()
    for _ in scene.kill_at(numbers, victims):
        pass
    scene.check()
    scene.check_sent()


@both
def test_windows_that_lapse(scene: Scene, victims: tuple[str, ...]) -> None:
    draw = random.Random(12)
    people = [contact_id(number) for number in range(700)]
    with scene.world() as seg:
        for part in people_events(draw, people):
            seg.deliver(*part)
        lapsing = sum(len(seg.members(id_)) for id_ in ("recent", "newcomers", "browsers"))
    everything = "SELECT md5(string_agg(p::text, '' ORDER BY p::text)) FROM {} AS p"
    before = [scene.ask(everything.format(name)) for name in ("profile", "event")]
    scene.stack.start_worker()
    # Whoever lapses is removed, gets into the history, and is told.
    numbers = scene.gates.close(points(draw, 3 * lapsing, 3))
    now = NOW + days(61)
    scene.stack.set_clock(now)
    for _ in scene.kill_at(numbers, victims):
        # Time passes while everybody is dead, too.
        now += days(9)
        scene.stack.set_clock(now)
    scene.check(now)
    assert [scene.ask(everything.format(name)) for name in ("profile", "event")] == before


@both
def test_a_rebuild_of_segments(scene: Scene, victims: tuple[str, ...]) -> None:
    """Segments whose members were lost are settled in one pass; then new rules are put in force one by one."""
    draw = random.Random(13)
    people = [contact_id(number) for number in range(1000)]
    with scene.world() as seg:
        for part in people_events(draw, people):
            seg.deliver(*part)
        sizes = seg.sizes()
    scene.lose_members()
    scene.stack.start_worker()
    # There are two batches, each of so many rows: whoever enters is written, told, and written anew at the commit.
    members = sum(sizes.values())
    batch = (3 * members + len(people)) // 2
    once = int(draw.uniform(0.1, 0.5) * batch)
    again = once + batch + int(draw.uniform(0.1, 0.5) * batch)
    at_commit = again + int(draw.uniform(0.8, 0.9) * batch)
    rebuild(scene, [once, again, at_commit], victims)
    assert scene.members_at_kills[0] == 0
    assert all(0 < count < members for count in scene.members_at_kills[1:]), scene.members_at_kills

    scene.redefine({"loyal": "true", "vietnam": "true", "lapsed": "contact.order_count >= 0"})
    entering = 2 * len(people) - sizes["loyal"] - sizes["vietnam"]
    rebuild(scene, points(draw, 2 * entering, 2), victims)
    scene.check()


def rebuild(scene: Scene, at: list[int], victims: tuple[str, ...]) -> None:
    """Rebuild all segments, with kills at some rows."""
    scene.begin()
    numbers = scene.gates.close(at)
    operation = scene.stack.api.rebuild_segments().operation
    for _ in scene.kill_at(numbers, victims):
        pass
    scene.check_counts(operation, kills=len(at))
