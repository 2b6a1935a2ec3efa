"""Refuses migrations that lock tables in use, or break the release before; none of this is in the image."""
