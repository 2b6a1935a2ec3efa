"""`python -m deploy.tools.lint_migrations`: judge the revisions since the last release, on an embedded PostgreSQL."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from deploy.tools.lint_migrations.record import record
from deploy.tools.lint_migrations.rules import judge
from deploy.tools.release import ROOT, last_release
from services.cli.stack import EXTENSIONS, PLUGIN_SERVICES
from services.kit import revisions
from services.kit.config import SERVICES
from services.kit.postgres import EmbeddedPostgres, provision


def main() -> int:
    """Print what is refused and return the exit status: 1 when anything is."""
    release = last_release()
    new = {service: _since(service, release.schema.get(service)) for service in SERVICES}
    refused = 0
    if any(new.values()):
        with tempfile.TemporaryDirectory(prefix="rapport-") as folder:
            server = EmbeddedPostgres(Path(folder) / "postgres", throwaway=True, settings={"fsync": "off"})
            server.start()
            try:
                urls = provision(
                    server.admin_url,
                    SERVICES,
                    extensions=EXTENSIONS,
                    plugin_services=PLUGIN_SERVICES,
                    prefix="lint",
                )
                for service in SERVICES:
                    if new[service]:
                        for finding in judge(record(service, urls[service], release.schema.get(service))):
                            refused += 1
                            sys.stderr.write(f"{str(finding).replace(f'{ROOT}/', '')}\n")
            finally:
                server.destroy()
    for service, found in new.items():
        told = ", ".join(found) if found else "none"
        sys.stdout.write(f"{service}: revisions since {release.version}: {told}\n")
    return 1 if refused else 0


def _since(service: str, released: str | None) -> list[str]:
    known = revisions.known(service)
    if released is not None and released not in known:
        sys.exit(
            f"{service}: revision {released} of the last release is gone: what is released must stay as it is"
        )
    return [one for one in known if released is None or one > released]


if __name__ == "__main__":
    sys.exit(main())
