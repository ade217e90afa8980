"""Two verifiers, ours and the one file that uses nothing of ours, say the same of every receipt, whole or tampered."""

from __future__ import annotations

import ast
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.sealed import ORIGIN, TENANT, SealedLog, record
from tests.support.server import ROOT

from hatchpay.app.command import program
from hatchpay.cli.errors import run
from hatchpay.ledger.checkpoint import with_signatures
from hatchpay.ledger.cosignature import Cosigner
from hatchpay.ledger.receipt import parse_receipt

EXAMPLE = ROOT / "examples" / "verify_receipt.py"
COUNT = 5
WITNESSES = [Cosigner(f"witness/{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (2, 3)]
Verdict = Callable[..., bool]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedLog]:
    made = SealedLog(tmp_path_factory.mktemp("log"))
    made.add(*map(record, range(COUNT)))
    made.seal()
    yield made
    made.close()


@pytest.fixture
def verdict(log: SealedLog, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> Verdict:
    """What both say of a receipt; they must agree."""
    module = type(sys)("verify_receipt")
    exec(compile(EXAMPLE.read_text(), str(EXAMPLE), "exec"), module.__dict__)
    ours = program()

    def judge(receipt: bytes, *options: str, vkey: str = log.vkey, **files: bytes) -> bool:
        path = tmp_path / "r.tlog-proof"
        path.write_bytes(receipt)
        arguments = [str(path), "--vkey", vkey, *options]
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            arguments += [f"--{name}", str(tmp_path / name)]
        code = run(ours, ["audit", "verify", *arguments])
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *arguments])
        theirs = module.__dict__["main"]()
        printed = capfd.readouterr()
        assert (code == 0) == (theirs == 0), printed
        assert "Traceback" not in printed.err
        return code == 0

    return judge


def opened(log: SealedLog, number: int, change: Callable[[dict[str, Any]], object] = lambda file: None) -> bytes:
    file = json.loads(log.record_file(number))
    change(file)
    return json.dumps(file).encode()


def test_receipts_hold_with_and_without_their_record(log: SealedLog, verdict: Verdict) -> None:
    for number in range(COUNT):
        assert verdict(log.receipt(number))
        assert verdict(log.receipt(number), record=log.record_file(number))


def test_no_byte_of_a_receipt_can_be_changed(log: SealedLog, verdict: Verdict) -> None:
    good = log.receipt(2)
    own = good.rindex(b" ") + 1
    for at in [*range(0, own, 97), own, own + 3, own + 40, len(good) - 2, len(good) - 1]:
        assert not verdict(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]), at
    assert not verdict(good[:-1])
    assert not verdict(good + b"\n")
    assert not verdict(b"")


def test_another_leaf_index_or_key_does_not_hold(log: SealedLog, verdict: Verdict, tmp_path: Path) -> None:
    good, other = log.receipt(2), log.receipt(3)
    leaves = [base64.b64encode(parse_receipt(one).leaf) for one in (good, other)]
    assert not verdict(good.replace(*leaves))
    assert not verdict(good.replace(b"\nindex 2\n", b"\nindex 3\n"))
    assert not verdict(good.replace(b"\nindex 2\n", b"\nindex 5\n"))
    stranger = SealedLog(tmp_path / "stranger")
    assert not verdict(good, vkey=stranger.vkey)
    stranger.add(record(2))
    stranger.seal()
    assert not verdict(stranger.receipt(2))
    assert verdict(stranger.receipt(2), vkey=stranger.vkey)
    stranger.close()


def test_a_vkey_of_another_kind_is_refused(log: SealedLog, verdict: Verdict) -> None:
    assert not verdict(log.receipt(0), vkey=WITNESSES[0].key.vkey)
    assert not verdict(log.receipt(0), vkey=log.vkey[:-2] + "A=")
    assert not verdict(log.receipt(0), "--witness", log.vkey)


def test_the_record_must_be_the_leafs(log: SealedLog, verdict: Verdict) -> None:
    good = log.receipt(2)
    assert not verdict(good, record=log.record_file(3))
    assert not verdict(good, record=b"{}")
    assert not verdict(good, record=b"[" * 100_000)
    assert not verdict(good, record=log.record_file(2).replace(b'"amount": 10.5', b'"amount": 10.50', 1))
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda file: file["record"].update(status=200),
        lambda file: file["record"].update(url="/other"),
        lambda file: file["record"].update(principal_id=None),
        lambda file: file["record"]["headers"].update(accept="text/html"),
        lambda file: file["record"]["roles"].reverse(),
        lambda file: file["record"].pop("rule"),
        lambda file: file["openings"]["url"].update(value="/other"),
        lambda file: file["openings"]["url"].update(salt=base64.b64encode(bytes(32)).decode()),
        lambda file: file["openings"]["headers"]["value"].update(more="x"),
        lambda file: file["openings"].pop("client_ip"),
        lambda file: file["openings"].pop("body"),
        lambda file: file["openings"].update(more={"salt": base64.b64encode(bytes(32)).decode(), "value": "x"}),
    ]
    assert verdict(good, record=opened(log, 2))
    for change in changes:
        assert not verdict(good, record=opened(log, 2, change))


