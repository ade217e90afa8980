"""A file that was cut off goes on where it is sound, and a finished one is nobody's to overwrite."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hatchpay.cli import export_file
from hatchpay.cli.export_file import ExportFile, Mark
from hatchpay.errors import Conflict

MARK = Mark(order="all", export_id="one", upto=9, seq=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def opened(path: Path, order: str = "all", *, continuable: bool = True, force: bool = False) -> ExportFile:
    return ExportFile(path, order, continuable=continuable, force=force)


def cut_off(path: Path, monkeypatch: pytest.MonkeyPatch, *, continuable: bool = True) -> None:
    """After `one` was noted down, and half of `two` written."""
    monkeypatch.setattr(export_file, "_KEEP_EVERY_BYTES", 4)
    with opened(path, continuable=continuable) as file:
        assert file.begun is None
        file.start(MARK)
        file.write(b"one\n", msgspec.structs.replace(MARK, seq=1, records=1))
        file.write(b"tw", msgspec.structs.replace(MARK, seq=2, records=2))


def code_of(path: Path, order: str = "all") -> str:
    with pytest.raises(Conflict) as caught, opened(path, order):
        pass
    return caught.value.code


def left_over(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_it_has_its_name_only_once_it_is_whole(path: Path) -> None:
    with opened(path) as file:
        file.start(MARK)
        file.write(b"one\n", MARK)
        assert left_over(path) == {"audit.jsonl.part", "audit.jsonl.part.json"}
        file.finish()
    assert left_over(path) == {"audit.jsonl"}
    assert path.read_bytes() == b"one\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_was_cut_off_goes_on_behind_what_was_noted_down(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(path, monkeypatch)
    assert path.with_name("audit.jsonl.part").read_bytes() == b"one\ntw"
    with opened(path) as file:
        assert file.begun == msgspec.structs.replace(MARK, seq=1, records=1, size=4)
        file.start(file.begun)
        file.write(b"two\n", MARK)
        file.finish()
    assert path.read_bytes() == b"one\ntwo\n"


def test_one_that_cannot_be_continued_begins_anew_with_the_same_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(path, monkeypatch, continuable=False)
    with opened(path, continuable=False) as file:
        assert file.begun == MARK
        file.start(file.begun)
        file.write(b"all\n", MARK)
        file.finish()
    assert path.read_bytes() == b"all\n"


def test_one_whose_bytes_were_lost_begins_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(path, monkeypatch)
    path.with_name("audit.jsonl.part").write_bytes(b"on")
    with opened(path) as file:
        assert file.begun is None


def test_a_finished_file_is_not_overwritten_unless_that_is_wanted(path: Path) -> None:
    path.write_bytes(b"old")
    assert code_of(path) == "export_exists"
    assert left_over(path) == {"audit.jsonl"}
    with opened(path, force=True) as file:
        file.start(MARK)
        assert path.read_bytes() == b"old"
        file.finish()
    assert path.read_bytes() == b""


def test_a_file_that_somebody_else_makes_meanwhile_is_not_overwritten(path: Path) -> None:
    with opened(path) as file:
        file.start(MARK)
        path.write_bytes(b"theirs")
        with pytest.raises(Conflict, match="there already"):
            file.finish()
    assert path.read_bytes() == b"theirs"


def test_what_was_begun_for_another_order_is_not_dropped_unless_that_is_wanted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(path, monkeypatch)
    assert code_of(path, "another") == "export_differs"
    assert path.with_name("audit.jsonl.part").read_bytes() == b"one\ntw"
    with opened(path, "another", force=True) as file:
        assert file.begun is None


@pytest.mark.parametrize("marks", [None, b"{", b"[]", b"\xff"])
def test_a_part_of_which_nothing_is_known_is_not_dropped(path: Path, marks: bytes | None) -> None:
    path.with_name("audit.jsonl.part").write_bytes(b"mine")
    if marks is not None:
        path.with_name("audit.jsonl.part.json").write_bytes(marks)
    assert code_of(path) == "export_differs"
    assert path.with_name("audit.jsonl.part").read_bytes() == b"mine"


def test_two_do_not_write_one_file(path: Path) -> None:
    with opened(path) as file:
        file.start(MARK)
        assert code_of(path) == "export_running"


def test_nobody_is_led_elsewhere_by_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    path.with_name("audit.jsonl.part").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        opened(path)
    assert target.read_bytes() == b"precious"
