"""Rule tests."""

from __future__ import annotations

import grpc
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.wire import enum_number
from services.segmentation.api.base import Methods
from services.segmentation.usecases import rule_testing


class RuleTestMethods(Methods):
    """Answer the RPC that runs rule tests."""

    def TestRules(
        self, request: pb.TestRulesRequest, context: grpc.ServicerContext | None
    ) -> pb.TestRulesResponse:
        """Run the cases of a file."""
        results = rule_testing.run_cases(self._service, request.cases, request.file_name or "cases")
        return pb.TestRulesResponse(
            results=[
                pb.RuleTestResult(
                    name=item.name,
                    sql=enum_number(pb.RuleVerdict, item.sql),
                    cel=enum_number(pb.RuleVerdict, item.cel),
                    expected=enum_number(pb.RuleVerdict, item.expected),
                    ok=item.ok,
                    message=item.message,
                    cel_limited=item.limited,
                    line=item.line,
                )
                for item in results
            ]
        )
