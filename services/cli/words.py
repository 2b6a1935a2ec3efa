"""Numbers in sentences, and texts of others on the screen."""

# A text must not steer the terminal that shows it.
_HARMLESS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as "1 member" and "2 members"; plural: where an "s" does not make it."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def harmless(line: str) -> str:
    """Return a line with its control characters written out, but for tabs."""
    return line.translate(_HARMLESS)
