"""What parent and rendering child agree on."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">I")
"""Length of the frame that follows."""

PROGRESS = struct.Struct("=II")
"""In shared memory: the item of the batch that is in work, and what is done with it."""

LATE = {"late": True}
"""The answer to a job that there was no time for."""

IDLE, COMPILING, RENDERING = 0, 1, 2
