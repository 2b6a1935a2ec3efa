"""The revisions of each service are one line, and their files' names tell it as Alembic does."""

from __future__ import annotations

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from services.kit import migrations, revisions
from services.kit.config import SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_file_names_tell_the_line_of_revisions(service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.SCRIPTS))
    config.set_main_option("version_locations", str(revisions.folder(service)))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)
    line = [item.revision for item in script.walk_revisions()][::-1]
    assert line
    assert revisions.known(service) == line
    assert revisions.head(service) == script.get_current_head()
