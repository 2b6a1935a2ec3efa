"""The one business clock: every service takes the time from here."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from services.kit.errors import InvalidArgument


def machine_seconds() -> float:
    """Return the machine's time in POSIX seconds, whatever the business clock says.

    For what the world outside dates by its own clock: the times in tokens and certificates.
    """
    return time.time()


class Clock(Protocol):
    """Tell the business time."""

    def now(self) -> datetime:
        """Return the time now, aware, in UTC, to the microsecond."""
        ...


class SystemClock:
    """Tell the machine's time."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)


class FixedClock:
    """Stand still at one instant; tests may move it."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant.astimezone(UTC)

    def now(self) -> datetime:
        """Return the instant."""
        return self.instant


class OffsetClock:
    """Run beside the machine's time at a fixed distance."""

    def __init__(self, offset: timedelta) -> None:
        self._offset = offset

    def now(self) -> datetime:
        """Return the machine's time plus the offset, in UTC."""
        return datetime.now(UTC) + self._offset


class FileClock:
    """Read the instant from a file that several processes share, so that a demo or a test can move their time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """Return the instant in the file, or what the clock described in it tells."""
        return parse_clock(self._path.read_text().strip()).now()


def parse_clock(text: str) -> Clock:
    """Make the clock that a setting describes.

    text: empty for the machine's time; `fixed:2011-12-10T00:00:00Z`; `offset:-86400` in seconds;
    `file:/path` of a file that holds one of the former. Raises InvalidArgument for anything else.
    """
    kind, _, value = text.partition(":")
    try:
        match kind:
            case "" | "system":
                return SystemClock()
            case "fixed":
                instant = datetime.fromisoformat(value)
                if instant.tzinfo is None:
                    raise ValueError("the time needs a zone, such as a final Z")
                return FixedClock(instant)
            case "offset":
                clock = OffsetClock(timedelta(seconds=float(value)))
                clock.now()  # a distance that leaves the calendar is a mistake of the setting, too
                return clock
            case "file":
                return FileClock(Path(value))
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"clock {text!r}: {error}", reason="INVALID_CLOCK") from error
    raise InvalidArgument(
        f"clock {text!r}: expected 'fixed:<time>', 'offset:<seconds>', 'file:<path>' or nothing",
        reason="INVALID_CLOCK",
    )


def write_clock(path: Path, instant: datetime) -> None:
    """Set a shared file clock to an instant, atomically."""
    temporary = path.with_suffix(".new")
    temporary.write_text(f"fixed:{instant.astimezone(UTC).isoformat()}\n")
    temporary.replace(path)


def machine_nanos() -> int:
    """Return the machine's time in nanoseconds since 1970: for traces, whose reader sets them beside other systems'."""
    return time.time_ns()
