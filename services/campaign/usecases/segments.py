"""The segments that campaigns and journeys name, looked up in segmentation."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice

import grpc
from rapport_client.errors import RapportError as ClientError

from services.campaign.usecases.journey_moving import is_refusal
from services.kit.errors import Unavailable
from services.kit.log import safe_text
from services.kit.names import format_name
from services.kit.runtime import Runtime

_LOOKED_THROUGH = 2000


def problem(runtime: Runtime, name: str) -> str:
    """Return in words why there is no such segment, with the nearest one that is there; "" when it is there.

    Raises Unavailable when segmentation does not answer.
    """
    try:
        runtime.clients.segmentation.get_segment(name=name)
    except ClientError as error:
        if not is_refusal(error):
            raise Unavailable(
                f"{name} cannot be looked up: {error.message}; try again later", reason=error.reason or None
            ) from error
        if error.code is not grpc.StatusCode.NOT_FOUND:
            return safe_text(error.message)
        close = _nearest(runtime, name)
        return f"{name} does not exist" + (f": did you mean {close}?" if close else "")
    return ""


def _nearest(runtime: Runtime, name: str) -> str:
    try:
        listed = runtime.clients.segmentation.list_segments.iterate(page_size=1000)
        known = [_id(item.name) for item in islice(listed, _LOOKED_THROUGH)]
    except ClientError:
        return ""  # the answer stands without it
    close = get_close_matches(_id(name), known, 1)
    return format_name("segments", close[0]) if close else ""


def _id(name: str) -> str:
    return name.partition("/")[2]
