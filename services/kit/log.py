"""Structured logs: one line per event on standard error, never with personal data or tokens."""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import structlog
from sqlalchemy.exc import DBAPIError
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from services.kit import context
from services.kit.masking import mask_fields, safe_text
from services.kit.printed import Printed

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["configure", "get_logger", "redact", "safe_summary", "safe_text", "safe_traceback"]

_QUOTED = re.compile("[:\"'«»‹›„“”「『]")


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module or component; works before configuration too."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger


def configure(level: str, form: str, **fields: str) -> None:
    """Set up logging for this process.

    level: DEBUG to ERROR; form: `json` or `console`; fields: constant fields of each line, such as service
    and role. Lines of the standard library's loggers take the same form, as does what anybody prints.
    """
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _call_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception_text,
        redact,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if form == "console"
        else structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
    )
    constant = _constant_fields(fields)
    structlog.configure(
        processors=[constant, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[constant, structlog.stdlib.add_logger_name, *shared],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.INFO))
    # grpc tells of each aborted call and each failed connection attempt on its own; both reach our log
    # already.
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    _take_uncaught()
    if not isinstance(sys.stdout, Printed):
        sys.stdout = Printed(sys.stdout)


def _take_uncaught() -> None:
    """Log what Python itself would print, over several lines and with all that it holds: uncaught errors, warnings."""
    logger = logging.getLogger("uncaught")

    def tell(level: int, where: str, error: BaseException | None) -> None:
        logger.log(level, "an error in %s was not caught", where, exc_info=error)

    def main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            tell(logging.CRITICAL, "the main thread", error)

    def of_thread(found: threading.ExceptHookArgs) -> None:
        if not issubclass(found.exc_type, SystemExit):
            tell(logging.ERROR, f"the thread {found.thread.name if found.thread else '?'}", found.exc_value)

    def unraisable(found: UnraisableHookArgs) -> None:
        tell(logging.ERROR, found.err_msg or "the end of an object", found.exc_value)

    sys.excepthook = main
    threading.excepthook = of_thread
    sys.unraisablehook = unraisable
    logging.captureWarnings(True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace secrets and personal data by marks, by the names of fields and by what texts look like."""
    return mask_fields(cast("dict[str, Any]", event))


def safe_traceback(error: BaseException) -> str:
    """Return the traceback without personal data.

    Database messages quote the rows at fault, so only the SQL state, the primary message and the constraint
    are kept.
    """
    parts: list[str] = []
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        frames = "".join(traceback.format_tb(following.__traceback__))
        parts.append(f"Traceback:\n{frames}{type(following).__qualname__}: {_safe_message(following)}")
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return "\n\nwhich was caused by:\n\n".join(parts)


def safe_summary(error: BaseException) -> str:
    """Return the type and message of an error without personal data, for a line of log or a stored error."""
    return f"{type(error).__qualname__}: {_safe_message(error)}"


def _safe_message(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    diagnosis = getattr(original, "diag", None)
    # A connection that failed has nothing of the kind, and quotes no rows.
    if diagnosis is None or getattr(original, "sqlstate", None) is None:
        return safe_text(str(original))
    state, primary = str(getattr(original, "sqlstate", None)), diagnosis.message_primary
    if state.startswith("22") and primary:
        # What is no number, date or text quotes itself, in the quotation marks of the server's language.
        primary = _QUOTED.split(primary, maxsplit=1)[0].strip()
    named = [primary, diagnosis.constraint_name, diagnosis.table_name]
    return f"[{state}] " + ", ".join(safe_text(part) for part in named if part)


def _constant_fields(fields: dict[str, str]) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        for key, value in fields.items():
            event.setdefault(key, value)
        return event

    return add


def _call_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    call = context.current()
    if call is not None:
        event.setdefault("request_id", call.request_id)
        event.setdefault("trace_id", call.traceparent[3:35])
        event.setdefault("span_id", call.traceparent[36:52])
    return event


def _exception_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given: Any = event.pop("exc_info", None)
    if given:
        if isinstance(given, BaseException):
            error: BaseException | None = given
        else:
            error = given[1] if isinstance(given, tuple) else sys.exc_info()[1]
        if error is not None:
            event["exception"] = safe_traceback(error)
    return event
