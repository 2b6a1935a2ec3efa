"""Rules of the campaign service; no input or output."""
