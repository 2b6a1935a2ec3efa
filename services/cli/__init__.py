"""The command line: `rapport up`, `run`, `migrate`, `demo`, `import`, `segments`, `plugins`."""

from services.cli.app import main

__all__ = ["main"]
