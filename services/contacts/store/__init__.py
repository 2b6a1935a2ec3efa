"""The queries of contacts: no other module of the service speaks to the database."""
