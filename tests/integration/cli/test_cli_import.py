"""`rapport import contacts` against a served contacts service with its worker."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from uuid import uuid4

from services.kit.auth import add_tokens
from tests.integration.cli.conftest import Office


def count(contacts: Office) -> int:
    return int(contacts.served.client.count_contacts().contact_count)


def people(*names: str, tag: str) -> str:
    return "".join(f"{name},{name.lower()}.{tag}@example.test\n" for name in names)


def test_a_file_is_imported_and_again_changes_nothing(contacts: Office, folder: Path) -> None:
    before, tag = count(contacts), uuid4().hex
    (folder / "people.csv").write_text("given_name,email\n" + people("An", "Binh", "Chi", tag=tag))
    ran = contacts.rapport("import", "contacts", "people.csv")
    assert (ran.code, ran.err) == (0, "")
    assert "3 rows: 3 created, 0 updated, 0 unchanged, 0 refused" in ran.out
    assert count(contacts) == before + 3
    with gzip.open(folder / "people.csv.gz", "wt") as file:
        file.write("given_name,email\n" + people("An", "Binh", "Chi", tag=tag))
    again = contacts.rapport("import", "contacts", "people.csv.gz")
    assert "3 rows: 0 created, 0 updated, 3 unchanged, 0 refused" in again.out
    assert {path.name for path in folder.iterdir()} == {"people.csv", "people.csv.gz"}


def test_a_dry_run_checks_and_imports_nothing(contacts: Office, folder: Path) -> None:
    before = count(contacts)
    (folder / "people.csv").write_text("given_name,email\n" + people("An", tag=uuid4().hex))
    ran = contacts.rapport("import", "contacts", "people.csv", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert "1 row: 1 would be created" in ran.out
    assert count(contacts) == before


def test_refused_rows_go_to_the_error_file_with_line_and_reason(contacts: Office, folder: Path) -> None:
    before = count(contacts)
    (folder / "people.csv").write_text(
        "given_name,email,phone\n"
        + f"An,an.{uuid4().hex}@example.test,\n"
        + "Binh,not an address,\n"
        + "Chi,,12\n"
        + f'"Dung, the second",dung.{uuid4().hex}@example.test,\n'
    )
    ran = contacts.rapport("import", "contacts", "people.csv")
    assert ran.code == 1
    assert "4 rows: 2 created, 0 updated, 0 unchanged, 2 refused" in ran.out
    assert "refused rows: people.csv.errors.csv" in ran.out
    assert count(contacts) == before + 2
    with (folder / "people.csv.errors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["column"]) for row in rows] == [("3", "email"), ("4", "phone")]
    assert all(row["reason"] for row in rows)
    assert "not an address" in rows[0]["row"]


def test_the_first_refused_rows_are_shown_with_line_and_reason(contacts: Office, folder: Path) -> None:
    (folder / "people.csv").write_text("email\n" + "".join(f"bad{number}\n" for number in range(7)))
    ran = contacts.rapport("import", "contacts", "people.csv", "--dry-run")
    assert ran.code == 1
    shown = [line for line in ran.out.splitlines() if line.startswith("  line ")]
    assert [line.split(":")[0] for line in shown] == [f"  line {number}, email" for number in range(2, 7)]
    assert all(line.partition(": ")[2] for line in shown)
    assert "and 2 more" in ran.out
    assert (folder / "people.csv.errors.csv").read_text().count("\n") == 8


def test_the_error_file_may_be_elsewhere(contacts: Office, folder: Path) -> None:
    (folder / "people.csv").write_text("email\nbad\n")
    assert contacts.rapport("import", "contacts", "people.csv", "--errors", "refused.csv").code == 1
    assert (folder / "refused.csv").read_text().count("\n") == 2
    to_device = contacts.rapport("import", "contacts", "people.csv", "--errors", "/dev/null")
    assert to_device.code == 1
    assert not Path("/dev/null").is_file()
    assert {path.name for path in folder.iterdir()} == {"people.csv", "refused.csv"}


def test_an_error_file_that_cannot_be_is_refused_before_anything_is_sent(
    contacts: Office, folder: Path
) -> None:
    before = count(contacts)
    content = f"email\nbad\nan.{uuid4().hex}@example.test\n"
    (folder / "people.csv").write_text(content)
    (folder / "link.csv").symlink_to("people.csv")
    (folder / "twin.csv").hardlink_to(folder / "people.csv")
    for target in ("people.csv", "./people.csv", "link.csv", "twin.csv", ".", "missing/refused.csv"):
        ran = contacts.rapport("import", "contacts", "people.csv", "--errors", target)
        assert (ran.code, ran.out) == (1, ""), target
        assert str(Path(target)) in ran.err
        assert "--errors" in ran.err
        assert "partial" not in ran.err
    assert count(contacts) == before
    assert (folder / "people.csv").read_text() == content
    assert {path.name for path in folder.iterdir()} == {"people.csv", "link.csv", "twin.csv"}


def test_an_error_file_that_cannot_be_written_after_all_is_told_with_the_count(
    contacts: Office, folder: Path
) -> None:
    before = count(contacts)
    (folder / "people.csv").write_text(f"email\nbad\nan.{uuid4().hex}@example.test\n")
    ran = contacts.rapport("import", "contacts", "people.csv", "--errors", "/dev/full")
    assert ran.code == 1
    assert "1 row was refused" in ran.err
    assert "/dev/full" in ran.err
    assert "--errors" in ran.err
    assert count(contacts) == before + 1


def test_columns_are_mapped(contacts: Office, folder: Path) -> None:
    mail = f"an.{uuid4().hex}@example.test"
    (folder / "people.csv").write_text(f"Họ tên,E-mail\nNguyễn An,{mail}\n")
    ran = contacts.rapport(
        "import", "contacts", "people.csv", "-c", "Họ tên=display_name", "--column", "E-mail=email"
    )
    assert (ran.code, ran.err) == (0, "")
    found = contacts.served.client.lookup_contact(identity={"type": "TYPE_EMAIL", "value": mail}).contact
    assert found.display_name == "Nguyễn An"


def test_what_the_service_refuses_is_shown_with_its_field(contacts: Office, folder: Path) -> None:
    before = count(contacts)
    (folder / "people.csv").write_text("Mail,email\na,b\n")
    for arguments, said in [
        ((), ["people.csv: ", "-c Mail=", "the column 'Mail' is unknown: did you mean email?", "fields are"]),
        (("-c", "Mail=shoe_colour"), ["shoe_colour", "-c Mail="]),
        (("-c", "Post=email", "-c", "Mail=display_name"), ["Post"]),
        (("-c", "Mail=email"), ["email"]),
        (("-c", "Mail=display_name", "-c", "email=email", "--region", "VNM"), ["--region: "]),
        (("-c", "Mail=display_name", "-c", "email=email", "--region", "UK"), ["--region: ", "'GB'"]),
    ]:
        ran = contacts.rapport("import", "contacts", "people.csv", *arguments)
        assert ran.code == 1, arguments
        assert ran.out == "", arguments
        assert ran.err.startswith("rapport: ")
        assert "chunk" not in ran.err
        for word in said:
            assert word in ran.err, arguments
    assert count(contacts) == before


def test_the_remedy_of_unknown_columns_comes_first(contacts: Office, folder: Path) -> None:
    (folder / "people.csv").write_text(
        "email,Shoe size," + ",".join(f"A column of an unknown name {n}" for n in range(30)) + "\n"
    )
    ran = contacts.rapport("import", "contacts", "people.csv")
    assert ran.code == 1
    assert "people.csv: map a column to nothing to leave it out (-c 'Shoe size=')" in ran.err
    assert ran.err.rstrip().endswith("…")
    assert "\n" not in ran.err.partition("people.csv: ")[2].rstrip()
    (folder / "people.csv").write_text("email;given_name\na@example.test;An\n")
    ran = contacts.rapport("import", "contacts", "people.csv")
    assert ran.code == 1
    assert "separated by ';'? Save the file with commas" in ran.err


def test_a_file_that_is_no_csv_is_refused(contacts: Office, folder: Path) -> None:
    before = count(contacts)
    contents = {
        "empty.csv": b"",
        "picture.csv": b"\x89PNG\r\n\x1a\n\x00\xff\xfe" * 50,
        "cut.csv.gz": gzip.compress(b"email\na@example.test\n" * 1000)[:-20],
        "utf16.csv": "email\na@example.test\n".encode("utf-16"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        ran = contacts.rapport("import", "contacts", name)
        assert ran.code == 1, name
        assert ran.err.startswith("rapport: "), name
        assert "Traceback" not in ran.err
    assert count(contacts) == before


def test_a_file_that_is_called_gzip_and_is_not_is_said(contacts: Office, folder: Path) -> None:
    (folder / "people.csv.gz").write_text("email\na@example.test\n")
    ran = contacts.rapport("import", "contacts", "people.csv.gz")
    assert (ran.code, ran.out) == (1, "")
    assert "people.csv.gz is named .gz, but is not gzip" in ran.err


def test_a_wrong_token_and_a_missing_permission_are_said(contacts: Office, folder: Path) -> None:
    (folder / "people.csv").write_text("email\na@example.test\n")
    wrong = contacts.rapport("import", "contacts", "people.csv", token="wrong")
    assert wrong.code == 1
    assert "token" in wrong.err
    missing = contacts.rapport("import", "contacts", "people.csv", token=reader(contacts))
    assert missing.code == 1
    assert "contacts.import" in missing.err


def reader(contacts: Office) -> str:
    add_tokens(contacts.served.folder / "tokens.json", [("reader", ("contacts.read",), "reader-token")])
    return "reader-token"
