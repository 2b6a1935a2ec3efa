"""Made-up people: names in the order of their language, addresses, phone numbers that are well-formed.

Names are drawn from lists of common ones; e-mail addresses are under example.test, which nobody can own.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from services.demo.records import Person

Gender = Literal["female", "male"]
Place = tuple[str, str, str]
"""Province or state, city or district, ward or neighbourhood."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where people live and how they are called.

    code: ISO 3166-1; families and given: names as written, each with a spelling in Latin letters for e-mail
    addresses; middle: of Vietnamese names; phone: prefixes with country code, and how many digits follow.
    """

    code: str
    language: str
    families: Sequence[tuple[str, str]]
    given: dict[Gender, Sequence[tuple[str, str]]]
    middle: dict[Gender, Sequence[str]]
    places: Sequence[Place]
    phone_prefixes: Sequence[str]
    phone_digits: int
    separator: str = " "
    family_first: bool = True


def _same(names: str) -> list[tuple[str, str]]:
    return [(name, name) for name in names.split()]


def _spelt(names: str) -> list[tuple[str, str]]:
    pairs = (pair.split(":") for pair in names.split())
    return [(name, spelling) for name, spelling in pairs]


_ENGLISH_FAMILIES = _same(
    "Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Robinson Wright Thompson Evans Walker "
    "White Roberts Green Hall Wood Harris Martin Jackson Clarke Clark Lewis Young Miller Moore "
    "Allen King Scott Baker"
)
_ENGLISH_GIVEN: dict[Gender, Sequence[tuple[str, str]]] = {
    "female": _same(
        "Olivia Emma Ava Sophia Grace Chloe Emily Jessica Hannah Lucy Ruby Alice Julia Nora Megan Zoe"
    ),
    "male": _same(
        "Oliver Jack Harry George Noah Leo Oscar Henry Thomas James William Daniel Samuel Ethan Owen Max"
    ),
}

VIETNAM = Region(
    code="VN",
    language="vi",
    families=_same(
        "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý Đinh Mai Trịnh Lâm"
    ),
    given={
        "female": _same(
            "Lan Hoa Mai Hương Linh Trang Thảo Ngọc Hà Thu Hạnh Yến Vy Nhi Châu Diệp Quỳnh Ánh Đào Tú"
        ),
        "male": _same(
            "Hùng Dũng Minh Tuấn Nam Long Khang Phúc Quân Sơn Đức Bình Khoa Huy Thành Việt Bảo Hải Lộc Tâm"
        ),
    },
    middle={
        "female": ("Thị", "Ngọc", "Thanh", "Bích", "Kim"),
        "male": ("Văn", "Quang", "Hữu", "Đình", "Gia"),
    },
    places=(
        ("Hồ Chí Minh", "Quận 1", "Phường Bến Nghé"),
        ("Hồ Chí Minh", "Quận 3", "Phường Võ Thị Sáu"),
        ("Hồ Chí Minh", "Thủ Đức", "Phường Thảo Điền"),
        ("Hồ Chí Minh", "Quận Bình Thạnh", "Phường 25"),
        ("Hà Nội", "Quận Ba Đình", "Phường Kim Mã"),
        ("Hà Nội", "Quận Hoàn Kiếm", "Phường Hàng Bạc"),
        ("Hà Nội", "Quận Cầu Giấy", "Phường Dịch Vọng"),
        ("Đà Nẵng", "Quận Hải Châu", "Phường Thạch Thang"),
        ("Cần Thơ", "Quận Ninh Kiều", "Phường Tân An"),
        ("Khánh Hòa", "Nha Trang", "Phường Lộc Thọ"),
    ),
    phone_prefixes=("+8490", "+8491", "+8493", "+8497", "+8498", "+8432", "+8435", "+8470", "+8478", "+8486"),
    phone_digits=7,
)
CHINA = Region(
    code="CN",
    language="zh",
    families=_spelt(
        "王:wang 李:li 张:zhang 刘:liu 陈:chen 杨:yang 黄:huang 赵:zhao 吴:wu 周:zhou 徐:xu 孙:sun 马:ma "
        "朱:zhu 胡:hu 郭:guo 何:he 林:lin 高:gao 罗:luo"
    ),
    given={
        "female": _spelt(
            "芳:fang 娜:na 秀英:xiuying 敏:min 静:jing 丽:li 艳:yan 娟:juan 霞:xia "
            "雪梅:xuemei 婷婷:tingting 雨桐:yutong"
        ),
        "male": _spelt(
            "伟:wei 强:qiang 磊:lei 洋:yang 勇:yong 军:jun 杰:jie 涛:tao 明:ming 超:chao "
            "建国:jianguo 浩然:haoran"
        ),
    },
    middle={"female": (), "male": ()},
    places=(
        ("广东", "深圳", "福田区"),
        ("广东", "广州", "天河区"),
        ("北京", "北京", "朝阳区"),
        ("上海", "上海", "浦东新区"),
        ("浙江", "杭州", "西湖区"),
        ("四川", "成都", "锦江区"),
        ("广西", "南宁", "青秀区"),
        ("云南", "昆明", "五华区"),
    ),
    phone_prefixes=("+86138", "+86139", "+86150", "+86158", "+86186", "+86188"),
    phone_digits=8,
    separator="",
)
BRITAIN = Region(
    code="GB",
    language="en",
    families=_ENGLISH_FAMILIES,
    given=_ENGLISH_GIVEN,
    middle={"female": (), "male": ()},
    places=(
        ("England", "London", "Camden"),
        ("England", "London", "Hackney"),
        ("England", "Manchester", "Ancoats"),
        ("England", "Bristol", "Clifton"),
        ("Scotland", "Edinburgh", "Leith"),
        ("Wales", "Cardiff", "Roath"),
    ),
    phone_prefixes=("+447400", "+447500", "+447800"),
    phone_digits=6,
    family_first=False,
)
AMERICA = Region(
    code="US",
    language="en",
    families=_ENGLISH_FAMILIES,
    given=_ENGLISH_GIVEN,
    middle={"female": (), "male": ()},
    places=(
        ("CA", "San Francisco", "Mission"),
        ("CA", "Los Angeles", "Silver Lake"),
        ("NY", "New York", "Harlem"),
        ("TX", "Austin", "Hyde Park"),
        ("WA", "Seattle", "Ballard"),
        ("IL", "Chicago", "Pilsen"),
    ),
    phone_prefixes=("+1415", "+1213", "+1212", "+1512", "+1206", "+1312"),
    phone_digits=7,
    family_first=False,
)
_REGIONS = (VIETNAM, CHINA, BRITAIN, AMERICA)
_SHARES = (50, 20, 15, 15)
_OCCUPATIONS = (
    "teacher",
    "nurse",
    "engineer",
    "student",
    "shop owner",
    "driver",
    "accountant",
    "cook",
    "farmer",
    "",
)
_LETTERS = str.maketrans("đĐ", "dD")


def person(draw: random.Random, index: int, today: date) -> Person:
    """Make a person; `index` makes number, e-mail address and phone number unique."""
    [region] = draw.choices(_REGIONS, _SHARES)
    gender: Gender = draw.choice(("female", "male"))
    family, family_latin = draw.choice(region.families)
    given, given_latin = draw.choice(region.given[gender])
    middle = draw.choice(region.middle[gender]) if region.middle[gender] else ""
    parts = (family, middle, given) if region.family_first else (given, middle, family)
    province, city, ward = draw.choice(region.places)
    age = timedelta(days=draw.randint(18 * 366, 78 * 365))
    return Person(
        number=f"{index:06}",
        email=f"{latin(given_latin)}.{latin(family_latin)}.{index}@example.test",
        consent=draw.choices((True, False, None), (72, 12, 16))[0],
        phone=_phone(region, index) if draw.random() < 0.85 else "",
        given_name=given,
        family_name=family,
        display_name=region.separator.join(part for part in parts if part),
        language_code=region.language,
        region_code=region.code,
        administrative_area=province,
        locality=city,
        sublocality=ward,
        birth_date=today - age if draw.random() < 0.9 else None,
        gender=gender,
        occupation=draw.choice(_OCCUPATIONS),
    )


def latin(name: str) -> str:
    """Return a name without marks, in lower case; `đ` has no decomposition of its own."""
    bare = unicodedata.normalize("NFD", name.translate(_LETTERS))
    return "".join(letter for letter in bare.lower() if letter.isascii() and letter.isalnum())


def _phone(region: Region, index: int) -> str:
    """Return a number that no other index has: prefix by index, then digits scattered by a multiplication."""
    prefixes = len(region.phone_prefixes)
    size = 10**region.phone_digits
    # Subscriber numbers in North America do not begin with 0 or 1; the multiplier is prime to 2, 3 and 5.
    low = 2 * size // 10 if region.code == "US" else 0
    digits = low + (index // prefixes) * 98_689 % (size - low)
    return f"{region.phone_prefixes[index % prefixes]}{digits:0{region.phone_digits}}"
