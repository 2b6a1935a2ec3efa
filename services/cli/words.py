"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as "1 member" and "2 members"; plural: where an "s" does not make it."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
