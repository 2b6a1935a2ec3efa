"""`rapport plugins` on the plugins that are installed, and on others that a folder of packages brings."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from services.kit.plugins import to_json
from services.segmentation.context import service_of
from services.segmentation.rulebook import plain
from services.segmentation.store import vocabulary
from tests.integration.cli.conftest import Office
from tests.support.cli import Ran
from tests.support.programs import REPOSITORY
from tests.support.segmentation import World, page_visited_defined
from tests.support.waiting import until

GOOD = """
from rapport_sdk import hookimpl, SegmentRule
from sqlalchemy import literal

@hookimpl
def rapport_segment_rules():
    return [SegmentRule(name="good.always", returns="bool", doc="always", value=lambda context, params: literal(True))]
"""

DEEP = """
from rapport_sdk import Trait, hookimpl
from sqlalchemy import literal

def compute(column):
    return lambda ctx, profiles: [{column: 1} for _ in profiles]

@hookimpl
def rapport_traits():
    return [
        Trait("deep.python", {"deep_x": "int"}, compute=compute("deep_x"), doc="one"),
        Trait("deep.both", {"deep_y": "int"}, lambda ctx: {"deep_y": literal(1)}, compute=compute("deep_y"), doc="one"),
    ]
"""


def install(folder: Path, name: str, source: str) -> None:
    """Put a plugin's distribution into a folder."""
    (folder / f"plugin_{name}.py").write_text(source)
    information = folder / f"plugin_{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[rapport]\n{name} = plugin_{name}\n")


FRAIL = """
from rapport_sdk import Parameter, SegmentRule, Trait, hookimpl
from sqlalchemy import literal

def born(ctx, params, profiles):
    return [profile.birth_date.year for profile in profiles]

def fits(ctx, params, profiles):
    return [params["size"] == "s" for _ in profiles]

@hookimpl
def rapport_segment_rules():
    size = Parameter("size", "string", choices=("s", "m"))
    return [
        SegmentRule("frail.born", "int", matches=born, doc="fails without a birth date"),
        SegmentRule("frail.sql", "int", lambda ctx, params: literal(1 // len(params)), doc="fails while compiled"),
        SegmentRule("frail.fits", "bool", matches=fits, parameters=(size,), doc="is sound"),
        SegmentRule("frail.open", "int", matches=born, parameters=(Parameter("n", "int"),), doc="is not tried"),
    ]

@hookimpl
def rapport_traits():
    return [Trait("frail.trait", {"frail_x": "int"}, compute=lambda ctx, profiles: [{"frail_x": "a"}] * 2, doc="text")]
"""


