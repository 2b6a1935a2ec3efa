"""Actions of the campaign service."""
