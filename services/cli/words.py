"""Numbers in sentences."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 member" and "2 members"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
