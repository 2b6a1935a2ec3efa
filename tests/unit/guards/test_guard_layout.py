"""Guards: each service has the parts that the design promises, and files stay readable."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.kit.config import SERVICES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_all_its_parts(service: str):
    folder = ROOT / "services" / service
    for part in ("domain", "models", "store", "usecases", "api", "worker"):
        assert (folder / f"{part}.py").exists() or (folder / part / "__init__.py").exists(), (
            f"{service}/{part}"
        )
    assert list((folder / "migrations" / "versions").glob("*.py"))
    readme = (folder / "README.md").read_text(encoding="utf-8").lower()
    for heading in ("owns", "rpcs", "events", "tables"):
        assert heading in readme, f"{service}/README.md says nothing of {heading}"


def test_files_stay_readable():
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("services", "plugins", "protos/rapport_client")
        for path in (ROOT / folder).rglob("*.py")
        if "versions" not in path.parts
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert long == {}
