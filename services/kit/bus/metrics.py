"""What Prometheus learns of a worker."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

EVENTS = Counter("rapport_events_handled", "Events that had their effect, by consumer.", ["consumer"])
SECONDS = Histogram(
    "rapport_event_batch_seconds",
    "Time that a handler took for a batch, failures included.",
    ["consumer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
FAILURES = Counter(
    "rapport_event_batch_failures",
    "Batches whose handler raised, by consumer and kind.",
    ["consumer", "kind"],
)
DEAD_LETTERS = Counter("rapport_dead_letters", "Events that a consumer gave up.", ["consumer"])
TIMER_RUNS = Counter("rapport_timer_runs", "Runs of timers, by outcome.", ["timer", "outcome"])
TIMER_SECONDS = Histogram(
    "rapport_timer_seconds",
    "Time that a run of a timer took, failures included.",
    ["timer"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0, 60.0, 300.0),
)
OPERATIONS = Counter(
    "rapport_operation_attempts", "Attempts of long-running operations, by outcome.", ["kind", "outcome"]
)
