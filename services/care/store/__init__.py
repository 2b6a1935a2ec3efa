"""Queries of care, by subject."""