def test_what_is_kept_back_leaves_the_rest_proved(log: SealedLog, verdict: Verdict) -> None:
    def keep_back(file: dict[str, Any]) -> None:
        for name, blank in {"body": None, "headers": {}, "url": "", "principal_id": None}.items():
            del file["openings"][name]
            file["record"][name] = blank

    assert verdict(log.receipt(2), record=opened(log, 2, keep_back))


def test_witnesses_count_up_to_the_quorum(log: SealedLog, verdict: Verdict) -> None:
    good = parse_receipt(log.receipt(2))
    text = good.checkpoint.rpartition(b"\n\n")[0].decode() + "\n"

    def cosigned(*times: int) -> bytes:
        lines = [one.cosign(text, time) for one, time in zip(WITNESSES, times, strict=False)]
        head = log.receipt(2).partition(b"\n\n")[0]
        return head + b"\n\n" + with_signatures(good.checkpoint, lines)

    both = [part for one in WITNESSES for part in ("--witness", one.key.vkey)]
    assert verdict(cosigned(1_790_000_000, 2**63 - 1), *both)
    assert verdict(cosigned(1_790_000_000), *both, "--quorum", "1")
    assert verdict(cosigned(), *both, "--quorum", "0")
    assert not verdict(cosigned(1_790_000_000), *both)
    assert not verdict(cosigned(), *both, "--quorum", "1")
    forged = cosigned(1_790_000_000).replace(b"witness/2 ", b"witness/2 A")
    assert not verdict(forged, *both, "--quorum", "0")


def test_a_key_that_was_rotated_is_followed(verdict: Verdict, tmp_path: Path) -> None:
    log = SealedLog(tmp_path / "rotated")
    log.add(record(0))
    log.seal()
    first, older = log.vkey, log.receipt(0)
    log.keys.advance()
    log.add(record(1))
    log.seal()
    statements = log.seals.successions(TENANT)
    assert len(statements) == 2 and log.vkey != first
    newer = log.receipt(1)
    log.close()
    assert not verdict(newer, vkey=first)
    assert verdict(newer, vkey=first, keys=b"".join(statements))
    assert verdict(older, vkey=first, keys=b"".join(statements))
    assert verdict(newer, vkey=log.vkey)
    assert not verdict(older, vkey=log.vkey, keys=b"".join(statements))
    assert not verdict(newer, vkey=first, keys=statements[1])
    assert not verdict(newer, vkey=first, keys=b"more\n" + b"".join(statements))
    bent = statements[0].replace(ORIGIN.encode(), ORIGIN.replace("hatch", "match").encode(), 1)
    assert not verdict(newer, vkey=first, keys=bent + statements[1])


def test_the_file_runs_alone_and_says_what_it_proves(log: SealedLog, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(log.receipt(1))
    (tmp_path / "record.json").write_bytes(log.record_file(1))
    arguments = [str(tmp_path / "r"), "--vkey", log.vkey, "--record", str(tmp_path / "record.json")]
    done = subprocess.run([sys.executable, "-I", str(EXAMPLE), *arguments], text=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"PROVED:\nentry 1 of the log {ORIGIN}, which had 5 entries, is this leaf:\n")
    assert "opened: body, body_hmac, client_ip, correlation_id, headers, principal_id, url\n" in done.stdout
    assert done.stdout.endswith("shown but not proved: changes, payload\n")
    refused = subprocess.run(
        [sys.executable, "-I", str(EXAMPLE), *arguments[:2], log.vkey.replace("hatchpay", "other"), *arguments[3:]],
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "NOT PROVED: a vkey's id is not that of its name and key\n"


def test_the_file_uses_the_standard_library_and_cryptography_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(EXAMPLE.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"cryptography"}


def test_the_command_says_what_it_proves(log: SealedLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r").write_bytes(log.receipt(1))
    (tmp_path / "record.json").write_bytes(log.record_file(1))
    arguments = ["audit", "verify", str(tmp_path / "r"), "--vkey", log.vkey, "--record", str(tmp_path / "record.json")]
    assert run(program(), [*arguments, "--json"]) == 0
    proved = json.loads(capfd.readouterr().out)
    assert (proved["origin"], proved["index"], proved["size"], proved["cosigned"]) == (ORIGIN, 1, 5, [])
    assert json.loads(proved["leaf"])["request_id"] == record(1).request_id
    assert (proved["opened"][0], proved["withheld"], proved["unproven"]) == ("body", [], ["changes", "payload"])


def test_a_receipts_options_need_a_receipt(capfd: pytest.CaptureFixture[str], log: SealedLog, tmp_path: Path) -> None:
    assert run(program(), ["audit", "verify", "--witness", log.vkey]) == 2
    assert run(program(), ["audit", "verify", "--quorum", "0"]) == 2
    (tmp_path / "r").write_bytes(log.receipt(1))
    assert run(program(), ["audit", "verify", str(tmp_path / "r")]) == 2
    assert run(program(), ["audit", "verify", str(tmp_path / "r"), "--vkey", log.vkey, "--deep"]) == 2
    assert run(program(), ["audit", "verify", str(tmp_path / "r"), "--vkey", log.vkey, "--quorum", "1"]) == 2
    assert run(program(), ["audit", "verify", str(tmp_path / "missing"), "--vkey", log.vkey]) == 1
    assert run(program(), ["--data-dir", str(tmp_path / "none"), "audit", "verify"]) == 1
    assert "(no_data)" in capfd.readouterr().err
