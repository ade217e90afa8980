"""Go's own packages for its checksum database, sumdb/note and sumdb/tlog, verify a log that HatchPay wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.sealed import TENANT, SealedLog, record

PACKAGES = Path("/usr/share/gocode")
"""Where Debian's golang-golang-x-mod-dev puts them; `make test` installs it where it may."""
SOURCE = Path(__file__).parent / "checklog" / "main.go"
SIZES = (1, 2, 255, 256, 300)
Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def checklog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        pytest.skip("there is no Go: install golang-go")
    if not (PACKAGES / "src/golang.org/x/mod/sumdb/note").is_dir():
        pytest.skip("there is no golang.org/x/mod: install golang-golang-x-mod-dev")
    program = tmp_path_factory.mktemp("go") / "checklog"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(PACKAGES), "GOFLAGS": "", "CGO_ENABLED": "0"}
    subprocess.run([go, "build", "-o", str(program), str(SOURCE)], env=environment, check=True, timeout=300)
    return program


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedLog]:
    """With the checkpoint of each of SIZES beside it."""
    made = SealedLog(tmp_path_factory.mktemp("log"))
    before = 0
    for size in SIZES:
        made.add(*map(record, range(before, size)))
        made.seal()
        (made.tiles / f"checkpoint.{size}").write_bytes((made.tiles / TENANT / "checkpoint").read_bytes())
        before = size
    for number in (0, 255, 256, 299):
        (made.tiles / f"receipt.{number}").write_bytes(made.receipt(number))
    yield made
    made.close()


@pytest.fixture
def check(checklog: Path, log: SealedLog) -> Check:
    def run(directory: Path = log.tiles / TENANT, beside: Path = log.tiles) -> subprocess.CompletedProcess[str]:
        checkpoints = [str(beside / f"checkpoint.{size}") for size in SIZES]
        receipts = [str(beside / f"receipt.{number}") for number in (0, 255, 256, 299)]
        arguments = [str(checklog), log.vkey, str(directory), *checkpoints, "--", *receipts]
        return subprocess.run(arguments, text=True, capture_output=True, timeout=60)

    return run


def test_go_verifies_checkpoints_tiles_entries_and_receipts(check: Check) -> None:
    done = check()
    assert (done.stdout, done.stderr) == ("300 entries, 5 checkpoints, 4 receipts\n", "")


@pytest.mark.parametrize(
    "file", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"]
)
def test_go_finds_a_bit_that_was_flipped(check: Check, log: SealedLog, tmp_path: Path, file: str) -> None:
    shutil.copytree(log.tiles / TENANT, tmp_path / "log")
    data = bytearray((tmp_path / "log" / file).read_bytes())
    data[20] ^= 1
    (tmp_path / "log" / file).write_bytes(data)
    assert check(directory=tmp_path / "log").returncode == 1


@pytest.mark.parametrize("file", ["checkpoint.255", "receipt.256"])
def test_go_refuses_a_note_or_receipt_that_was_changed(check: Check, log: SealedLog, tmp_path: Path, file: str) -> None:
    shutil.copytree(log.tiles, tmp_path / "beside")
    changed = tmp_path / "beside" / file
    changed.write_bytes(
        changed.read_bytes().replace(b"\n255\n", b"\n256\n").replace(b"\nindex 256\n", b"\nindex 257\n")
    )
    assert check(beside=tmp_path / "beside").returncode == 1