def rapport(*arguments: str, packages: Path | None = None, traced: bool = False, **settings: str) -> Ran:
    """Run the command line with plugins of a folder. traced: whether a plugin's fault is told with its traceback."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPPORT_")}
    path = [str(REPOSITORY), *([str(packages)] if packages else []), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env=environment | {"PYTHONPATH": os.pathsep.join(path), "COLUMNS": "200", **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ("Traceback" in done.stderr) is traced
    return Ran(done.returncode, done.stdout, done.stderr)


def test_those_that_come_along_are_sound(tmp_path: Path) -> None:
    listed = rapport("plugins", "list")
    assert (listed.code, listed.err) == (0, "")
    for word in ("rfm.scores", "email.smtp", "RAPPORT_PLUGIN_EMAIL_SMTP_HOST", "rapport_send_veto"):
        assert word in listed.out
    assert "quarantined" not in listed.out
    checked = rapport("plugins", "check", RAPPORT_DATA_DIR=str(tmp_path))
    assert (checked.code, checked.err) == (0, "")
    assert {"email", "loyalty", "recipients", "rfm"} <= {line.split()[0] for line in checked.out.splitlines()}
    for out in (listed.out, checked.out):
        for offer in ("trait rfm.scores (SQL)", "rule loyalty.tier (SQL, Python)", "channel email.smtp"):
            assert offer in out


def test_the_forms_of_traits_are_told(tmp_path: Path) -> None:
    install(tmp_path, "deep", DEEP)
    listed = rapport("plugins", "list", packages=tmp_path)
    assert "trait deep.python (Python)" in listed.out
    checked = rapport("plugins", "check", packages=tmp_path, RAPPORT_DATA_DIR=str(tmp_path))
    assert (checked.code, checked.err) == (0, "")
    lines = checked.out.splitlines()
    told = lines[lines.index("deep 1.0: ok, 2 objects") + 1 :][:2]
    assert told == ["  trait deep.python (Python)", "  trait deep.both (SQL, Python)"]


def test_rules_and_traits_that_fail_at_work_are_named(tmp_path: Path) -> None:
    """By their Python on made-up contacts and by their SQL when it is compiled; what was not tried is said."""
    install(tmp_path, "frail", FRAIL)
    checked = rapport("plugins", "check", packages=tmp_path, traced=True, RAPPORT_DATA_DIR=str(tmp_path))
    assert checked.code == 1
    told = [line for line in checked.err.splitlines() if ": fails when it is tried: " in line]
    assert [line.partition(":")[0] for line in told] == ["frail.born", "frail.sql", "frail.trait"]
    # The line is the plugin's, not one of the process in which it runs.
    assert told[0].endswith(f"'NoneType' object has no attribute 'year' ({tmp_path.name}/plugin_frail.py:6)")
    assert "frail 1.0: fails, 5 objects" in checked.out
    assert "not tried, as they take arguments without choices: frail.open" in checked.out
    assert "rfm 0.1.0: ok" in checked.out


def test_a_broken_plugin_is_named_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    install(tmp_path, "broken", "raise RuntimeError('no [licence] found')\n")
    install(
        tmp_path,
        "misspelt",
        "from rapport_sdk import hookimpl\n@hookimpl\ndef rapport_segmnt_rules():\n    return []\n",
    )
    checked = rapport("plugins", "check", packages=tmp_path)
    assert checked.code == 1
    assert "broken: quarantined: " in checked.err
    assert "no [licence] found" in checked.err
    assert "rapport_segmnt_rules" in checked.err
    assert "rfm 0.1.0: ok" in checked.out
    listed = rapport("plugins", "list", packages=tmp_path)
    assert listed.code == 0
    assert "quarantined" in listed.out
    assert "no [licence] found" in listed.out


def test_one_that_is_not_allowed_is_shown_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    install(tmp_path, "sly", f"open({str(mark)!r}, 'w')\n")
    settings = {"RAPPORT_PLUGINS_ALLOW": "rfm"}
    assert rapport("plugins", "check", packages=tmp_path, **settings).code == 0
    listed = rapport("plugins", "list", packages=tmp_path, **settings)
    assert "not_allowed" in listed.out
    assert not mark.exists()


def test_a_required_plugin_that_is_missing_or_not_allowed_fails_the_check() -> None:
    missing = rapport("plugins", "check", RAPPORT_PLUGINS_REQUIRED="zalo, rfm")
    assert missing.code == 1
    assert "zalo: required by RAPPORT_PLUGINS_REQUIRED" in missing.err
    assert "zalo" in rapport("plugins", "list", RAPPORT_PLUGINS_REQUIRED="zalo").out
    forbidden = rapport("plugins", "check", RAPPORT_PLUGINS_REQUIRED="loyalty", RAPPORT_PLUGINS_ALLOW="rfm")
    assert forbidden.code == 1
    assert "loyalty: not_allowed" in forbidden.err


def test_a_bad_setting_of_a_plugin_is_named() -> None:
    checked = rapport("plugins", "check", RAPPORT_PLUGIN_RFM_WINDOW_DAYS="many")
    assert checked.code == 1
    assert "RAPPORT_PLUGIN_RFM_WINDOW_DAYS" in checked.err


def test_a_name_in_the_allowlist_that_means_no_plugin_is_told() -> None:
    settings = {"RAPPORT_PLUGINS_ALLOW": "rfn,loyalty"}
    checked = rapport("plugins", "check", **settings)
    assert checked.code == 1
    assert "rfn: in RAPPORT_PLUGINS_ALLOW, but no such plugin is installed: did you mean rfm?" in checked.err
    listed = rapport("plugins", "list", **settings)
    assert "not installed, but in RAPPORT_PLUGINS_ALLOW: did you mean rfm?" in listed.out
    # By distribution is as good as by plugin, in any spelling.
    assert rapport("plugins", "check", RAPPORT_PLUGINS_ALLOW="Rapport_Loyalty,rfm").code == 0


def test_settings_are_printed_as_their_variables_take_them() -> None:
    given = {
        "RAPPORT_PLUGIN_RECIPIENTS_REFUSED_DOMAINS": "a.test, b.test",
        "RAPPORT_PLUGIN_EMAIL_SMTP_PASSWORD": "hush hush",
    }
    values = printed(rapport("plugins", "list", **given).out)
    assert values["RAPPORT_PLUGIN_RECIPIENTS_REFUSED_DOMAINS"] == "a.test,b.test"
    assert values["RAPPORT_PLUGIN_EMAIL_SMTP_PASSWORD"] == "***"
    bare = rapport("plugins", "list").out
    assert "RAPPORT_PLUGIN_EMAIL_SMTP_PASSWORD=  # (unset) " in bare
    values = printed(bare)
    assert values["RAPPORT_PLUGIN_EMAIL_SMTP_PASSWORD"] == ""
    again = rapport("plugins", "list", **{name: value for name, value in values.items() if value})
    assert printed(again.out) == values


def printed(text: str) -> dict[str, str]:
    """Return the printed settings as a shell reads them."""
    lines = [line for line in text.splitlines() if line.startswith("  RAPPORT_PLUGIN_")]
    return dict(shlex.split(line, comments=True)[0].split("=", 1) for line in lines)


def test_an_unknown_event_type_is_a_warning(tmp_path: Path) -> None:
    source = GOOD.replace("good", "spy").replace(
        'doc="always"', 'doc="x", events=("order.plced", "shoe.worn")'
    )
    install(tmp_path, "spy", source)
    checked = rapport("plugins", "check", packages=tmp_path, RAPPORT_DATA_DIR=str(tmp_path))
    assert checked.code == 0
    assert checked.err.splitlines() == [
        "spy.always: warning: reads events 'order.plced', and no such type is known without a running stack to ask: "
        "did you mean order.placed?",
        "spy.always: warning: reads events 'shoe.worn', and no such type is known without a running stack to ask",
    ]


def test_event_types_of_the_business_are_asked_of_the_running_stack(
    segmentation: Office, tmp_path: Path
) -> None:
    world = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    world.empty()
    world.deliver(page_visited_defined())
    source = GOOD.replace("good", "spy").replace(
        'doc="always"', 'doc="x", events=("page.visited", "shoe.worn")'
    )
    install(tmp_path, "spy", source)
    checked = rapport(
        "plugins",
        "check",
        packages=tmp_path,
        RAPPORT_ADDRESS=f"127.0.0.1:{segmentation.served.ports.api}",
        RAPPORT_TOKEN=segmentation.token,
    )
    assert checked.code == 0
    assert checked.err.splitlines() == [
        "spy.always: warning: reads events 'shoe.worn', and no such type is known on the running stack"
    ]


def test_a_trait_whose_refresh_failed_is_a_warning(segmentation: Office) -> None:
    world = World(service_of(segmentation.served.runtime), segmentation.served.clock)
    running = {
        "RAPPORT_ADDRESS": f"127.0.0.1:{segmentation.served.ports.api}",
        "RAPPORT_TOKEN": segmentation.token,
    }

    # Once the worker has computed it, it does not again for as long as the clock stands still.
    with world.db.transaction() as connection:
        vocabulary.put_traits(
            connection, {"rfm.scores": plain(to_json(world.service.catalog().traits["rfm.scores"]))}
        )
    until(lambda: any(world.query("SELECT refresh_time FROM trait")), "the worker has computed the trait")
    (computed,) = world.query("SELECT refresh_time FROM trait")

    def remember(problem: str) -> None:
        with world.db.transaction() as connection:
            vocabulary.refreshed(connection, "rfm.scores", computed, problem)

    remember("rfm.scores: SQL took longer than 300 s")
    checked = rapport("plugins", "check", **running)
    assert (checked.code, checked.err.splitlines()) == (
        0,
        [
            "rfm.scores: warning: its last refresh failed, and its values are those of before: "
            "SQL took longer than 300 s"
        ],
    )
    remember("")
    assert rapport("plugins", "check", **running).err == ""
