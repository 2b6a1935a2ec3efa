"""`rapport campaigns apply` and `export` against the served campaign service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rapport.campaign.v1 import campaign_pb2

from services.cli.campaigns import code
from tests.support.campaign_desk import Desk, draft
from tests.support.cli import Ran, run_cli

GUIDE = Path(code.__file__).parents[2] / "campaign" / "AS_CODE.md"
_FILE = re.compile(r"^`([a-z/-]+\.(?:yaml|txt))`\n\n```(?:yaml|text)\n(.*?)^```$", re.M | re.S)
Command = Callable[..., Ran]


@pytest.fixture
def rapport(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `rapport campaigns` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    desk.directory.add(segment="segments/all")
    environment = {
        "RAPPORT_ADDRESS": f"127.0.0.1:{desk.served.ports.api}",
        "RAPPORT_EVENTS_ADDRESS": f"127.0.0.1:{desk.served.ports.events}",
        "RAPPORT_TOKEN": desk.served.token,
    }
    return lambda *words: run_cli("campaigns", *words, environment=environment)


def put(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def example(folder: str = "marketing") -> list[str]:
    """Write the files of the guide and return their names."""
    found = _FILE.findall(GUIDE.read_text(encoding="utf-8"))
    for name, text in found:
        put(f"{folder}/{name}", text)
    return [name for name, _ in found]


def everything(api: Any) -> list[Any]:
    return [
        list(api.list_templates().templates),
        list(api.list_journeys().journeys),
        list(api.list_campaigns().campaigns),
        list(api.list_send_policies().policies),
        list(api.list_rate_limits().limits),
    ]


def test_the_example_of_the_guide_is_applied_and_then_there_is_nothing_to_do(
    api: Any, rapport: Command
) -> None:
    assert len(example()) == 5
    dry = rapport("apply", "-f", "marketing", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    assert "5 created, 0 changed, 0 deleted, 0 unchanged" in dry.out
    assert "+ journeys/after-purchase created: events start it from then on" in dry.out
    assert "+    Thank you for your order." in dry.out
    assert everything(api) == [[], [], [], [], []]
    unasked = rapport("apply", "-f", "marketing")
    assert unasked.code == 1
    assert "--yes" in unasked.err
    done = rapport("apply", "-f", "marketing", "--yes")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("done\n")
    journey = api.get_journey(name="journeys/after-purchase").journey
    assert journey.active
    assert [step.next for step in journey.steps] == ["thank", "answer", "end", "end"]
    assert journey.steps[2].wait_event.timeout_next == "remind"
    links = api.get_link_settings(origin="campaigns/spring").settings
    assert (links.utm_source, links.HasField("track_clicks"), links.track_opens) == (
        "newsletter",
        False,
        False,
    )
    text = api.get_template(name="templates/thanks").template.contents[0].text
    assert text == Path("marketing/templates/thanks.txt").read_text(encoding="utf-8")
    [policy] = api.list_send_policies().policies
    assert (policy.quiet_hours[0].start_minute, policy.quiet_hours[0].end_minute) == (1260, 480)
    stored = everything(api)
    again = rapport("apply", "-f", "marketing", "--yes")
    assert again.out == "0 created, 0 changed, 0 deleted, 5 unchanged\nnothing to do\n"
    assert everything(api) == stored
    # What was exported says the same as what was applied.
    assert rapport("export", "out").out == "5 definitions: 5 files written, 0 as they were\n"
    exported = rapport("apply", "-f", "out", "--yes")
    assert exported.out == "0 created, 0 changed, 0 deleted, 5 unchanged\nnothing to do\n"
    assert everything(api) == stored


def test_an_export_has_sources_beside_and_keeps_files_that_say_the_same(api: Any, rapport: Command) -> None:
    awkward = "\n  Hi {{ contact.given_name }}\r\n\ttab: #no\n\n"
    html = '<p>Chào "bạn"</p>\n'
    contents = [
        {"subject": "Hi: #1", "text": awkward, "html": html},
        {"language_code": "zh-Hans", "subject": "你好", "text": "你好"},
    ]
    api.create_template(template_id="odd", template={"display_name": "NO", "contents": contents})
    rapport("export", "out")
    assert Path("out/templates/odd.txt").read_bytes().decode() == awkward
    assert Path("out/templates/odd.html").read_text(encoding="utf-8") == html
    assert Path("out/templates/odd.zh-Hans.txt").read_text(encoding="utf-8") == "你好"
    assert rapport("apply", "-f", "out", "--dry-run").out.endswith("1 unchanged\nnothing to do\n")
    file = Path("out/templates/odd.yaml")
    file.write_text("# kept\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    put("out/stray.yaml", "kind: rate_limit\nid: x\nchannels: [email.smtp]\ncount: 1\n")
    told = rapport("export", "out").out
    assert "1 definitions: 0 files written, 1 as they were" in told
    assert "out/stray.yaml is of nothing exported and stays" in told
    assert file.read_text(encoding="utf-8").startswith("# kept\n")
    Path("out/templates/odd.txt").write_text("Other", encoding="utf-8")
    assert json.loads(rapport("export", "out", "--json").out)["files"] == [
        {"file": "out/templates/odd.yaml", "written": True}
    ]
    assert Path("out/templates/odd.txt").read_bytes().decode() == awkward


def test_every_kind_of_step_comes_back_as_it_was(api: Any, rapport: Command) -> None:
    put("t.yaml", "kind: template\nid: hello\ncontents: [{subject: Hi, text: Hi}]\n")
    put(
        "j.yaml",
        """\
