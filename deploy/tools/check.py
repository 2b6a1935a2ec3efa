"""Check the chart, the Dockerfile and compose.yaml with other people's tools: `python -m deploy.tools.check BIN`.

BIN is a folder with kubernetes-validate, checkov, hadolint and check-jsonschema. Each file of values in `ci/` is
linted, rendered, held against Kubernetes' own schemas and searched for what is unsafe. Of each package of the image the
index is asked whether it is to be had as the Dockerfile takes it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from deploy.tools import helm

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "rapport"
KUBERNETES = ("1.31", "1.37")
"""The oldest and the newest release of which kubernetes-validate has schemas that the chart is meant for."""


class Failed(Exception):
    """Say which check failed, with what it printed."""


def run(what: str, *command: str | Path) -> str:
    """Run a check and return what it printed; raises Failed."""
    # checkov asks the network for nothing that is needed here, and colours are for terminals.
    environment = {**os.environ, "NO_COLOR": "1", "ANSI_COLORS_DISABLED": "1", "LOG_LEVEL": "WARNING"}
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )
    if result.returncode:
        raise Failed(f"{what}:\n{result.stdout}{result.stderr}")
    return result.stdout


def check_values(values: Path, binary: Path, tools: Path, folder: Path) -> None:
    """Check the chart with one file of values; raises Failed."""
    run(f"helm lint {values.name}", binary, "lint", "--strict", CHART, "--values", values)
    options = ("--namespace", "crm", "--values", values)
    text = run(f"helm template {values.name}", binary, "template", "rapport", CHART, *options)
    manifests = [one for one in yaml.safe_load_all(text) if one]
    # Kinds of others have no schema here; tests/deploy looks at them.
    own = [one for one in manifests if "monitoring.coreos.com" not in one["apiVersion"]]
    rendered = folder / values.name
    rendered.write_text(yaml.safe_dump_all(own), encoding="utf-8")
    for version in KUBERNETES:
        validate = (tools / "kubernetes-validate", "--strict", "--quiet", "--no-warn")
        run(f"kubernetes-validate {values.name} ({version})", *validate, "-k", version, rendered)
    sys.stdout.write(f"{values.name}: {len(manifests)} manifests are sound\n")


def taken_as() -> list[str]:
    """Return the options by which the Dockerfile takes packages as wheels or as source."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    line = re.search(r"pip wheel (?:.*\\\n)*.*deploy/image\.lock$", dockerfile, re.MULTILINE)
    if line is None:
        raise Failed("deploy/Dockerfile: no line makes wheels of deploy/image.lock")
    return [word for pair in re.findall(r"(--(?:only|no)-binary) (\S+)", line[0]) for word in pair]


def check_packages(folder: Path) -> None:
    """Ask the index for each package of the image, as its Dockerfile takes it; raises Failed."""
    # Without hashes pip reads what the index says of a package, and need not fetch it.
    lock = (ROOT / "deploy" / "image.lock").read_text(encoding="utf-8")
    pins = folder / "pins.txt"
    found = re.findall(r"^([A-Za-z0-9].*?) *\\$", lock, re.MULTILINE)
    pins.write_text("".join(f"{pin}\n" for pin in found), encoding="utf-8")
    options = ("--dry-run", "--ignore-installed", "--no-deps", "--no-build-isolation", "--quiet", *taken_as())
    run("packages of the image", sys.executable, "-m", "pip", "install", *options, "--requirement", pins)
    sys.stdout.write(f"{len(found)} packages of the image are to be had\n")


def main() -> int:
    """Run all checks; the status is 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m deploy.tools.check", description=main.__doc__)
    parser.add_argument("bin", type=Path, help="folder of the tools' programs")
    tools = parser.parse_args().bin.absolute()
    checkov = (tools / "checkov", "--config-file", Path(__file__).with_name("checkov.yaml"))
    dockerfiles = sorted((ROOT / "deploy").rglob("Dockerfile"))
    try:
        binary = helm.find()
        with tempfile.TemporaryDirectory(prefix="rapport-chart-") as name:
            folder = Path(name)
            for values in sorted((CHART / "ci").glob("*.yaml")):
                check_values(values, binary, tools, folder)
            check_packages(folder)
            run("checkov on manifests", *checkov, "--framework", "kubernetes", "--directory", folder)
        for dockerfile in dockerfiles:
            run(f"hadolint {dockerfile}", tools / "hadolint", dockerfile)
            run(f"checkov {dockerfile}", *checkov, "--framework", "dockerfile", "--file", dockerfile)
        compose = ("--builtin-schema", "vendor.compose-spec", ROOT / "deploy" / "compose.yaml")
        run("compose.yaml", tools / "check-jsonschema", *compose)
    except (Failed, helm.NoHelm) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"checkov finds nothing; {len(dockerfiles)} Dockerfiles and compose.yaml are sound\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
