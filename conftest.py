"""What holds for all tests of the project."""

import gc
import logging
import sys
from collections.abc import Generator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from structlog.typing import EventDict, WrappedLogger

# No unit test is timed: a busy machine must not fail a law that holds. Each run draws anew, also where Hypothesis sees
# that it is one of continuous integration and would draw the same for ever; what fails is printed so that it can be had
# again.
settings.register_profile(
    "rapport",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rapport")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let one choose what carries events in tests of whole services."""
    parser.addoption(
        "--transport",
        choices=("auto", "stream", "amqp"),
        default="auto",
        help="what carries events between services: the event streams or RabbitMQ; auto: RabbitMQ in the stack of "
        "tests/e2e where it is installed, and the streams elsewhere. Tests of the transports themselves run on both.",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let one process of the run have the tests that share something which takes long to start."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.support.scheduling import ByShare

    return ByShare(config, log)  # type: ignore[arg-type]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while thousands of tests are found, of which nothing goes, nor later among what they hold."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def _errors_only(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if method in ("error", "exception", "critical"):
        return event
    raise structlog.DropEvent


# Servers that run inside a test say only what went wrong, and not where a command under test prints. Loggers are not
# kept, so that a test which captures logs sees those that others have used before; levels are left to the processors
# for the same reason.
structlog.configure(
    processors=[_errors_only, structlog.dev.ConsoleRenderer(colors=False)],
    logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__),
    cache_logger_on_first_use=False,
)
logging.getLogger("grpc").setLevel(logging.CRITICAL)
