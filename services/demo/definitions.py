"""What the demo's business defines: segments, types of activity, texts, promises."""

from __future__ import annotations

from rapport.campaign.v1 import campaign_pb2 as campaign
from rapport.contacts.v1 import contacts_pb2 as contacts

SEGMENTS: dict[str, tuple[str, str]] = {
    "browsers": (
        "Looked three times in 30 days and has not bought since",
        "events.page_visited.filter(v, now - v.time <= days(30)).size() >= 3"
        " && !events.page_visited.exists(v, now - v.time <= days(30)"
        " && events.order_placed.exists(o, o.time > v.time))",
    ),
    "lapsed": (
        "Bought before, but not in the last 90 days",
        "events.order_placed.size() > 0 && !events.order_placed.exists(o, now - o.time <= days(90))",
    ),
    "loyal": (
        "At least five orders, one of them in the last 30 days",
        "events.order_placed.size() >= 5 && events.order_placed.exists(o, now - o.time <= days(30))",
    ),
    "newcomers": (
        "First order within the last 30 days",
        "events.order_placed.size() > 0 && events.order_placed.all(o, now - o.time <= days(30))",
    ),
    "repeat": (
        "At least two orders in the last 60 days",
        "events.order_placed.filter(o, now - o.time <= days(60)).size() >= 2",
    ),
}
"""Display name and rule of each segment, by id."""

CHANNEL = "email.smtp"
CAMPAIGN = "we-miss-you"
JOURNEY = "thank-you"
CAMPAIGN_POOL = "come-back"
THANKS_POOL = "thanks"

PAGE_VISITED = contacts.ActivityType(
    id="page.visited",
    label="Looked at a page",
    fields=[
        contacts.ActivityField(id="page", type=contacts.VALUE_TYPE_STRING),
        contacts.ActivityField(id="seconds", type=contacts.VALUE_TYPE_INT, optional=True),
    ],
)

TEMPLATES: dict[str, list[campaign.TemplateContent]] = {
    "come-back": [
        campaign.TemplateContent(
            language_code="",
            subject="{{ contact.given_name | default('Hello', true) }}, we miss you",
            text="Dear {{ contact.display_name | default('customer', true) }},\n\n"
            "it has been a while. Your code {{ coupon }} takes 10 % off your next order.\n",
            html="<p>Dear {{ contact.display_name | default('customer', true) }},</p>"
            "<p>it has been a while. Your code <b>{{ coupon }}</b> takes 10 % off your next order.</p>",
        ),
        campaign.TemplateContent(
            language_code="vi",
            subject="{{ contact.given_name | default('Bạn', true) }} ơi, lâu rồi không gặp",
            text="Chào {{ contact.display_name }},\n\nMã {{ coupon }} giảm 10 % cho đơn hàng tới của bạn.\n",
            html="<p>Chào {{ contact.display_name }},</p><p>Mã <b>{{ coupon }}</b> giảm 10 % cho đơn hàng tới.</p>",
        ),
        campaign.TemplateContent(
            language_code="zh",
            subject="{{ contact.display_name | default('您好', true) }},好久不见",
            text="{{ contact.display_name }},您好:\n\n优惠码 {{ coupon }} 可为您的下一单减免 10%。\n",
            html="<p>{{ contact.display_name }},您好:</p><p>优惠码 <b>{{ coupon }}</b> 可为您的下一单减免 10%。</p>",
        ),
    ],
    "thanks": [
        campaign.TemplateContent(
            language_code="",
            subject="Thank you for your order",
            text="Dear {{ contact.display_name | default('customer', true) }},\n\n"
            "thank you. How was it? Just answer "
            "this mail.\nYour code {{ coupon }} takes 5 % off the next order.\n",
            html="",
        ),
        campaign.TemplateContent(
            language_code="vi",
            subject="Cảm ơn bạn đã đặt hàng",
            text="Chào {{ contact.display_name }},\n\ncảm ơn bạn. Bạn có hài lòng không? Hãy trả lời thư này.\n"
            "Mã {{ coupon }} giảm 5 %.\n",
            html="",
        ),
        campaign.TemplateContent(
            language_code="zh",
            subject="感谢您的订购",
            text="{{ contact.display_name }},您好:\n\n谢谢!您满意吗?请直接回复本邮件。\n"
            "优惠码 {{ coupon }} 减免 5%。\n",
            html="",
        ),
    ],
}

AGENTS = ("front-desk", "second-line", "weekend")
FIRST_RESPONSE_MINUTES = 240
RESOLUTION_MINUTES = 960
