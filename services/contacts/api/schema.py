"""Definitions of custom attributes and types of activity."""

from __future__ import annotations

import grpc
from rapport.contacts.v1 import contacts_pb2 as pb
from sqlalchemy import Connection

from services.contacts.api.base import Methods
from services.contacts.codec.problems import Problems
from services.contacts.codec.schema import (
    decode_activity_type,
    decode_attribute,
    encode_activity_type,
    encode_attribute,
)
from services.contacts.domain.attributes import check_activity_type, check_attribute
from services.contacts.usecases import schema


class SchemaMethods(Methods):
    """Answer the RPCs on definitions."""

    def CreateAttribute(
        self, request: pb.CreateAttributeRequest, context: grpc.ServicerContext
    ) -> pb.CreateAttributeResponse:
        """Define a custom attribute."""
        problems = Problems()
        attribute = decode_attribute(request.attribute, problems)
        if attribute is not None:
            problems.check("attribute", check_attribute, attribute)
        problems.raise_any()
        assert attribute is not None

        def define(connection: Connection) -> pb.CreateAttributeResponse:
            schema.create_attribute(self._runtime, connection, attribute)
            return pb.CreateAttributeResponse(attribute=encode_attribute(attribute))

        return self._once(request, pb.CreateAttributeResponse, define)

    def ListAttributes(
        self, request: pb.ListAttributesRequest, context: grpc.ServicerContext
    ) -> pb.ListAttributesResponse:
        """List custom attributes by id."""
        place, size = self._page(request, 100)
        found, more = schema.attribute_page(self._runtime, place["id"] if place else "", size)
        return pb.ListAttributesResponse(
            attributes=map(encode_attribute, found),
            next_page_token=self._token(request, more, id=found[-1].id) if more else "",
        )

    def CreateActivityType(
        self, request: pb.CreateActivityTypeRequest, context: grpc.ServicerContext
    ) -> pb.CreateActivityTypeResponse:
        """Define a type of activity."""
        problems = Problems()
        definition = decode_activity_type(request.activity_type, problems)
        if definition is not None:
            problems.check("activity_type", check_activity_type, definition)
        problems.raise_any()
        assert definition is not None

        def define(connection: Connection) -> pb.CreateActivityTypeResponse:
            schema.create_activity_type(self._runtime, connection, definition)
            return pb.CreateActivityTypeResponse(activity_type=encode_activity_type(definition))

        return self._once(request, pb.CreateActivityTypeResponse, define)

    def ListActivityTypes(
        self, request: pb.ListActivityTypesRequest, context: grpc.ServicerContext
    ) -> pb.ListActivityTypesResponse:
        """List types of activity by id."""
        place, size = self._page(request, 100)
        found, more = schema.activity_type_page(self._runtime, place["id"] if place else "", size)
        return pb.ListActivityTypesResponse(
            activity_types=map(encode_activity_type, found),
            next_page_token=self._token(request, more, id=found[-1].id) if more else "",
        )
