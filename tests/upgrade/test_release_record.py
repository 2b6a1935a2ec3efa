"""`deploy/release.toml` tells the truth: what this tree is compared with is what was released."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.tools import release as tool
from deploy.tools.release import API, ROOT, last_release, render
from services.kit.config import SERVICES


def described(data: bytes) -> dict[str, bytes]:
    """Return our files of a descriptor set without comments and places, by name."""
    found = {}
    for file in FileDescriptorSet.FromString(data).file:
        if file.name.startswith("rapport/"):
            file.ClearField("source_code_info")
            found[file.name] = file.SerializeToString(deterministic=True)
    return found


def test_the_api_that_changes_are_compared_with_is_the_released_one(released: Path, tmp_path: Path) -> None:
    """Else somebody could move it, and with it what counts as a breaking change."""
    made = tmp_path / "api.binpb"
    code = "import sys; sys.path.insert(0, 'protos'); import generate, pathlib; "
    code += f"generate.write_image(pathlib.Path({str(made)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=released, check=True)
    there, here = described(API.read_bytes()), described(made.read_bytes())
    assert there.keys() == here.keys()
    assert [name for name in there if there[name] != here[name]] == []
    assert hashlib.sha256(API.read_bytes()).hexdigest() == last_release().api


def test_another_api_in_its_place_is_noticed(tmp_path: Path) -> None:
    """By whoever has no history too: the record has its digest."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "protos").mkdir()
    (tmp_path / "deploy" / "release.toml").write_text(tool.RECORD.read_text())
    (tmp_path / "protos" / "generate.py").write_text((ROOT / "protos" / "generate.py").read_text())
    (tmp_path / "protos" / "released.binpb").write_bytes(API.read_bytes()[:-1])
    ran = subprocess.run(
        [sys.executable, "protos/generate.py", "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "released.binpb is not the API of" in ran.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_released_revisions_stay_as_they_are(released: Path, service: str) -> None:
    """Databases out there have run them: a change would reach none of these, and its reasons are judged nowhere."""
    versions = Path("services") / service / "migrations" / "versions"
    then = {path.name: path.read_text() for path in (released / versions).glob("[0-9]*.py")}
    assert max(name.partition("_")[0] for name in then) == last_release().schema[service]
    now = {name: (ROOT / versions / name) for name in then}
    assert [name for name, path in now.items() if not path.exists() or path.read_text() != then[name]] == []


def test_the_tag_is_at_the_recorded_commit(released: Path) -> None:
    """Where tags came along with the clone."""
    release = last_release()
    ran = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{release.tag}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip() in ("", release.commit)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(render(last_release()))
    assert last_release(path) == last_release()
    assert path.read_text() == tool.RECORD.read_text()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A repository of its own in which releases can be recorded; returns what runs git there."""
    for name in ("protos", "deploy"):
        (tmp_path / name).mkdir()
    (tmp_path / "protos" / "generate.py").write_text(
        "import pathlib\n(pathlib.Path(__file__).parent / 'released.binpb').write_bytes(b'api')\n"
    )
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "7.1.0"\n')
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "RECORD", tmp_path / "deploy" / "release.toml")
    monkeypatch.setattr(tool, "API", tmp_path / "protos" / "released.binpb")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Release")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "release@example.test")
    tool.git("init", "--quiet")
    tool.git("add", ".")
    tool.git("commit", "--quiet", "--message", "all")
    return tool.git


def test_a_release_is_a_commit_with_a_version_of_its_own(
    repository: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = repository("rev-parse", "HEAD")
    (tmp_path / "extra").touch()
    with pytest.raises(SystemExit, match="not committed"):
        tool.main()
    (tmp_path / "extra").unlink()
    assert tool.main() == 0
    recorded = last_release(tool.RECORD)
    assert (recorded.version, recorded.commit, recorded.tag) == ("7.1.0", commit, "v7.1.0")
    assert recorded.api == hashlib.sha256(b"api").hexdigest()
    assert set(recorded.schema) == set(SERVICES)
    assert f"git tag -a v7.1.0 {commit}" in capsys.readouterr().out
    # Until it has its tag, it may still become another commit.
    repository("add", ".")
    repository("commit", "--quiet", "--message", "record")
    assert tool.main() == 0
    assert last_release(tool.RECORD).commit == repository("rev-parse", "HEAD") != commit
    repository("tag", "v7.1.0")
    with pytest.raises(SystemExit, match=r"7\.1\.0 is released already"):
        tool.main()
