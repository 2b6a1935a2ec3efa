"""Generate the stubs, and check them and the API's rules.

generate.py DIR        write the stubs into DIR
generate.py --check    compare the committed stubs with fresh ones; run buf lint and buf breaking, and look for what
                       breaks callers though buf sees nothing (promises.py)
generate.py --release  store the present API as the released one (protos/released.binpb); `make release` does
                       this, and records it in deploy/release.toml
"""

from __future__ import annotations

import filecmp
import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
RELEASED = PROTOS / "released.binpb"
RECORD = PROTOS.parent / "deploy" / "release.toml"
GOOGLE = sysconfig.get_paths()["purelib"]  # googleapis-common-protos carries its .proto files
BUF = [str(Path(sys.executable).parent / "buf")]
CONFIG = str(PROTOS.parent / "buf.yaml")


def sources() -> list[str]:
    """Return the .proto files relative to the protos folder, sorted."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("rapport/**/*.proto"))


def protoc(*arguments: str) -> None:
    """Run protoc over all sources; exits with its message when it fails."""
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTOS}",
        f"-I{GOOGLE}",
        *arguments,
        *sources(),
    ]
    if subprocess.run(command, check=False).returncode:
        sys.exit("protoc failed; see above")


def write_stubs(target: Path) -> None:
    """Replace the generated packages in a folder."""
    shutil.rmtree(target / "rapport", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    protoc(f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}")


def write_image(path: Path) -> None:
    """Write the API as a descriptor set, with comments, for buf."""
    protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={path}")


def differing(left: Path, right: Path) -> list[str]:
    """Return the files that differ or stand on one side only."""
    names = {
        str(path.relative_to(root))
        for root in (left, right)
        for path in root.rglob("*.py*")
        if "__pycache__" not in path.parts
    }
    return sorted(
        name
        for name in names
        if not (
            (left / name).exists()
            and (right / name).exists()
            and filecmp.cmp(left / name, right / name, shallow=False)
        )
    )


def check_baseline() -> None:
    """Exit with a message when what changes are compared with is not the API of the recorded release."""
    record = tomllib.loads(RECORD.read_text(encoding="utf-8"))
    if hashlib.sha256(RELEASED.read_bytes()).hexdigest() != record["api"]["sha256"]:
        sys.exit(
            f"{RELEASED.name} is not the API of {record['version']}, which deploy/release.toml records: "
            "take it from there again (git checkout), or record a release (make release)"
        )


def check() -> None:
    """Exit with a message when the stubs are stale or the API breaks a rule."""
    check_baseline()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "gen"
        write_stubs(fresh)
        stale = differing(fresh, PROTOS / "gen")
        if stale:
            sys.exit("stubs are out of date, run `make protos`: " + ", ".join(stale))
        image = Path(folder) / "image.binpb"
        write_image(image)
        for command in (["lint", str(image)], ["breaking", str(image), "--against", str(RELEASED)]):
            if subprocess.run([*BUF, *command, "--config", CONFIG], check=False).returncode:
                sys.exit(f"buf {command[0]} found the problems above")
        # After the stubs are known to be fresh: it reads the options by them.
        from promises import broken

        if found := broken(RELEASED.read_bytes(), image.read_bytes()):
            sys.exit(
                "callers of the last release could do less (what must be so belongs into a v2 beside it):\n  "
                + "\n  ".join(found)
            )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--check"]:
            check()
        case ["--release"]:
            write_image(RELEASED)
        case [target] if not target.startswith("-"):
            write_stubs(Path(target))
        case _:
            sys.exit(__doc__)
