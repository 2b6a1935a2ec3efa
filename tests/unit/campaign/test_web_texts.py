"""In which language a visitor is spoken to, and that each language says everything."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaign.domain.web_texts import TEXTS, Text, choose_language, language_of
from services.kit.config import Settings


@pytest.mark.parametrize("language", TEXTS)
def test_each_language_says_everything_and_needs_no_escapes(language: str) -> None:
    texts = TEXTS[language]
    assert set(texts) == set(Text)
    assert all(texts.values())
    assert [text for text in texts.values() if html.escape(text) != text or "{" in text] == []
    assert language_of(language) == language
    assert Settings(web_language=language).web_language == language


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("EN-gb", "en"),
        ("vi-VN", "vi"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hant-HK", "zh-Hant"),
        ("zh-HK", "zh-Hant"),
        ("zh-Hans-TW", "zh-Hans"),
        ("vie", ""),
        ("fr", ""),
        ("", ""),
        ("-", ""),
    ],
)
def test_tags_mean_languages_by_their_longest_known_beginning(tag: str, language: str) -> None:
    assert language_of(tag) == language


@pytest.mark.parametrize(
    ("link", "accepted", "language"),
    [
        ("vi", "en", "vi"),
        ("fr", "en", "en"),
        ("", "", "vi"),
        ("", "*", "vi"),
        ("", "fr;q=1.0, en;q=0", "vi"),
        ("", "fr, en;q=0.2, zh;q=0.7", "zh-Hans"),
        ("", "zh-TW,zh;q=0.9,en-US;q=0.8", "zh-Hant"),
        ("", "en, vi", "en"),
        ("", "en;q=0.1;x, vi;q=9", "vi"),
        ("", "en" * 5000, "vi"),
    ],
)
def test_the_link_counts_before_the_browser_and_the_browser_before_the_setting(
    link: str, accepted: str, language: str
) -> None:
    assert choose_language(link, accepted, "vi") == language


@given(link=st.text(max_size=50), accepted=st.text(max_size=200))
def test_whatever_strangers_say_there_is_a_language(link: str, accepted: str) -> None:
    assert choose_language(link, accepted, "en") in TEXTS
