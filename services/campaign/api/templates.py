"""Methods of CampaignService on templates: made, changed, read and previewed."""

from __future__ import annotations

import grpc
from rapport.campaign.v1 import campaign_pb2 as pb
from sqlalchemy import Connection

from services.campaign import codec
from services.campaign.api.base import Methods
from services.campaign.usecases import templates
from services.kit.names import parse_key, parse_name


class TemplateMethods(Methods):
    """Answer the RPCs on templates."""

    def CreateTemplate(
        self, request: pb.CreateTemplateRequest, context: grpc.ServicerContext
    ) -> pb.CreateTemplateResponse:
        """Create a template."""
        contents = codec.decode_contents(request.template.contents)
        return self.once(
            request,
            pb.CreateTemplateResponse,
            lambda connection: pb.CreateTemplateResponse(
                template=codec.encode_template(
                    templates.create_template(
                        self._runtime,
                        connection,
                        request.template_id,
                        request.template.display_name,
                        contents,
                    )
                )
            ),
        )

    def GetTemplate(
        self, request: pb.GetTemplateRequest, context: grpc.ServicerContext
    ) -> pb.GetTemplateResponse:
        """Return a template."""
        found = templates.get_template(self._runtime, parse_key(request.name, "templates"))
        return pb.GetTemplateResponse(template=codec.encode_template(found))

    def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: grpc.ServicerContext
    ) -> pb.ListTemplatesResponse:
        """List templates by id."""
        found, token = self.page_by_id(
            request,
            lambda after, count: templates.list_templates(self._runtime, after=after, count=count),
            lambda item: item.id,
        )
        return pb.ListTemplatesResponse(templates=map(codec.encode_template, found), next_page_token=token)

    def UpdateTemplate(
        self, request: pb.UpdateTemplateRequest, context: grpc.ServicerContext
    ) -> pb.UpdateTemplateResponse:
        """Change fields of a template."""
        key = parse_key(request.template.name, "templates", "template.name")
        contents = codec.decode_contents(request.template.contents)

        def update(connection: Connection) -> pb.UpdateTemplateResponse:
            changed = templates.update_template(
                self._runtime,
                connection,
                key,
                list(request.update_mask.paths),
                request.template.display_name,
                contents,
                request.etag,
            )
            return pb.UpdateTemplateResponse(template=codec.encode_template(changed))

        return self.once(request, pb.UpdateTemplateResponse, update)

    def PreviewTemplate(
        self, request: pb.PreviewTemplateRequest, context: grpc.ServicerContext
    ) -> pb.PreviewTemplateResponse:
        """Render a template and send nothing."""
        made = templates.preview_template(
            self._runtime,
            parse_key(request.name, "templates"),
            parse_name(request.contact, "contacts", "contact"),
        )
        return pb.PreviewTemplateResponse(
            subject=made.subject, text=made.text, html=made.html, language_code=made.language_code
        )
