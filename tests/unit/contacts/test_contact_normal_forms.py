"""Normal forms: what is equal becomes equal, what is wrong is refused, and doing it twice changes nothing."""

from __future__ import annotations

import unicodedata

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contacts.domain import codes, phone
from services.contacts.domain.email import normal_email
from services.contacts.domain.errors import Refused
from services.contacts.domain.identity import Identity, address_on, normal_identity
from services.contacts.domain.names import full_name
from services.contacts.domain.phone import normal_phone
from services.contacts.domain.text import clean_line, fold, limited

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("A.B@Example.TEST", "a.b@example.test"),
        ("  anh@shop.vn ", "anh@shop.vn"),
        ("a+b_c-d@x.y.example.com", "a+b_c-d@x.y.example.com"),
        ("a@пример.рф", "a@пример.рф"),
        ("a@XN--E1AFMKFD.XN--P1AI", "a@пример.рф"),
        (unicodedata.normalize("NFD", "é@x.com"), "é@x.com"),
    ],
)
def test_an_address_has_one_normal_form(text: str, normal: str) -> None:
    assert normal_email(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@",
        "@x.com",
        "a@b",
        "a..b@x.com",
        "a@b@c.com",
        "a b@x.com",
        "a@x..com",
        "a@-x.com",
        "a@x.localhost",
        "a@x.com,b@x.com",
        "x" * 65 + "@x.com",
        "a@" + "x" * 64 + ".com",
        "a\0@x.com",
        '"a"@x.com',
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        normal_email(text)


@given(
    st.emails() | st.from_regex(r"[A-Za-zÀ-ỹ0-9._+-]{1,10}@[a-zA-Z0-9-]{1,8}\.(test|com|vn)", fullmatch=True)
)
def test_a_normal_address_is_its_own_normal_form(text: str) -> None:
    try:
        once = normal_email(text)
    except Refused:
        return
    assert normal_email(once) == once
    assert normal_email(text.upper()) == normal_email(text.upper().lower())


@pytest.mark.parametrize(
    ("text", "region", "normal"),
    [
        ("0901234567", "VN", "+84901234567"),
        ("+84 90 123 45 67", "", "+84901234567"),
        ("0084901234567", "VN", "+84901234567"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("1 650 253 0000", "US", "+16502530000"),
        ("138 1234 5678", "CN", "+8613812345678"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("+44 (0)20 7946 0018", "", "+442079460018"),
        ("+39 06 698 12345", "", "+390669812345"),
        ("０９０１２３４５６７", "VN", "+84901234567"),
    ],
)
def test_a_number_has_one_normal_form(text: str, region: str, normal: str) -> None:
    assert normal_phone(text, region) == normal
    assert normal_phone(normal, region) == normal


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("0901234567", ""),
        ("12", "VN"),
        ("abc", "VN"),
        ("", "VN"),
        ("+84123", ""),
        ("+999123456789", ""),
        ("+84901234567 ext 5", ""),
        ("0901234567", "XX"),
        ("+", ""),
        ("09012345678901234", "VN"),
    ],
)
def test_what_is_no_number_is_refused(text: str, region: str) -> None:
    with pytest.raises(Refused):
        normal_phone(text, region)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    """Draw something close to a number of some region, in national or international spelling, and the region."""
    region = draw(st.sampled_from(REGIONS))
    kind = draw(st.sampled_from([0, 1, 3, 4, 6, 7, 28]))
    example = phonenumbers.example_number_for_type(region, kind) or phonenumbers.example_number(region)
    digits = list(phonenumbers.national_significant_number(example))
    for _ in range(draw(st.integers(0, 2))):
        digits[draw(st.integers(0, len(digits) - 1))] = draw(st.sampled_from("0123456789"))
    national = "".join(digits)[: draw(st.integers(3, 20))]
    lead = draw(
        st.sampled_from(["", "0", "1", "8", "00", f"+{example.country_code}", f"+{example.country_code}0"])
    )
    return lead + national, draw(st.sampled_from(["", region]))


@settings(max_examples=400)
@given(numbers())
def test_the_quick_way_agrees_with_the_library(drawn: tuple[str, str]) -> None:
    text, region = drawn
    quick = phone._international(text[1:]) if text.startswith("+") else phone._national(text, region)
    if quick:
        assert quick == phone._parsed(text, region)


def test_the_quick_way_is_taken_for_the_markets_served() -> None:
    for text, region in [
        ("0901234567", "VN"),
        ("13812345678", "CN"),
        ("6502530000", "US"),
        ("02079460018", "GB"),
    ]:
        assert phone._national(text, region)
    for text in ["84901234567", "8613812345678", "16502530000", "442079460018", "61412345678"]:
        assert phone._international(text)


@given(numbers())
def test_a_normal_number_is_its_own_normal_form(drawn: tuple[str, str]) -> None:
    try:
        once = normal_phone(*drawn)
    except Refused:
        return
    assert normal_phone(once) == once


@given(st.text())
def test_a_clean_line_stays_and_has_no_breaks(text: str) -> None:
    try:
        once = clean_line(text)
    except Refused:
        return
    assert clean_line(once) == once
    assert not set("\t\n\r\0\x1f") & set(once)
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize("text", ["a\0b", "a\x1fb\x07", "\x1b[31m"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        clean_line(text)


def test_too_long_a_text_is_refused_with_both_lengths() -> None:
    with pytest.raises(Refused, match="has 6 characters; at most 5"):
        limited("abcdef", 5)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Đà Nẵng", "da nang"),
        ("NGUYỄN Thị Hương", "nguyen thi huong"),
        ("Łódź", "lodz"),
        ("Straße", "strasse"),
        ("王伟", "王伟"),
        ("İstanbul", "istanbul"),
        ("한국", "한국"),
        ("O'Brien", "o'brien"),
    ],
)
def test_names_are_found_without_accents_and_case(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(unicodedata.normalize("NFD", text)) == folded


@given(st.text(), st.text())
def test_folding_a_part_finds_it_in_the_folded_whole(head: str, tail: str) -> None:
    part = unicodedata.normalize("NFC", head)
    whole = unicodedata.normalize("NFC", f"{part} {tail}")
    if part in whole:
        assert fold(part) in fold(whole)


@pytest.mark.parametrize(
    ("given", "family", "language", "name"),
    [
        ("An", "Nguyễn", "vi", "Nguyễn An"),
        ("伟", "王", "zh-Hans", "王伟"),
        ("Wei", "Wang", "zh", "Wang Wei"),
        ("太郎", "山田", "ja", "山田太郎"),
        ("민준", "김", "ko-KR", "김민준"),
        ("Mary", "Smith", "en-GB", "Mary Smith"),
        ("Mary", "Smith", "", "Mary Smith"),
        ("Mary", "", "vi", "Mary"),
        ("", "Smith", "en", "Smith"),
        ("", "", "en", ""),
    ],
)
def test_a_name_is_written_in_the_order_of_its_language(
    given: str, family: str, language: str, name: str
) -> None:
    assert full_name(given, family, language) == name


def test_a_local_number_without_a_region_says_where_to_name_one() -> None:
    with pytest.raises(Refused) as caught:
        normal_phone("0901234567")
    assert "with its country code" in str(caught.value)
    assert "--region of an import, RAPPORT_DEFAULT_REGION of the services" in str(caught.value)
    with pytest.raises(Refused) as caught:
        normal_phone("12", "VN")
    assert "REGION" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "normal"), [("VI", "vi"), ("zh_hans_cn", "zh-Hans-CN"), ("EN-gb", "en-GB"), ("", "")]
)
def test_language_codes(code: str, normal: str) -> None:
    assert codes.language(code) == normal


