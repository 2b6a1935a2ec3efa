"""Queries on the cases of contacts that were merged into another one or erased."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Connection

from services.kit import gone


def hand_over(connection: Connection, heirs: Mapping[UUID, UUID | None]) -> None:
    """Give cases to the contacts that remain; those of nobody lose their contact."""
    connection.exec_driver_sql(
        'UPDATE "case" AS c SET contact_id = n.heir, revision = c.revision + 1 '
        "FROM unnest(%(ids)s::uuid[], %(heirs)s::uuid[]) AS n(contact_id, heir) WHERE c.contact_id = n.contact_id",
        {"ids": list(heirs), "heirs": list(heirs.values())},
    )


def empty(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Take everything personal out of the cases of contacts; times, state and marks stay for the figures."""
    ids = {"ids": list(contact_ids)}
    mine = 'SELECT id FROM "case" WHERE contact_id = ANY(%(ids)s::uuid[])'
    # Agents write of the customer too; who of them wrote stays.
    connection.exec_driver_sql(
        "UPDATE case_message SET text = '', external_id = '', "
        "author = CASE WHEN kind = 'inbound' THEN '' ELSE author END "
        f"WHERE case_id IN ({mine})",
        ids,
    )
    connection.exec_driver_sql(
        f"UPDATE received_mail SET recipient = md5(recipient) WHERE recipient <> '' AND case_id IN ({mine})",
        ids,
    )
    connection.exec_driver_sql(
        "UPDATE \"case\" SET address = '', subject = '', csat_comment = '', verified = false "
        "WHERE contact_id = ANY(%(ids)s::uuid[])",
        ids,
    )
    gone.forget_told(connection, contact_ids)
