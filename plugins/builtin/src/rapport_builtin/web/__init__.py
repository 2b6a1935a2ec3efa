"""HTTP for channels: to addresses that were checked, within bounds, and with certainty about what was sent."""