@pytest.mark.parametrize("code", ["v", "vietnamese!", "1", "vi--VN", "x" * 40])
def test_what_is_no_language_code_is_refused(code: str) -> None:
    with pytest.raises(Refused):
        codes.language(code)


def test_regions_and_time_zones() -> None:
    assert codes.region("vn") == "VN"
    assert codes.time_zone("Asia/Ho_Chi_Minh") == "Asia/Ho_Chi_Minh"
    for region in ("AQ", "GB", "us", "XK", ""):
        assert codes.region(region) == region.upper()
    for region in ("UK", "EN", "QX", "ZZ", "AA"):
        with pytest.raises(Refused, match="of no country"):
            codes.region(region)
    for read, text in [(codes.region, "V1"), (codes.region, "VNM"), (codes.time_zone, "Asia/Nowhere")]:
        with pytest.raises(Refused):
            read(text)
    for bad in ("../../etc/passwd", "/etc/passwd", "Asia"):
        with pytest.raises(Refused):
            codes.time_zone(bad)


def test_identities_have_their_own_forms() -> None:
    assert normal_identity(1, "", "A@X.com") == Identity(1, "", "a@x.com")
    assert normal_identity(2, "", "0901234567", "VN") == Identity(2, "", "+84901234567")
    assert normal_identity(5, "", " 12345 ") == Identity(5, "", "12345")
    assert normal_identity(7, "shop", "AbC") == Identity(7, "shop", "AbC")
    for kind, source, value, field in [
        (0, "", "x", "type"),
        (99, "", "x", "type"),
        (1, "shop", "a@x.com", "source"),
        (7, "", "1", "source"),
        (7, "My Shop", "1", "source"),
        (7, "shop", "  ", ""),
        (5, "", "0123", ""),
        (4, "", "x" * 321, ""),
    ]:
        with pytest.raises(Refused) as caught:
            normal_identity(kind, source, value)
        assert caught.value.field == field


def test_the_address_on_a_channel_is_the_first_identity_of_its_type() -> None:
    known = (
        Identity(2, "", "+84901"),
        Identity(1, "", "b@x"),
        Identity(1, "", "a@x"),
        Identity(7, "telegram", "42"),
    )
    assert address_on("email", known) == "b@x"
    assert address_on("sms", known) == "+84901"
    assert address_on("telegram", known) == "42"
    assert address_on("zalo", known) == ""
