"""Queries of the campaign service."""
