"""Names of segments as people type them."""


def segment_name(segment: str) -> str:
    """Return the resource name of a segment given by its id or by its name."""
    return segment if segment.startswith("segments/") else f"segments/{segment}"
