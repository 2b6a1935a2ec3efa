"""Segments as code against a served segmentation service with its worker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from services.cli import asking
from services.cli.segments import code
from services.segmentation.context import service_of
from tests.integration.cli.conftest import Office
from tests.support.cli import Ran
from tests.support.segmentation import World, contact, contact_id

PEOPLE = [contact_id(number) for number in range(4)]
VN = 'contact.region_code == "VN"'


@pytest.fixture
def world(segmentation: Office) -> World:
    """Four contacts, of whom the first two come from Vietnam; no segments."""
    made = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    made.empty()
    made.deliver(*(contact(key, region_code="VN" if at < 2 else "NO") for at, key in enumerate(PEOPLE)))
    return made


@pytest.fixture
def apply(segmentation: Office, world: World, folder: Path) -> Callable[..., Ran]:
    """Run `rapport segments apply -f .` in an empty folder."""
    return lambda *more: segmentation.rapport("segments", "apply", "-f", ".", *more)


def put(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def chain() -> None:
    """Write three segments, of which each names the next, in the order in which they cannot be made one by one."""
    put("a.yaml", 'id: a\nrule: |\n  !in_segment("segments/b")\n')
    put("b.yaml", """id: b\nrule: 'in_segment("segments/c") || in_segment("segments/hand")'\n""")
    put("c.yaml", f"id: c\ndisplay_name: Người Việt\nrule: '{VN}'\n---\nid: hand\nkind: list\n")


def stored(office: Office) -> dict[str, Any]:
    return {
        item.name.removeprefix("segments/"): item for item in office.served.client.list_segments().segments
    }


def test_apply_shows_asks_applies_and_then_has_nothing_to_do(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    chain()
    dry = apply("--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "+ segments/c created: 0 members -> 2" in dry.out
    assert "+ segments/a created: 0 members -> known after the rebuild" in dry.out
    assert "+display_name: Người Việt" in dry.out
    assert '+  !in_segment("segments/b")' in dry.out
    assert "4 created, 0 changed, 0 deleted, 0 unchanged" in dry.out
    assert stored(segmentation) == {}
    unasked = apply()
    assert unasked.code == 1
    assert "--yes" in unasked.err
    assert stored(segmentation) == {}
    done = apply("--yes")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("done\n")
    assert world.everybody() == {
        "a": set(PEOPLE[2:]),
        "b": set(PEOPLE[:2]),
        "c": set(PEOPLE[:2]),
        "hand": set(),
    }
    before = stored(segmentation)
    again = apply("--yes")
    assert (again.code, again.err) == (0, "")
    assert again.out == "0 created, 0 changed, 0 deleted, 4 unchanged\nnothing to do\n"
    assert stored(segmentation) == before


def test_what_would_steer_the_terminal_is_shown_as_what_it_is(
    world: World, apply: Callable[..., Ran]
) -> None:
    put("a.yaml", """id: a\ndisplay_name: "red \\e[31m [bold]x[/bold]"\nrule: 'true'\n""")
    ran = apply("--dry-run")
    assert ran.code == 0
    assert "+display_name: red \\x1b[31m [bold]x[/bold]" in ran.out
    assert "\x1b" not in ran.out


def test_a_terminal_is_asked(segmentation: Office, world: World, apply: Callable[..., Ran]) -> None:
    put("c.yaml", f"id: c\nrule: '{VN}'\n")
    with patch.object(asking.sys.stdin, "isatty", return_value=True, create=True):
        with patch.object(asking.typer, "confirm", return_value=False):
            refused = apply()
        assert (refused.code, stored(segmentation)) == (1, {})
        assert "nothing was changed" in refused.err
        with patch.object(asking.typer, "confirm", return_value=True) as asked:
            assert apply().code == 0
        assert asked.call_count == 1
    assert set(stored(segmentation)) == {"c"}


def test_a_change_is_shown_as_a_diff_with_the_members_before_and_after(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    put("c.yaml", f"id: c\nrule: |-\n  {VN}\n  && true\n")
    apply("--yes")
    put("c.yaml", 'id: c\nrule: |-\n  contact.region_code == "NO"\n  && true\n')
    ran = apply("--yes")
    lines = [line.strip() for line in ran.out.splitlines()]
    assert lines[0] == "~ segments/c changed: 2 members -> 2"
    assert f"-  {VN}" in lines
    assert '+  contact.region_code == "NO"' in lines
    assert "&& true" in lines
    assert world.members("c") == set(PEOPLE[2:])
    put("c.yaml", 'id: c\ndisplay_name: New\nrule: |-\n  contact.region_code == "NO"\n  && true\n')
    assert "+display_name: New" in apply("--yes").out
    assert stored(segmentation)["c"].version == 2


def test_prune_deletes_what_no_file_names_in_reverse_order(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    chain()
    apply("--yes")
    Path("a.yaml").unlink()
    # What stays does not name what goes any more; the rule in force does until the rebuild has ended.
    Path("c.yaml").unlink()
    put("b.yaml", f"id: b\nrule: '!({VN})'\n")
    assert "1 changed, 0 deleted" in apply("--dry-run").out
    shown = apply("--prune", "--dry-run").out
    assert "- segments/c deleted: 2 members leave" in shown
    assert "1 changed, 3 deleted" in shown
    pruned = apply("--prune", "--yes")
    assert pruned.code == 0
    # Only segmentation is there.
    assert all("campaigns or journeys name segments/" in line for line in pruned.err.splitlines()), pruned.err
    assert world.everybody() == {"b": set(PEOPLE[2:])}
    Path("b.yaml").unlink()
    for arguments in (("--prune", "--yes"), ("--yes",)):
        empty = apply(*arguments)
        assert empty.code == 1
        assert "no segment is defined in ." in empty.err
    put("other.yaml", """id: other\nrule: 'in_segment("segments/b")'\n""")
    named = apply("--prune", "--yes")
    assert named.code == 1
    assert "segments/b is named by the rule of segments/other" in named.err
    assert "other.yaml:1: segments/other" in named.err
    assert set(stored(segmentation)) == {"b"}


def test_what_the_server_refuses_is_named_with_file_and_line(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    put("a.yaml", "# two lines\nid: a\nrule: |\n  contact.has_email\n  && contact.agee > 3\n")
    put("b.yaml", "id: b\nrule: 'contact.size == 1'\n")
    put("good.yaml", "id: good\nrule: 'true'\n")
    ran = apply("--yes")
    assert ran.code == 1
    assert "a.yaml:5: segments/a: " in ran.err
    assert "agee" in ran.err
    assert "b.yaml:2: segments/b: " in ran.err
    put("a.yaml", """id: a\nrule: 'in_segment("segments/b")'\n""")
    put("b.yaml", """---\nid: b\nrule: 'in_segment("segments/a")'\n""")
    ran = apply("--yes")
    assert ran.code == 1
    assert "SEGMENT_CYCLE" in ran.err
    assert "a.yaml:1: segments/a" in ran.err
    assert "b.yaml:2: segments/b" in ran.err
    put("b.yaml", "id: b\nrule: 1\nmore: x\n")
    ran = apply("--yes")
    assert "b.yaml:2: rule must be a text" in ran.err
    assert "b.yaml:3: unknown key 'more'" in ran.err
    assert stored(segmentation) == {}
    assert segmentation.rapport("segments", "apply", "-f", "missing.yaml", "--yes").code == 1


@pytest.mark.parametrize("what", ["changed", "made", "deleted"])
def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    segmentation: Office, world: World, apply: Callable[..., Ran], what: str
) -> None:
    client = segmentation.served.client
    put("a.yaml", f"id: a\nrule: '{VN}'\n---\nid: b\nrule: '{VN}'\n")
    if what != "made":
        apply("--yes")
        put("a.yaml", f"id: a\nrule: '!({VN})'\n---\nid: b\nrule: 'true'\n")

    def meanwhile(*_: Any) -> None:
        if what == "changed":
            client.update_segment(
                segment={"name": "segments/b", "display_name": "Theirs"},
                update_mask={"paths": ["display_name"]},
            )
        elif what == "made":
            client.create_segment(segment_id="b", segment={"rule": "false", "display_name": "Theirs"})
        else:
            client.delete_segment(name="segments/b")

    with patch.object(code.showing, "show", side_effect=meanwhile):
        ran = apply("--yes")
    assert ran.code == 1
    assert "segments/b" in ran.err
    assert "not applied: " in ran.err
    found = {id_: (item.display_name, item.rule) for id_, item in stored(segmentation).items()}
    # Nothing is half applied: a is as it was as well.
    assert (
        found
        == {
            "changed": {"a": ("a", VN), "b": ("Theirs", VN)},
            "made": {"b": ("Theirs", "false")},
            "deleted": {"a": ("a", VN)},
        }[what]
    )


def test_after_a_failure_in_the_midst_it_says_what_was_applied(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    put("gone.yaml", "id: gone\nrule: 'true'\n")
    apply("--yes")
    Path("gone.yaml").unlink()
    stranger = contact_id(99)
    put("a.yaml", f"id: a\nrule: '{VN}'\n---\nid: hand\nkind: list\nmembers: [contacts/{stranger}]\n")
    ran = apply("--yes", "--prune")
    assert ran.code == 1
    assert "applied: segments/a created" in ran.err
    assert "not applied: segments/hand, segments/gone" in ran.err
    assert f"contacts/{stranger}" in ran.err
    assert set(stored(segmentation)) == {"a", "hand", "gone"}
    ran = apply("--yes", "--prune", "--json")
    assert ran.code == 1
    told = {item["segment"]: item["done"] for item in json.loads(ran.out)["segments"]}
    assert told == {"segments/a": True, "segments/hand": False, "segments/gone": False}


def test_members_that_a_file_names_are_made_the_members_of_the_list(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    names = [f"contacts/{key}" for key in PEOPLE]
    put("hand.yaml", f"id: hand\nkind: list\nmembers: [{names[0]}, {names[1]}]\n")
    put("near.yaml", """id: near\nrule: 'in_segment("segments/hand")'\n""")
    ran = apply("--yes")
    assert "segments/hand created: 0 members -> 2" in ran.out
    assert world.members("near") == set(PEOPLE[:2])
    put("hand.yaml", f"id: hand\nkind: list\nmembers: [{names[1]}, {names[2]}]\n")
    ran = apply("--yes")
    assert "members: 1 added, 1 removed" in ran.out
    assert world.members("near") == world.members("hand") == set(PEOPLE[1:3])
    assert apply("--yes").out.endswith("nothing to do\n")
    put("hand.yaml", "id: hand\nkind: list\n")
    assert apply("--yes").out.endswith("nothing to do\n")
    assert world.members("hand") == set(PEOPLE[1:3])


def test_json_tells_what_would_change_and_what_was_done(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    chain()
    told = json.loads(apply("--dry-run", "--json").out)
    assert told["dry_run"] is True
    by_name = {item["segment"]: item for item in told["segments"]}
    assert by_name["segments/c"] == {
        "segment": "segments/c",
        "action": "created",
        "kind": "rule",
        "diff": ["@@ -0,0 +1,3 @@", "+display_name: Người Việt", "+rule:", f"+  {VN}"],
        "member_count": 0,
        "expected_member_count": 2,
        "members_added": 0,
        "members_removed": 0,
        "done": False,
    }
    assert by_name["segments/a"]["expected_member_count"] is None
    done = json.loads(apply("--yes", "--json").out)
    assert all(item["done"] for item in done["segments"])
    again = json.loads(apply("--yes", "--json").out)
    assert {item["action"] for item in again["segments"]} == {"unchanged"}


def test_export_then_apply_is_the_identity(
    segmentation: Office, world: World, apply: Callable[..., Ran]
) -> None:
    client = segmentation.served.client
    rules = {
        "no": ("NO", 'contact.region_code == "NO"'),
        "quotes": (
            'It\'s "q"',
            "contact.locality == 'a\"b' || contact.ward == \"c'd\\\\\" || contact.ward == '#'",
        ),
        "lines": ("a: b\n- c ", f"\n  {VN}   \n\n\t&& true // trailing\n"),
        "viet": (
            "Khách hàng thân thiết",
            'fold(contact.locality) == fold("Thừa Thiên Huế")\n  && !in_segment("segments/no")',
        ),
        "empty": ("", "true"),
    }
    for id_, (name, rule) in rules.items():
        client.create_segment(segment_id=id_, segment={"display_name": name, "rule": rule})
    client.create_segment(segment_id="hand", segment={"kind": "KIND_LIST", "display_name": "Tay"})
    client.add_members(segment="segments/hand", contacts=[f"contacts/{key}" for key in PEOPLE])
    ran = segmentation.rapport("segments", "export", ".")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "6 segments: 6 files written, 0 as they were\n"
    assert sorted(item.name for item in Path().iterdir()) == [
        f"{id_}.yaml" for id_ in sorted([*rules, "hand"])
    ]
    assert "members" not in Path("hand.yaml").read_text(encoding="utf-8")
    before = stored(segmentation)
    assert apply("--yes", "--prune").out.endswith("nothing to do\n")
    assert [item.etag for item in stored(segmentation).values()] == [item.etag for item in before.values()]
    assert segmentation.rapport("segments", "export", ".").out.startswith("6 segments: 0 files written")
    # And on an installation that knows the same contacts but no segments.
    told = json.loads(segmentation.rapport("segments", "export", "out/full", "--members", "--json").out)
    assert {Path(item["file"]).name for item in told["files"] if item["written"]} == {
        item.name for item in Path().glob("*.yaml")
    }
    for id_ in ("viet", *(id_ for id_ in rules if id_ != "viet"), "hand"):
        client.delete_segment(name=f"segments/{id_}")
    ran = segmentation.rapport("segments", "apply", "-f", "out/full", "--yes")
    assert (ran.code, ran.err) == (0, "")
    after = stored(segmentation)
    assert {id_: (item.display_name, item.rule, item.kind) for id_, item in after.items()} == {
        id_: (item.display_name, item.rule, item.kind) for id_, item in before.items()
    }
    assert world.members("hand") == set(PEOPLE)
    client.delete_segment(name="segments/empty")
    ran = segmentation.rapport("segments", "export", "out/full")
    assert "out/full/empty.yaml is of no segment and stays" in ran.out
    shutil.rmtree("out")
