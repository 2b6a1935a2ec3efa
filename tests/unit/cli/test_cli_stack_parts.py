"""The parts of the laptop stack that need no process: who gets what, what is drawn, what is recommended."""

from __future__ import annotations

import shlex
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.cli import processes, progress
from services.cli.processes import Grants, specs
from services.cli.progress import StartView
from services.cli.up import next_commands
from services.kit.config import SERVICES, Settings, load_settings
from services.kit.errors import InvalidArgument
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.plan import check_plan

URLS = {service: f"postgresql://{service}-database" for service in SERVICES}
TOKENS = {service: f"{service}-token" for service in SERVICES} | {"owner": "owner-token"}


def test_each_service_has_an_api_a_worker_and_its_other_roles():
    made = specs(Settings(), Grants(URLS, TOKENS))
    assert {spec.name for spec in made} == {
        *(f"{service}-{role}" for service in SERVICES for role in ("api", "worker")),
        "campaign-sender",
        "campaign-web",
    }
    check_plan(made)
    # All but the sender, which has a watchdog of its own, are asked whether they answer.
    assert {spec.name for spec in made if spec.alive is None} == {"campaign-sender"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_gets_its_own_database_and_token_and_no_others(service: str):
    for spec in specs(Settings(), Grants(URLS, TOKENS, {"RAPPORT_DATA_DIR": "/data"})):
        text = repr(dict(spec.env))
        mine = spec.name.startswith(f"{service}-")
        assert (URLS[service] in text) == mine
        assert (TOKENS[service] in text) == mine
        assert "owner-token" not in text
        # Set to empty, so that what the supervisor's own environment says does not come through.
        assert spec.env["RAPPORT_DATABASE_URL"] == ""
        assert spec.env["RAPPORT_DATA_DIR"] == "/data"


def test_ports_are_those_of_the_settings_and_never_shared():
    settings = Settings(base_port=9000, inbound_mail_host="127.0.0.2")
    uses = [use for found in processes.all_ports(settings).values() for use in found]
    numbers = [use.port for use in uses]
    expected = {9001 + n + extra for n in range(5) for extra in (0, 10, 20, 30)} | {9045, 9046, 9047}
    assert set(numbers) == expected
    assert len(numbers) == len(set(numbers))
    assert {use.setting for use in uses} == {"RAPPORT_BASE_PORT"}
    assert [use.host for use in uses if use.port == 9045] == ["127.0.0.2"]
    assert {use for spec in specs(settings, Grants(URLS, TOKENS)) for use in spec.ports} == set(uses)


def test_replicas_have_names_and_ports_of_their_own_and_one_address():
    settings = Settings(base_port=9000)
    made = specs(settings, Grants(URLS, TOKENS), 3)
    check_plan(made)
    assert {"care-api", "care-api-2", "campaign-sender-3"} < {spec.name for spec in made}
    assert len({spec.name for spec in made}) == 36
    numbers = [use.port for spec in made for use in spec.ports]
    assert len(numbers) == len(set(numbers))
    assert {number - 9000 for number in numbers if number > 9050} == {
        offset + number - 9000 for number in numbers if number < 9050 for offset in (50, 100)
    }
    # What a process is told agrees with what the supervisor expects of it, and with where others look for it.
    for spec in made:
        if spec.name == "care-api-3":
            third = Settings(base_port=9000, replica=int(spec.env["RAPPORT_REPLICA"]))
            assert {use.port for use in spec.ports} >= {third.port("care"), third.events_port("care")}
            assert third.inbound_mail_port == 9145
    address = processes.replicated_address("127.0.0.1", 3)
    called = Settings(base_port=9000, replica=2, address=address, events_address=address)
    assert called.service_address("care") == "ipv4:127.0.0.1:9005,127.0.0.1:9055,127.0.0.1:9105"
    assert called.service_events_address("care") == "ipv4:127.0.0.1:9015,127.0.0.1:9065,127.0.0.1:9115"


def test_several_replicas_need_an_address_and_no_name():
    assert processes.replicated_address("localhost", 1) == "localhost:{port}"
    assert processes.replicated_address("::1", 2) == "[::1]:{port},[::1]:{port+50}"
    with pytest.raises(InvalidArgument, match="RAPPORT_HOST: several replicas need an IP address"):
        processes.replicated_address("localhost", 2)


def drawn(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[StartView, StringIO]:
    text = StringIO()
    monkeypatch.setattr(
        progress, "console", Console(file=text, force_terminal=terminal, width=100, emoji=False)
    )
    return StartView(), text


def test_without_a_terminal_only_trouble_is_told(monkeypatch: pytest.MonkeyPatch):
    view, text = drawn(monkeypatch, terminal=False)
    with view:
        view.tell(Event(EventKind.STARTING, "contacts-api"))
        view.tell(Event(EventKind.READY, "contacts-api", seconds=1.0))
        assert text.getvalue() == ""
    view.tell(Event(EventKind.EXITED, "contacts-api", "ended with signal SIGKILL [9]"))
    view.tell(Event(EventKind.RESTARTING, "contacts-api", "starting it again in 0.5 s"))
    view.tell(Event(EventKind.READY, "contacts-api", seconds=1.0))
    view.tell(Event(EventKind.READY, "sales-api", seconds=1.0))
    for name in ("contacts-api", "sales-api"):
        view.tell(Event(EventKind.STOPPING, name))
    assert text.getvalue().splitlines() == [
        "contacts-api: ended with signal SIGKILL [9]",
        "contacts-api: starting it again in 0.5 s",
        "contacts-api: ready again",
        "stopping …",
    ]


def test_on_a_terminal_the_start_is_a_table(monkeypatch: pytest.MonkeyPatch):
    view, text = drawn(monkeypatch, terminal=True)
    with view:
        view.tell(Event(EventKind.STARTING, "postgres", "creating the database [18]"))
        view.tell(Event(EventKind.READY, "contacts-api", seconds=1.25))
    said = text.getvalue()
    assert "creating the database [18]" in said
    assert "1.2 s" in said


def test_the_next_commands_are_those_of_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    here = next_commands(load_settings(data_dir=Path(".rapport")))
    assert not any("RAPPORT_DATA_DIR" in line for line in here)
    programs = {shlex.split(line)[0] for line in here}
    assert all(Path(program).exists() for program in programs)
    assert {Path(program).parent for program in programs} == {Path(sys.executable).parent}
    elsewhere = next_commands(load_settings(data_dir=Path("other place")))
    assert elsewhere[0] == f"export RAPPORT_DATA_DIR='{tmp_path / 'other place'}'"
    assert elsewhere[1:] == here
