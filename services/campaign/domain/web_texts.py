"""What the pages of links say, in each of their languages, and which language a visitor gets.

A language is added with a row in `TEXTS` that has all of them, and with the tags in `_TAGS` that mean it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

ENGLISH, VIETNAMESE, SIMPLIFIED, TRADITIONAL = "en", "vi", "zh-Hans", "zh-Hant"
PARAMETER = "l"
"""Of a link: the language of whom it was made for. It is no secret and not signed: it chooses among our own texts."""

_LONGEST_HEADER = 1000
_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?"
)
# The longest beginning of a tag counts (RFC 4647, 3.4), so that regions need no rows of their own.
_TAGS = MappingProxyType(
    {
        "en": ENGLISH,
        "vi": VIETNAMESE,
        "zh": SIMPLIFIED,
        "zh-hant": TRADITIONAL,
        "zh-tw": TRADITIONAL,
        "zh-hk": TRADITIONAL,
        "zh-mo": TRADITIONAL,
        "zh-hans": SIMPLIFIED,
    }
)


class Text(StrEnum):
    """Name what a page says to a person."""

    UNSUBSCRIBE = "unsubscribe"
    PRESS = "press"
    UNSUBSCRIBED = "unsubscribed"
    NO_MORE = "no-more"
    SORRY = "sorry"
    NOT_FOUND = "not-found"
    BAD_LINK = "bad-link"
    LEADS_NOWHERE = "leads-nowhere"
    NOTHING_HERE = "nothing-here"
    NOT_DONE_HERE = "not-done-here"
    WENT_WRONG = "went-wrong"
    TRY_AGAIN = "try-again"


TEXTS: Mapping[str, Mapping[Text, str]] = {
    ENGLISH: {
        Text.UNSUBSCRIBE: "Unsubscribe",
        Text.PRESS: "Press the button to get no more of these messages.",
        Text.UNSUBSCRIBED: "Unsubscribed",
        Text.NO_MORE: "You will get no more of these messages.",
        Text.SORRY: "Sorry",
        Text.NOT_FOUND: "Not found",
        Text.BAD_LINK: "This link is not valid. Please use the one in the message you got.",
        Text.LEADS_NOWHERE: "This link leads nowhere.",
        Text.NOTHING_HERE: "There is nothing here.",
        Text.NOT_DONE_HERE: "This cannot be done here.",
        Text.WENT_WRONG: "Something went wrong here.",
        Text.TRY_AGAIN: "Please try again in a minute.",
    },
    VIETNAMESE: {
        Text.UNSUBSCRIBE: "Hủy đăng ký",
        Text.PRESS: "Nhấn nút để không nhận những tin nhắn này nữa.",
        Text.UNSUBSCRIBED: "Đã hủy đăng ký",
        Text.NO_MORE: "Bạn sẽ không nhận những tin nhắn này nữa.",
        Text.SORRY: "Rất tiếc",
        Text.NOT_FOUND: "Không tìm thấy",
        Text.BAD_LINK: "Liên kết này không hợp lệ. Vui lòng dùng liên kết trong tin nhắn bạn đã nhận.",
        Text.LEADS_NOWHERE: "Liên kết này không dẫn đến đâu cả.",
        Text.NOTHING_HERE: "Không có gì ở đây.",
        Text.NOT_DONE_HERE: "Không thể thực hiện việc này tại đây.",
        Text.WENT_WRONG: "Đã xảy ra lỗi.",
        Text.TRY_AGAIN: "Vui lòng thử lại sau một phút.",
    },
    SIMPLIFIED: {
        Text.UNSUBSCRIBE: "退订",
        Text.PRESS: "点击按钮后，您将不再收到此类消息。",
        Text.UNSUBSCRIBED: "已退订",
        Text.NO_MORE: "您将不再收到此类消息。",
        Text.SORRY: "抱歉",
        Text.NOT_FOUND: "未找到",
        Text.BAD_LINK: "此链接无效。请使用您所收到消息中的链接。",
        Text.LEADS_NOWHERE: "此链接无法打开任何页面。",
        Text.NOTHING_HERE: "这里没有内容。",
        Text.NOT_DONE_HERE: "无法在此执行该操作。",
        Text.WENT_WRONG: "出现了错误。",
        Text.TRY_AGAIN: "请一分钟后重试。",
    },
    TRADITIONAL: {
        Text.UNSUBSCRIBE: "取消訂閱",
        Text.PRESS: "點按按鈕後，您將不再收到此類訊息。",
        Text.UNSUBSCRIBED: "已取消訂閱",
        Text.NO_MORE: "您將不再收到此類訊息。",
        Text.SORRY: "抱歉",
        Text.NOT_FOUND: "找不到",
        Text.BAD_LINK: "此連結無效。請使用您所收到訊息中的連結。",
        Text.LEADS_NOWHERE: "此連結無法開啟任何頁面。",
        Text.NOTHING_HERE: "這裡沒有內容。",
        Text.NOT_DONE_HERE: "無法在此執行該操作。",
        Text.WENT_WRONG: "發生錯誤。",
        Text.TRY_AGAIN: "請於一分鐘後重試。",
    },
}


def language_of(tag: str) -> str:
    """Return the language of the pages that a tag of BCP 47 means, such as `vi` for `vi-VN`; "" for none."""
    parts = tag.lower().split("-")[:8]
    for count in range(len(parts), 0, -1):
        if found := _TAGS.get("-".join(parts[:count])):
            return found
    return ""


def choose_language(link: str, accepted: str, fallback: str) -> str:
    """Return the language for a visitor: of the link, else of Accept-Language (RFC 9110, 12.5.4), else the fallback.

    Both come from strangers: what is malformed or not known says nothing. fallback: a language of the pages.
    """
    if found := language_of(link[:100]):
        return found
    wanted: list[tuple[float, str]] = []
    for part in accepted[:_LONGEST_HEADER].split(","):
        if match := _RANGE.fullmatch(part):
            weight = float(match[2] or 1)
            if (found := language_of(match[1])) and weight > 0:
                wanted.append((weight, found))
    # Of several as much wanted the first.
    return max(wanted, key=lambda item: item[0])[1] if wanted else fallback
