"""Segments in files: what is read, what is refused and where, and that writing and reading is the identity."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.cli.documents import Place
from services.cli.segments import files
from services.cli.segments.files import Definition, read, text_of, write
from services.kit.errors import InvalidArgument

KEY = "contacts/00000000-0000-4000-8000-000000000001"


def definition(**values: object) -> Definition:
    place = Place(Path("x.yaml"), 1)
    base = {"id": "x", "display_name": "X", "kind": "rule", "rule": "true", "members": None}
    return Definition(**{**base, **values}, place=place, rule_place=place)  # type: ignore[arg-type]


def meaning(found: Definition) -> tuple[object, ...]:
    return (found.id, found.display_name, found.kind, found.rule, found.members)


def put(folder: Path, text: str, name: str = "a.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_documents_of_files_and_folders_are_read_in_order(tmp_path: Path) -> None:
    put(tmp_path, "# nothing but a comment\n", "0.yaml")
    put(tmp_path, "no yaml at all: [", "notes.txt")
    put(
        tmp_path,
        "id: a\nrule: 'true'\n---\nid: no\ndisplay_name: NO\nkind: rule\nrule: |\n  contact.age > 3\n  && true\n---\n",
    )
    put(tmp_path, f"id: hand\nkind: list\nmembers:\n  - {KEY}\n", "b.yml")
    (tmp_path / "sub").mkdir()
    put(tmp_path / "sub", "id: deep\nrule: 'true'\n")
    found = read([tmp_path])
    assert [meaning(item) for item in found] == [
        ("a", "a", "rule", "true", None),
        ("no", "NO", "rule", "contact.age > 3\n&& true\n", None),
        ("hand", "hand", "list", "", frozenset({KEY})),
    ]
    assert [item.place.line for item in found] == [1, 4, 1]
    assert (found[1].rule_place.line, found[1].lines_match) == (8, True)
    assert (found[0].rule_place.line, found[0].lines_match) == (2, True)
    # The same file by two ways is one file.
    assert len(read([tmp_path, tmp_path / "a.yaml"])) == 3


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("id: a\nrule: 'true'\nfilter: x\n", 3, "unknown key 'filter'"),
        ("id: a\n2: x\n", 2, "unknown key 2"),
        ("id: a\nrule:\n  - x\n", 2, "rule must be a text"),
        ("id: a\nrule: true\n", 2, "rule must be a text, is true or false; put it in quotes"),
        ("id: a\nrule: 'true'\ndisplay_name: 2026-01-01\n", 3, "put it in quotes"),
        ("id: a\nrule: 'true'\ndisplay_name: 12\n", 3, "is a number"),
        ("id: a\nrule:\n", 2, "rule must be a text, is nothing"),
        ("id: a\n", 1, "needs a rule"),
        ("id: a\nrule: ''\n", 1, "needs a rule"),
        ("rule: 'true'\n", 1, "needs an id"),
        ("\n\nid: A b\nrule: 'true'\n", 3, "'A b' is no id"),
        ("id: a\nkind: view\n", 2, "kind must be rule or list, is 'view'"),
        ("id: a\nkind: list\nrule: 'true'\n", 3, "a list has no rule"),
        ("id: a\nrule: 'true'\nmembers: []\n", 3, "only a list has members"),
        (f"id: a\nkind: list\nmembers:\n  - {KEY}\n  - contacts/x\n", 5, "expected contacts/<uuid>"),
        (f"id: a\nkind: list\nmembers: {KEY}\n", 3, "members must be a list"),
        ("id: a\nrule: 'true'\n---\nid: a\nrule: 'false'\n", 4, "taken by the segment at"),
        ("id: a\nid: b\nrule: 'true'\n", 2, "duplicate key"),
        ("id: a\nrule: 'true\n", 3, "that begins in line 2"),
        ("- a\n- b\n", 1, "expected a segment"),
        ("just words\n", 1, "expected a segment"),
        ("id: a\nrule: &r 'true'\ndisplay_name: *s\n", 3, "alias"),
        ("id: a\nrule: !!python/object:os.system x\n", 2, "rule must be a text"),
        ("id: a\nrule: 'a\0b'\n", 2, "forbids"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = put(tmp_path, text)
    with pytest.raises(InvalidArgument) as caught:
        read([path])
    assert f"{path}:{line}: " in caught.value.message
    assert words in caught.value.message


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, "id: a\nrule: 1\nx: 1\n", "1.yaml")
    put(tmp_path, "id: [\n", "2.yaml")
    (tmp_path / "3.yaml").write_bytes(b"id: a\nrule: '\xff'\n")
    put(tmp_path, "[" * 5000, "4.yaml")
    with pytest.raises(InvalidArgument) as caught:
        read([tmp_path])
    lines = caught.value.message.splitlines()[1:]
    assert [line.strip().split(": ")[0].removeprefix(f"{tmp_path}/") for line in lines] == [
        "1.yaml:2",
        "1.yaml:3",
        "2.yaml:2",
        "3.yaml:2",
        "4.yaml:1",
    ]


# What a gRPC string can hold, without NUL, which requests may not carry.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
awkward = st.sampled_from(
    [
        "NO", "null", "~", "true", "1.0", "2026-01-01", "- a", "a: b", "# c", "'", '"', "''", '"\\n"', "\n", " ",
        " a\n  b\n", "a\n\n\n", "\n\na", "\ta", "a\t\nb ", "\r\n", "a\rb", "\x85", "\u2028x", "\ufeff", "\x07",
        "Nguyễn Thị Bưởi", "Tiếng Việt\nđược\n", "🎉", "%YAML", "---", "a\n---\nb", "...", "!x", "&a", "*a", "|", ">",
    ]
)  # fmt: skip
anything = texts | awkward | st.lists(texts | awkward, max_size=4).map("\n".join)


@given(anything, anything.filter(bool))
@example("NO", "contact.region_code == \"NO\" ||\n  contact.locality == 'Huế'\n")
@example("", " \n  a")
@settings(deadline=None, max_examples=300)
def test_writing_and_reading_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, name: str, rule: str
) -> None:
    folder = tmp_path_factory.mktemp("files")
    made = definition(display_name=name, rule=rule)
    assert write(made, folder)
    (back,) = read([folder])
    assert meaning(back) == meaning(made)
    assert not write(made, folder)


def test_rules_are_written_as_blocks_that_people_can_read() -> None:
    made = definition(display_name="Khách cũ", rule='contact.region_code == "NO" // it\'s\n  && true')
    assert text_of(made) == (
        "id: x\ndisplay_name: Khách cũ\nkind: rule\n"
        'rule: |-\n  contact.region_code == "NO" // it\'s\n    && true\n'
    )
    assert text_of(definition(kind="list", rule="", members=frozenset({KEY}))) == (
        f"id: x\ndisplay_name: X\nkind: list\nmembers:\n- {KEY}\n"
    )
    assert "members" not in text_of(definition(kind="list", rule=""))


def test_a_file_that_says_the_same_keeps_its_comments(tmp_path: Path) -> None:
    path = put(tmp_path, "# why\nid: x\ndisplay_name: X\nrule: 'true'\n", "x.yaml")
    assert not write(definition(), tmp_path)
    assert path.read_text(encoding="utf-8").startswith("# why")
    assert write(definition(rule="false"), tmp_path)
    assert [meaning(item) for item in read([path])] == [meaning(definition(rule="false"))]
    put(tmp_path, "id: [", "x.yaml")
    assert write(definition(), tmp_path)
    assert [item.name for item in files.found_in(tmp_path)] == ["x.yaml"]
    full = definition(kind="list", rule="", members=frozenset({KEY}))
    assert write(full, tmp_path)
    assert not write(definition(kind="list", rule=""), tmp_path)
    assert [meaning(item) for item in read([tmp_path])] == [meaning(full)]
