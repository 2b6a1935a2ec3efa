"""Variables that look like settings and are none are told, with the nearest setting and without their values."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from services.kit.config import Settings
from services.kit.setting_names import stray_settings, warn_of_stray_settings


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("RAPPORT_AMPQ_URL", "RAPPORT_AMQP_URL"),
        ("RAPPORT_OIDC_AUDIENCES", "RAPPORT_OIDC_AUDIENCE"),
        ("RAPPORT_PLUGIN_ALLOW", "RAPPORT_PLUGINS_ALLOW"),
        ("rapport_tls_client_ca", "RAPPORT_TLS_CLIENT_CA_FILE"),
    ],
)
def test_a_misspelt_setting_is_told_with_the_nearest_and_without_its_value(
    variable: str, nearest: str
) -> None:
    (problem,) = stray_settings({variable: "amqp://me:hunter2@broker"})
    assert problem == f"{variable} is set, but there is no such setting; did you mean {nearest}?"


def test_what_resembles_nothing_points_to_the_table() -> None:
    (problem,) = stray_settings({"RAPPORT_XYZZY": "1"})
    assert problem.endswith("services/SETTINGS.md names all")


def test_variables_of_no_plugin_are_told_with_the_nearest_one() -> None:
    near, far = stray_settings({"RAPPORT_PLUGIN_EMIAL_SMTP_HOST": "h", "RAPPORT_PLUGIN_XYZZY_KEY": "hunter2"})
    assert near == (
        "RAPPORT_PLUGIN_EMIAL_SMTP_HOST is set, but no plugin is installed whose it could be; "
        "did you mean RAPPORT_PLUGIN_EMAIL_…?"
    )
    assert "installed: email, " in far
    assert "hunter2" not in far


def test_what_is_read_somewhere_is_not_told() -> None:
    names = [f"RAPPORT_{name.upper()}" for name in Settings.model_fields]
    others = [
        "RAPPORT_PARENT_FD",
        "RAPPORT_PLUGIN_EMAIL_SMTP_HOST",
        "RAPPORT_TEST_ADMIN_URL",
        "rapport_token",
        "PATH",
    ]
    assert stray_settings(dict.fromkeys([*names, *others], "x")) == []


def test_a_process_logs_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_SECRET_KEYS", "a-value-nobody-may-see")
    with capture_logs() as lines:
        warn_of_stray_settings()
    told = [line for line in lines if "RAPPORT_SECRET_KEYS" in line.get("problem", "")]
    assert [(line["log_level"], line["event"]) for line in told] == [("warning", "unknown setting")]
    assert "did you mean RAPPORT_SECRET_KEY?" in told[0]["problem"]
    assert "nobody-may-see" not in str(lines)
