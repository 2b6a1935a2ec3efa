"""Which process of a run with several has which tests."""

from __future__ import annotations

from fnmatch import fnmatch

from xdist.scheduler import LoadFileScheduling

TOGETHER = {
    "campaign's API": ("tests/contract/campaign/*",),
    "segmentation's API": ("tests/contract/segmentation/*",),
    "the whole stack": tuple(
        f"tests/e2e/test_{name}.py" for name in ("outages", "restore", "stack", "telemetry")
    ),
}
"""Files by what their tests share, and would otherwise be started once in each process."""


def share_of(nodeid: str) -> str:
    """Return what all tests of a share have in common: their file, or what several files share."""
    file = nodeid.partition("::")[0]
    shared = (what for what, files in TOGETHER.items() if any(fnmatch(file, pattern) for pattern in files))
    return next(shared, file)


class ByShare(LoadFileScheduling):
    """Give each file to one process, and files that share something to the same."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)
