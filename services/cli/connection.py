"""The client with which commands talk to the services."""

from __future__ import annotations

from rapport_client import Rapport, connect

from services.kit.errors import InvalidArgument


def connect_here() -> Rapport:
    """Return a client of the installation that the environment names, or of the stack of this folder.

    Raises InvalidArgument when there is none.
    """
    try:
        return connect()
    except ValueError as error:
        raise InvalidArgument(str(error), reason="NO_INSTALLATION") from error