kind: journey
id: all
display_name: Tất cả
trigger:
  event_type: date.reached
  date: {attribute: birth_date, offset_days: -7, yearly: true, local_time: "08:30", time_zone: Europe/Berlin}
  reentry_after_leaving: true
goals:
  - event_type: order.placed
    condition: double(event.amount) > 10.0
steps:
  - id: split
    split: {parts: [{percent: 12.5, next: b}, {percent: 50, next: attribute}]}
  - id: b
    branch:
      cases:
        - rule: |-
            contact.region_code == "VN"
            || true
          next: tags
  - id: attribute
    set_attribute: {attribute: since, timestamp_value: "2026-03-01T00:00:00Z"}
  - id: zero
    set_attribute: {attribute: visits, int_value: 0}
  - id: no
    set_attribute: {attribute: vip, bool_value: false}
  - id: tags
    modify_tags: {add_tags: ["a", "1"]}
  - wait: {duration: 1w2d3h4m5.5s}
  - wait_until: {local_time: "00:00"}
  - send: {template: templates/hello, channel: email.smtp, topic: marketing}
  - open_case: {subject: "Ask: them", text: "1\\n2", queue: queues/help, priority: high}
  - open_task: {title: Ring, assignee: agents/ana, due_after: 2d}
""",
    )
    assert rapport("apply", "-f", ".", "--yes").err == ""
    stored = api.get_journey(name="journeys/all").journey
    assert stored.steps[3].set_attribute.WhichOneof("value") == "int_value"
    assert stored.steps[6].wait.duration.ToTimedelta().total_seconds() == 9 * 86400 + 3 * 3600 + 245.5
    rapport("export", "out")
    assert "1w" not in (text := Path("out/journeys/all.yaml").read_text(encoding="utf-8"))
    assert "duration: 9d3h4m5.5s" in text
    assert rapport("apply", "-f", "out", "--dry-run").out.endswith("2 unchanged\nnothing to do\n")


def test_errors_name_file_line_and_field(api: Any, rapport: Command) -> None:
    put(
        "bad.yaml",
        "kind: journey\nid: x\nsteps:\n  - wait: {duration: soon}\n    send: {}\n  - next: 5\nnext: 1\n",
    )
    put(
        "worse.yaml",
        "kind: letter\n---\nkind: template\nid: Y\n---\n- a\n---\nkind: rate_limit\nid: r\ncount: true\n",
    )
    ran = rapport("apply", "-f", ".", "--dry-run")
    assert ran.code == 1
    assert [line.strip().split(": ", 1) for line in ran.err.splitlines()[1:]] == [
        [
            "bad.yaml:4",
            "journey.steps[0].wait.duration: 'soon' is no duration: write weeks, days, hours, minutes "
            "and seconds such as 2w, 3d, 1h30m or 45s",
        ],
        ["bad.yaml:5", "journey.steps[0] has wait already: it is one or the other"],
        [
            "bad.yaml:6",
            "journey.steps[1].next must be a text, is a number; put it in quotes if it is meant as a text",
        ],
        [
            "bad.yaml:7",
            "unknown key 'next' in journey; there are display_name, trigger, steps, exits, goals, hold_out_percent",
        ],
        [
            "worse.yaml:1",
            "kind must be one of template, journey, campaign, send_policy, rate_limit, is 'letter'",
        ],
        ["worse.yaml:4", "id: 'Y' is no id: 1-63 lower-case letters, digits, '-' and '_', a letter first"],
        ["worse.yaml:6", "expected a definition: keys and values such as `kind: journey`"],
        [
            "worse.yaml:10",
            "rate_limit.count must be a number, is true or false; put it in quotes if it is meant as a text",
        ],
    ]


def test_what_the_server_refuses_is_told_with_its_place(api: Any, rapport: Command) -> None:
    put("t/a.txt", "one\ntwo {% if %}\n")
    put(
        "t/a.yaml",
        "kind: template\nid: a\ncontents:\n  - subject: Hi\n    text_file: a.txt\n    html: |\n"
        "      <p>\n      {{ }}\n",
    )
    put(
        "t/j.yaml",
        """\
