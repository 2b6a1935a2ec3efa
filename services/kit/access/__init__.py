"""Who calls, what it may do, and with whose records: tokens, roles, scopes, limits and the record of refusals."""
