"""Lowering of the bucket that a contact falls in."""

from __future__ import annotations

from typing import Any

from services.segmentation.rules import ir
from services.segmentation.rules.buckets import DEFAULT_BUCKETS, MAX_BUCKETS
from services.segmentation.rules.scope import LoweringBase


class BucketLowering(LoweringBase):
    """Lower bucket()."""

    def constant(self, expr: Any) -> ir.Const:
        """Lower a literal (see ``Lowering``)."""
        raise NotImplementedError

    def bucket(self, expr: Any, arguments: list[Any]) -> ir.Node:
        """Lower ``bucket("salt")`` or ``bucket("salt", count)``."""
        values = [
            self.constant(a).value if a.WhichOneof("expr_kind") == "const_expr" else None for a in arguments
        ]
        salt, count = values[0], values[1] if len(values) > 1 else DEFAULT_BUCKETS
        if not isinstance(salt, str) or not salt:
            raise self.refuse(
                arguments[0],
                'bucket() takes a salt written out, a name of what is tried: bucket("spring") < 10',
            )
        if not isinstance(count, int) or not 1 <= count <= MAX_BUCKETS:
            raise self.refuse(
                arguments[1],
                f'bucket() divides into 1 to {MAX_BUCKETS:,}, written out: bucket("spring", 1000) < 5',
            )
        return ir.Bucket(kind="int", salt=salt, count=count)