kind: journey
id: j
trigger: {event_type: order.placed}
steps:
  - id: one
    send:
      template: templates/none
      channel: email.smtp
      topic: marketing
  - id: lost
    wait: {duration: 0s}
---
kind: campaign
id: c
segment: segments/all
template: templates/none
channel: email.smtp
topic: marketing
schedule:
  start_time: 2026-04-01T09:00
  time_zone: Mars/Olympus
""",
    )
    ran = rapport("apply", "-f", "t", "--yes")
    assert ran.code == 1
    for part in (
        "t/a.txt:2: templates/a: template.contents[0].text: text, line 2:",
        "t/j.yaml:7: journeys/j: journey.steps[0].send.template: step 'one': templates/none does not exist",
        "t/j.yaml:11: journeys/j: journey.steps[1].wait.duration: step 'lost': must be positive",
        "t/j.yaml:13: campaigns/c: campaign: templates/none does not exist",
    ):
        assert part in ran.err
    assert everything(api) == [[], [], [], [], []]
    put("t/a.txt", "one\n")
    put("t/j.yaml", Path("t/j.yaml").read_text().replace("templates/none", "templates/a"))
    ran = rapport("apply", "-f", "t", "--yes")
    assert "t/a.yaml:8: templates/a: template.contents[0].html: html, line 2:" in ran.err
    assert "t/j.yaml:13: campaigns/c: campaign: names templates/a, which is refused" in ran.err
    put("t/a.yaml", "kind: template\nid: a\ncontents: [{subject: Hi, text_file: a.txt}]\n")
    ran = rapport("apply", "-f", "t", "--yes")
    assert "t/j.yaml:21: campaigns/c: schedule.time_zone:" in ran.err
    # What the request's own rules refuse has its place too.
    put("t/j.yaml", "kind: campaign\nid: c\nsegment: segments/all\nchannel: email.smtp\ntopic: marketing\n")
    assert "t/j.yaml:1: campaigns/c: campaign.template:" in rapport("apply", "-f", "t", "--yes").err


def test_a_name_or_a_segment_that_is_not_there_is_told_with_its_place(api: Any, rapport: Command) -> None:
    put(
        "t/a.yaml",
        "kind: template\nid: a\ncontents:\n  - subject: Hi\n    text_file: a.txt\n    html: |\n"
        "      <p>\n      {{ frist_name }}</p>\n",
    )
    put("t/a.txt", "one\ntwo {{ contact.frist_name | default('friend') }}\n")
    campaign = "channel: email.smtp\ntopic: marketing\ntemplate: templates/b\n"
    put("t/c.yaml", f"kind: campaign\nid: c\nsegment: segments/al\n{campaign}")
    put("t/b.yaml", "kind: template\nid: b\ncontents:\n  - {subject: Hi, text: 'Code: {{ coupon }}'}\n")
    put("t/d.yaml", f"kind: campaign\nid: d\nsegment: segments/all\n{campaign}")
    ran = rapport("apply", "-f", "t", "--yes")
    assert ran.code == 1
    for part in (
        "t/a.txt:2: templates/a: template.contents[0].text: text, line 2: nothing is named 'contact.frist_name', so it "
        "would be empty: did you mean contact.given_name?",
        "t/a.yaml:8: templates/a: template.contents[0].html: html, line 2: nothing is named 'frist_name'",
        "t/c.yaml:3: campaigns/c: campaign.segment: segments/al does not exist: did you mean segments/all?",
        "t/d.yaml:6: campaigns/d: campaign.template: templates/b, text, line 1: 'coupon' would be empty, as there is "
        "no coupon without a coupon pool",
    ):
        assert part in ran.err
    assert everything(api) == [[], [], [], [], []]


def test_prune_deletes_policies_and_limits_that_no_file_names(api: Any, rapport: Command) -> None:
    example()
    rapport("apply", "-f", "marketing", "--yes")
    put(
        "marketing/limits.yaml",
        "kind: send_policy\nid: days\ntopic: marketing\nquiet_hours: [{start: '00:00', end: '06:00'}]\n",
    )
    taken = rapport("apply", "-f", "marketing", "--yes")
    assert "nights is the policy of channel '' and topic 'marketing' already" in taken.err
    Path("marketing/journeys/after-purchase.yaml").unlink()
    shown = rapport("apply", "-f", "marketing", "--prune", "--dry-run")
    assert shown.code == 0, shown.err
    assert "- rateLimits/gmail deleted" in shown.out
    told = json.loads(rapport("apply", "-f", "marketing", "--prune", "--yes", "--json").out)
    done = {item["name"]: (item["action"], item["done"]) for item in told["definitions"]}
    assert done["sendPolicies/days"] == ("created", True)
    assert done["sendPolicies/nights"] == ("deleted", True)
    assert [item.name for item in api.list_send_policies().policies] == ["sendPolicies/days"]
    assert list(api.list_rate_limits().limits) == []
    assert len(api.list_journeys().journeys) == 1


def test_wrong_usage_and_empty_folders(api: Any, rapport: Command) -> None:
    Path("empty").mkdir()
    ran = rapport("apply", "-f", "empty", "--prune", "--yes")
    assert (ran.code, "nothing is defined in empty" in ran.err) == (1, True)
    assert rapport("apply", "-f", "empty", "--json").code == 2
    assert rapport("apply", "-f", "missing", "--yes").code == 1


def test_launched_campaigns_are_exported_when_asked_for(desk: Desk, api: Any, rapport: Command) -> None:
    desk.template()
    desk.campaign("done")
    desk.launch("campaigns/done")
    api.create_campaign(campaign_id="draft", campaign=draft())
    rapport("export", "out")
    assert [item.name for item in sorted(Path("out/campaigns").iterdir())] == ["draft.yaml"]
    rapport("export", "out", "--launched")
    assert [item.name for item in sorted(Path("out/campaigns").iterdir())] == ["done.yaml", "draft.yaml"]
    assert rapport("apply", "-f", "out", "--yes").out.endswith("3 unchanged\nnothing to do\n")
    put("out/campaigns/done.yaml", Path("out/campaigns/done.yaml").read_text().replace("marketing", "news"))
    ran = rapport("apply", "-f", "out", "--yes")
    assert "out/campaigns/done.yaml:1: campaigns/done: campaign: campaigns/done is sending" in ran.err
    assert api.get_campaign(name="campaigns/done").campaign.state != campaign_pb2.Campaign.STATE_DRAFT


def test_links_stay_as_they_are_when_a_file_says_nothing_of_them(api: Any, rapport: Command) -> None:
    example()
    assert rapport("apply", "-f", "marketing", "--yes").code == 0
    api.set_link_settings(settings={"origin": "journeys/after-purchase", "utm_medium": "mail"})
    assert rapport("export", "out").code == 0
    journey, campaign = (Path(f"out/{name}.yaml") for name in ("journeys/after-purchase", "campaigns/spring"))
    assert journey.read_text().rstrip().endswith("links:\n  utm_medium: mail")
    assert "links:\n  utm_source: newsletter\n  track_opens: false\n" in campaign.read_text()
    assert "unknown_policy: hold\n" in campaign.read_text()
    assert "0 changed" in rapport("apply", "-f", "out", "--dry-run").out
    # The guide's file of the journey says nothing of links, and is right all the same.
    assert "0 changed" in rapport("apply", "-f", "marketing", "--dry-run").out
    put(
        "out/journeys/after-purchase.yaml",
        journey.read_text().replace("links:\n  utm_medium: mail", "links: {}"),
    )
    assert "1 changed" in rapport("apply", "-f", "out", "--yes").out
    assert api.get_link_settings(origin="journeys/after-purchase").settings.utm_medium == ""
    put("out/journeys/after-purchase.yaml", journey.read_text().replace("links: {}", "links: {utm_term: x}"))
    wrong = rapport("apply", "-f", "out", "--yes")
    assert (wrong.code, "unknown key 'utm_term' in links" in wrong.err) == (1, True)
