"""Numbers in sentences."""

from services.cli.words import counted


def test_one_is_singular_and_all_others_are_plural():
    assert [counted(number, "member") for number in (0, 1, 2)] == ["0 members", "1 member", "2 members"]
