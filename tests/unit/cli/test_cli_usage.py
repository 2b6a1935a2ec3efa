"""Every command explains itself; wrong usage ends with status 2, a known error with 1, and neither with a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rapport_client.errors import Details, NotFound, Unavailable, Violation
from typer.core import TyperGroup

from services.cli import run, up
from services.cli.app import app
from services.kit.config import SERVICES
from services.kit.errors import FailedPrecondition
from services.kit.postgres import PostgresError
from services.kit.supervise.errors import StopRequested, SupervisorError
from tests.support.cli import run_cli


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield all commands and groups with their words."""
    command = command or typer.main.get_command(app)
    yield path, command
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


ALL = list(commands())


def test_all_commands_are_there():
    groups = {path[0] for path, _ in ALL if path}
    assert groups == {
        *("up", "run", "migrate", "demo", "import", "contacts", "segments", "campaigns", "plugins"),
        *("operations", "events", "tokens", "keys", "backup", "restore"),
    }


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) or "rapport" for path, _ in ALL])
def test_every_command_explains_itself_and_its_parameters(path: tuple[str, ...], command: Any):
    ran = run_cli(*path, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"Usage: {' '.join(('rapport', *path))}" in ran.out
    assert (command.help or "").strip()
    text = " ".join(ran.out.split())
    for parameter in command.params:
        if parameter.name != "help":
            assert parameter.help, f"{path}: {parameter.name} has no help"
            assert " ".join(parameter.help.split()) in text


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("run",),
        ("run", "contacts"),
        ("run", "contacts", "api", "more"),
        ("import",),
        ("import", "contacts"),
        ("backup",),
        ("backup", "verify"),
        ("backup", "erasure", "a-list"),
        ("restore",),
        ("segments", "create", "only-an-id"),
        ("segments", "create", "both", "true", "--list"),
        ("segments", "add", "friends"),
        ("segments", "apply"),
        ("segments", "apply", "-f", "x.yaml", "--json"),
        ("segments", "members", "loyal", "--limit", "0"),
        ("segments", "evaluate", "true", "--sample", "many"),
        ("demo", "--customers", "3"),
        ("up", "--nonsense"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_status_2(arguments: tuple[str, ...]):
    ran = run_cli(*arguments)
    assert ran.code == 2
    assert "Usage: rapport" in ran.out + ran.err


@pytest.mark.parametrize(
    ("service", "role", "message"),
    [
        ("crm", "api", "no service 'crm'; there are contacts, sales, segmentation, campaign, care"),
        ("contacts", "sender", "contacts has no role 'sender'; it has api, worker"),
        ("campaign", "nonsense", "campaign has no role 'nonsense'; it has api, worker, sender, web"),
        ("contacts", "../up", "contacts has no role '../up'; it has api, worker"),
    ],
)
def test_run_names_what_there_is(service: str, role: str, message: str):
    ran = run_cli("run", service, role)
    assert (ran.code, ran.err.strip()) == (1, f"rapport: {message}")


@pytest.mark.parametrize("service", SERVICES)
def test_run_becomes_the_process(service: str, monkeypatch: pytest.MonkeyPatch):
    become: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, argv: become.append(argv))
    roles = ["api", "worker", *run.EXTRA_ROLES.get(service, ())]
    for role in roles:
        assert run_cli("run", service, role).code == 0
    assert [argv[:2] for argv in become] == [[sys.executable, "-m"]] * len(roles)
    assert become[0][2:] == ["services.kit.process", service]
    assert become[1][2:] == ["services.kit.bus.launcher", service]
    assert all(
        argv[2] == f"services.{service}.{role}" for argv, role in zip(become[2:], roles[2:], strict=True)
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FailedPrecondition("the sun is down [today]"), "rapport: the sun is down [today]"),
        (PostgresError("the disk is full"), "rapport: the disk is full"),
        (SupervisorError("already running"), "rapport: already running"),
        (PermissionError(13, "Permission denied", "/x/y"), "rapport: /x/y: Permission denied"),
        (OSError("odd"), "rapport: odd"),
        (NotFound("segments/x does not exist"), "rapport: segments/x does not exist (NOT_FOUND)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_known_error_is_one_line_and_status_1(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
):
    ran = failing(error, monkeypatch)
    assert (ran.code, ran.out, ran.err) == (1, "", message + "\n")


def test_a_service_that_does_not_answer_gets_a_hint(monkeypatch: pytest.MonkeyPatch):
    ran = failing(Unavailable("connection refused"), monkeypatch)
    assert ran.code == 1
    assert "connection refused" in ran.err
    assert "rapport up" in ran.err


def test_each_bad_field_is_shown_with_its_caret_in_place(monkeypatch: pytest.MonkeyPatch):
    pointing = "line 1, column 9: undefined field\n  contact.agee > 3\n         ^"
    details = Details(
        reason="INVALID_RULE", violations=(Violation("rule", pointing), Violation("id", "taken"))
    )
    ran = failing(NotFound("two things", details), monkeypatch)
    lines = ran.err.splitlines()
    assert "INVALID_RULE" in lines[0]
    assert lines[1] == "  rule: line 1, column 9: undefined field"
    assert lines[2].index("contact.agee") + len("contact") == lines[3].index("^")
    assert lines[4] == "  id: taken"


def test_what_nobody_expected_is_not_hidden(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("a fault"), monkeypatch)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StopRequested("SIGINT")], ids=repr)
def test_an_interrupted_command_ends_with_status_130(error: BaseException, monkeypatch: pytest.MonkeyPatch):
    ran = failing(error, monkeypatch)
    assert (ran.code, ran.err) == (130, "")


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command that raises."""

    def raise_it(*_: object) -> None:
        raise error

    monkeypatch.setattr(up, "load_settings", raise_it)
    return run_cli("up")


@pytest.mark.parametrize(
    "arguments",
    [
        ("segments", "list"),
        ("segments", "members", "loyal"),
        ("segments", "rebuild"),
        ("segments", "delete", "loyal"),
        ("segments", "evaluate", "true"),
        ("segments", "create", "loyal", "true"),
    ],
    ids=lambda words: words[1],
)
def test_without_an_installation_it_is_said_how_to_get_one(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ran = run_cli(*arguments, environment={"RAPPORT_DATA_DIR": "nowhere"})
    assert ran.code == 1
    assert ran.err.startswith("rapport: no Rapport found: start one with `rapport up`")


def test_a_damaged_client_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".rapport").mkdir()
    file = tmp_path / ".rapport" / "client.json"
    file.write_text("{}")
    ran = run_cli("segments", "list")
    assert ran.code == 1
    assert str(file) in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.csv",), "absent.csv: no such file"),
        (("folder",), "folder: is a folder"),
        (("people.csv", "--column", "Mail"), "--column 'Mail': expected HEADER=FIELD"),
        (("people.csv", "-c", "=email"), "--column '=email': expected HEADER=FIELD"),
        (("people.csv", "-c", "Mail=", "-c", "Mail=email"), "goes to nothing already"),
        (("people.csv", "-c", "Mail=email", "-c", "Mail=phone"), "goes to email already"),
    ],
)
def test_import_refuses_what_it_cannot_send_before_it_connects(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text("email\n")
    (tmp_path / "folder").mkdir()
    # An address at which nobody answers would be told of otherwise.
    ran = run_cli("import", "contacts", *arguments, environment={"RAPPORT_ADDRESS": "127.0.0.1:1"})
    assert ran.code == 1
    assert message in ran.err


def test_a_bad_time_is_named(monkeypatch: pytest.MonkeyPatch):
    ran = run_cli(
        "segments", "evaluate", "true", "--as-of", "yesterday", environment={"RAPPORT_ADDRESS": "127.0.0.1:1"}
    )
    assert ran.code == 1
    assert "--as-of" in ran.err
    assert "yesterday" in ran.err


def test_a_process_without_a_database_says_what_its_own_variable_is():
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    for more, told in (({}, False), ({"RAPPORT_DATABASE_URL": "postgresql://x/y"}, True)):
        done = subprocess.run(
            run.command("contacts", "api"),
            env=environment | {"RAPPORT_SECRET_KEY": "k" * 32} | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert "set RAPPORT_CONTACTS_DATABASE_URL" in done.stderr
        assert ("a process on its own does not use it" in done.stderr) is told
