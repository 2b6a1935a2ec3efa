"""Variables that are nearly settings are told of; what others read is none of our business."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from services.kit.config import Settings
from services.kit.misspelt import misspelt_settings
from services.kit.runtime import make_runtime


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RAPPORT_BASE_PROT", "RAPPORT_BASE_PORT"),
        ("RAPPORT_DATABSE_URL", "RAPPORT_DATABASE_URL"),
        ("RAPPORT_PLUGIN_ALLOW", None),
        ("RAPPORT_PLUGIN_EMAIL_SMTP_HOST", None),
        ("RAPPORT_TEST_ONLINE_RETAIL", None),
        ("RAPPORT_TOKEN", None),
        ("RAPPORT_RULE_EXAMPLES", None),
        ("BASE_PORT", None),
    ],
)
def test_the_nearest_is_named(name: str, meant: str | None) -> None:
    assert misspelt_settings([name, "PATH"]) == ([] if meant is None else [(name, meant)])


def test_a_process_warns_of_them_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_DEFUALT_REGION", "VN")
    with capture_logs() as logs:
        make_runtime(
            "contacts", "api", Settings(contacts_database_url="postgresql://nowhere/x", secret_key="k" * 32)
        ).close()
    told = [(line["variable"], line["did_you_mean"]) for line in logs if line["event"] == "no such setting"]
    assert told == [("RAPPORT_DEFUALT_REGION", "RAPPORT_DEFAULT_REGION")]
