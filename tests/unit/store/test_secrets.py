"""Peppers and the fingerprint key: made once, for their owner only, whole or not at all."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from hatchpay.errors import Conflict, HatchPayError, InvalidInput, SettingsError
from hatchpay.store.secrets import SecretFiles

ONE, TWO = b"\x01" * 32, b"\x02" * 32


def b64(key: bytes) -> str:
    return base64.b64encode(key).decode()


class Random:
    """32 times 1, then 32 times 2, …"""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, length: int) -> bytes:
        self.drawn += 1
        return bytes([self.drawn]) * length


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "secrets"


def store(folder: Path, variable: str | None = None) -> SecretFiles:
    return SecretFiles(folder, variable, Random())


def write(folder: Path, text: str | bytes, name: str = "pepper.json", mode: int = 0o600) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)


def test_the_first_call_makes_a_pepper_and_every_later_one_finds_it(folder: Path) -> None:
    made = store(folder).peppers()
    assert (made.current, dict(made.keys)) == (1, {1: ONE})
    assert SecretFiles(folder).peppers() == made


def test_peppers_are_drawn_from_the_systems_randomness(tmp_path: Path) -> None:
    made = [SecretFiles(tmp_path / str(number)).peppers().keys[1] for number in range(3)]
    assert len(set(made)) == 3
    assert all(len(key) == 32 for key in made)


def test_the_file_has_its_documented_form(folder: Path) -> None:
    secrets = store(folder)
    secrets.peppers()
    secrets.rotate()
    assert json.loads((folder / "pepper.json").read_text()) == {"current": 2, "keys": {"1": b64(ONE), "2": b64(TWO)}}


def test_a_file_of_the_documented_form_is_read(folder: Path) -> None:
    write(folder, json.dumps({"current": 7, "keys": {"3": b64(ONE), "7": b64(TWO)}}))
    peppers = store(folder).peppers()
    assert (peppers.current, dict(peppers.keys)) == (7, {3: ONE, 7: TWO})


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_for_their_owner_only_whatever_the_umask(folder: Path, umask: int) -> None:
    folder.mkdir(parents=True)
    before = os.umask(umask)
    try:
        secrets = store(folder)
        secrets.peppers()
        secrets.rotate()
        secrets.fingerprint_key()
    finally:
        os.umask(before)
    for name in ("pepper.json", "fingerprint.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) & 0o077 == 0
    assert {path.name for path in folder.iterdir()} == {"pepper.json", "fingerprint.key", "lock"}


def test_a_folder_that_is_made_is_for_its_owner_only(folder: Path) -> None:
    store(folder).peppers()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
@pytest.mark.parametrize("name", ["pepper.json", "fingerprint.key"])
def test_a_file_that_is_open_to_others_is_refused(folder: Path, mode: int, name: str) -> None:
    secrets = store(folder)
    secrets.peppers()
    secrets.fingerprint_key()
    (folder / name).chmod(mode)
    with pytest.raises(SettingsError, match=name):
        secrets.peppers() if name == "pepper.json" else secrets.fingerprint_key()


def test_rotation_makes_a_new_current_pepper_and_keeps_the_old_ones(folder: Path) -> None:
    secrets = store(folder)
    first = secrets.peppers()
    rotated = secrets.rotate()
    assert (rotated.current, dict(rotated.keys)) == (2, {1: ONE, 2: TWO})
    assert SecretFiles(folder).peppers() == rotated
    assert rotated.verify("secret", first.digest("secret"), 1)


def test_rotation_before_the_first_start_makes_both(folder: Path) -> None:
    assert dict(store(folder).rotate().keys) == {1: ONE, 2: TWO}


def test_a_retired_pepper_is_gone_and_its_version_is_never_given_again(folder: Path) -> None:
    secrets = store(folder)
    secrets.rotate()
    assert dict(secrets.retire(1).keys) == {2: TWO}
    assert dict(SecretFiles(folder).peppers().keys) == {2: TWO}
    assert secrets.rotate().current == 3


def test_the_current_pepper_cannot_be_retired(folder: Path) -> None:
    secrets = store(folder)
    before = secrets.peppers()
    with pytest.raises(Conflict) as caught:
        secrets.retire(1)
    assert caught.value.code == "pepper_current"
    assert secrets.peppers() == before


@pytest.mark.parametrize("version", [0, -1, 2, 99])
def test_a_pepper_that_is_not_there_cannot_be_retired(folder: Path, version: int) -> None:
    secrets = store(folder)
    secrets.peppers()
    with pytest.raises(InvalidInput) as caught:
        secrets.retire(version)
    assert caught.value.field == "version"


def test_the_variable_takes_the_place_of_the_file(folder: Path) -> None:
    store(folder).peppers()
    peppers = store(folder, f"2:{b64(TWO)}").peppers()
    assert (peppers.current, dict(peppers.keys)) == (2, {2: TWO})


def test_with_the_variable_no_pepper_is_ever_written(folder: Path) -> None:
    secrets = store(folder, f"1:{b64(ONE)}")
    secrets.peppers()
    for change in (secrets.rotate, lambda: secrets.retire(1)):
        with pytest.raises(Conflict) as caught:
            change()
        assert caught.value.code == "pepper_from_variable"
    assert not (folder / "pepper.json").exists()


def test_the_variable_may_hold_several_versions_of_which_the_newest_is_current(folder: Path) -> None:
    peppers = store(folder, f" 1:{b64(ONE)} , 10:{b64(TWO)} ").peppers()
    assert (peppers.current, dict(peppers.keys)) == (10, {1: ONE, 10: TWO})


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        b64(ONE),
        f":{b64(ONE)}",
        f"0:{b64(ONE)}",
        f"-1:{b64(ONE)}",
        f"01:{b64(ONE)}",
        f"+1:{b64(ONE)}",
        f"²:{b64(ONE)}",
        f"٣:{b64(ONE)}",
        f"{'9' * 5000}:{b64(ONE)}",
        f"1:{b64(ONE)},1:{b64(TWO)}",
        f"1:{b64(ONE)},",
        f"1:{b64(ONE)} 2:{b64(TWO)}",
        "1:",
        "1:" + b64(ONE[:31]),
        "1:" + b64(ONE + b"\x01"),
        "1:" + ONE.hex(),
        "1:" + b64(ONE)[:-1] + "!",
        "1:" + b64(ONE).replace("A", "é"),
    ],
)
def test_a_variable_of_any_other_form_is_refused_without_repeating_it(folder: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        store(folder, text).peppers()
    assert b64(ONE)[:20] not in str(caught.value)
    assert ONE.hex() not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"[]",
        b"\xff",
        b'{"current": 1}',
        b'{"current": "1", "keys": {}}',
        json.dumps({"current": 2, "keys": {"1": b64(ONE)}}).encode(),
        json.dumps({"current": 1, "keys": {"1": b64(ONE[:16])}}).encode(),
        json.dumps({"current": 1, "keys": {"1": "%%%"}}).encode(),
        json.dumps({"current": 1, "keys": {"one": b64(ONE)}}).encode(),
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(folder: Path, text: bytes) -> None:
    write(folder, text)
    for call in (store(folder).peppers, store(folder).rotate, lambda: store(folder).retire(1)):
        with pytest.raises(SettingsError, match=r"pepper\.json"):
            call()
    assert (folder / "pepper.json").read_bytes() == text


def test_the_fingerprint_key_is_made_once_and_stays(folder: Path) -> None:
    secrets = store(folder)
    assert secrets.fingerprint_key() == ONE
    secrets.rotate()
    assert SecretFiles(folder).fingerprint_key() == ONE


@pytest.mark.parametrize("text", ["", "%%%", b64(ONE[:5]), "é" * 44])
def test_a_damaged_fingerprint_key_is_refused_and_not_replaced(folder: Path, text: str) -> None:
    write(folder, text, "fingerprint.key")
    with pytest.raises(SettingsError, match=r"fingerprint\.key"):
        store(folder).fingerprint_key()
    assert (folder / "fingerprint.key").read_text() == text


def test_a_folder_that_cannot_be_one_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    secrets = store(tmp_path / "var" / "secrets")
    for call in (secrets.peppers, secrets.rotate, secrets.fingerprint_key):
        with pytest.raises(HatchPayError):
            call()


def test_a_file_left_over_from_a_crash_does_no_harm(folder: Path) -> None:
    write(folder, "half", "pepper.json.new", 0o644)
    assert store(folder).peppers().keys[1] == ONE
    assert not (folder / "pepper.json.new").exists()


def test_of_many_that_start_at_once_all_get_the_same_pepper(folder: Path) -> None:
    found: list[tuple[bytes, bytes]] = []
    gate = threading.Barrier(8)

    def start() -> None:
        secrets = SecretFiles(folder)
        gate.wait()
        found.append((secrets.peppers().keys[1], secrets.fingerprint_key()))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_of_many_that_rotate_at_once_none_loses_anothers_pepper(folder: Path) -> None:
    threads = [threading.Thread(target=SecretFiles(folder).rotate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    peppers = SecretFiles(folder).peppers()
    assert sorted(peppers.keys) == list(range(1, 10))
    assert peppers.current == 9
    assert len(set(peppers.keys.values())) == 9


def test_no_text_of_the_store_shows_a_secret(folder: Path) -> None:
    assert b64(ONE) not in repr(store(folder, f"1:{b64(ONE)}"))


def test_a_pepper_that_is_gone_is_not_replaced_while_keys_depend_on_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="restore it"):
        SecretFiles(tmp_path / "secrets", needed=lambda: True).peppers()
    assert not (tmp_path / "secrets" / "pepper.json").exists()


def test_the_key_encryption_key_is_made_once_and_stays(folder: Path) -> None:
    secrets = store(folder)
    assert secrets.kek() == ONE
    secrets.rotate()
    assert secrets.kek() == ONE
    assert SecretFiles(folder).kek() == ONE
    assert (folder / "kek.key").read_text() == b64(ONE)


def test_the_key_encryption_key_is_drawn_from_the_systems_randomness_and_is_no_other_secret(tmp_path: Path) -> None:
    stores = [SecretFiles(tmp_path / str(number)) for number in range(3)]
    made = {one.kek() for one in stores}
    others = {secret for one in stores for secret in (one.fingerprint_key(), *one.peppers().keys.values())}
    assert len(made) == 3
    assert {len(key) for key in made} == {32}
    assert not made & others


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_key_encryption_key_is_for_its_owner_only_whatever_the_umask(folder: Path, umask: int) -> None:
    folder.mkdir(parents=True)
    before = os.umask(umask)
    try:
        store(folder).kek()
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "kek.key").stat().st_mode) == 0o600
    assert {path.name for path in folder.iterdir()} == {"kek.key", "lock"}


def test_the_setting_takes_the_place_of_the_key_encryption_file_and_writes_none(folder: Path) -> None:
    assert SecretFiles(folder, kek=f" {b64(TWO)}\n", kek_needed=lambda: True).kek() == TWO
    assert not folder.exists()
    assert store(folder).kek() == ONE
    assert SecretFiles(folder, kek=b64(TWO)).kek() == TWO


@pytest.mark.parametrize(
    "text", ["", "%%%", b64(ONE[:31]), b64(ONE + b"\x01"), b64(ONE)[:-1] + "!", "é" * 44, ONE.hex()]
)
def test_a_setting_that_is_no_key_encryption_key_is_refused_without_repeating_it(folder: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="HATCHPAY_KEK") as caught:
        SecretFiles(folder, kek=text).kek()
    assert b64(ONE)[:20] not in str(caught.value)
    assert ONE.hex()[:20] not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("text", ["", "%%%", b64(ONE[:5]), b64(ONE)[:-2], "é" * 44])
def test_a_damaged_key_encryption_key_is_refused_and_not_replaced(folder: Path, text: str) -> None:
    write(folder, text, "kek.key")
    with pytest.raises(SettingsError, match=r"kek\.key") as caught:
        store(folder).kek()
    assert (folder / "kek.key").read_text() == text
    assert b64(ONE)[:20] not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_encryption_key_that_is_open_to_others_is_refused(folder: Path, mode: int) -> None:
    store(folder).kek()
    (folder / "kek.key").chmod(mode)
    with pytest.raises(SettingsError, match="0600"):
        store(folder).kek()


def test_a_key_encryption_key_that_is_gone_is_not_replaced_while_signing_keys_depend_on_it(folder: Path) -> None:
    secrets = SecretFiles(folder, kek_needed=lambda: True)
    with pytest.raises(SettingsError, match=r"kek\.key is gone"):
        secrets.kek()
    assert not (folder / "kek.key").exists()

    write(folder, b64(TWO), "kek.key")
    assert secrets.kek() == TWO


def test_a_folder_that_cannot_be_one_holds_no_key_encryption_key(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with pytest.raises(SettingsError):
        store(tmp_path / "var" / "secrets").kek()


def test_no_text_of_the_store_shows_the_key_encryption_key(folder: Path) -> None:
    secrets = SecretFiles(folder, kek=b64(TWO))
    secrets.kek()
    assert b64(TWO) not in repr(secrets)
    assert b64(TWO)[:20] not in str(secrets)


def test_of_many_that_start_at_once_all_get_the_same_key_encryption_key(folder: Path) -> None:
    found: list[bytes] = []
    gate = threading.Barrier(8)

    def start() -> None:
        secrets = SecretFiles(folder)
        gate.wait()
        found.append(secrets.kek())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
