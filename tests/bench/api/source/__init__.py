"""A source whose worker does nothing but relay and publish its events."""
