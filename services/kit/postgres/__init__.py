"""PostgreSQL for a laptop: our own server from found binaries, and one database per service.

Every connection, by Unix socket or by loopback TCP, needs a password (scram-sha-256); nothing is ever
trusted.
"""

from services.kit.postgres.binaries import Binaries, find_binaries
from services.kit.postgres.errors import PostgresError
from services.kit.postgres.provision import drop, plugin_role, provision
from services.kit.postgres.server import EmbeddedPostgres, ServerStatus
from services.kit.postgres.urls import libpq_url, sqlalchemy_url

__all__ = [
    "Binaries",
    "EmbeddedPostgres",
    "PostgresError",
    "ServerStatus",
    "drop",
    "find_binaries",
    "libpq_url",
    "plugin_role",
    "provision",
    "sqlalchemy_url",
]
