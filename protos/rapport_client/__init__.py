"""Call Rapport's services.

    from rapport_client import connect

    with connect() as rapport:
        contact = rapport.contacts.get_contact(name="contacts/…").contact

Every RPC is a method in snake_case that takes the fields of its request as keywords (or a request message)
and returns the response message. Failures are exceptions of `rapport_client.errors`.
"""

from rapport_client import errors
from rapport_client.client import SERVICES, Rapport, connect
from rapport_client.method import Method, Stream
from rapport_client.money import from_money, to_money
from rapport_client.retry import RetryPolicy
from rapport_client.service import ServiceClient
from rapport_client.tls import Tls

__all__ = [
    "SERVICES",
    "Method",
    "Rapport",
    "RetryPolicy",
    "ServiceClient",
    "Stream",
    "Tls",
    "connect",
    "errors",
    "from_money",
    "to_money",
]
