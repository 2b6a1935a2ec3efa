"""The Alembic environment of all services; `services.kit.migrations` hands it its connection and tables."""

from __future__ import annotations

from alembic import context

_attributes = context.config.attributes

context.configure(
    connection=_attributes["connection"],
    target_metadata=_attributes["metadata"],
    compare_type=True,
    compare_server_default=_attributes["compare_server_default"],
    # A migration that fails takes back itself alone; one that needs it may leave its transaction
    # (autocommit_block).
    transaction_per_migration=True,
    on_version_apply=_attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
