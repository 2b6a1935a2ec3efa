"""The rules of contacts: pure functions and dataclasses, no I/O."""
