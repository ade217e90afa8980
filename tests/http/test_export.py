"""Exports of a real server, and of the command: whole, or visibly cut off, and never more than the caller may see."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from tests.support.server import HATCHPAY, ROOT, Server, hatchpay, onboard
from tests.support.tenancy import Operator, Tenant, problem_of
from tests.support.vaults import vault_of

from hatchpay.app.command import program
from hatchpay.audit.record import Completion, Record
from hatchpay.cli.errors import run
from hatchpay.ids import new_id
from hatchpay.store.ledger import Ledger

EXPORT = "/v1/audit-log/export"
EXPORTS = "/v1/audit-log/exports"
PATIENCE_S = 20


def fill(data_dir: Path, tenant_id: str, count: int) -> list[str]:
    """That many recorded requests, of more than a kilobyte each and of a status that no other has; their ids."""
    body = json.dumps({"items": [{"name": f"Tea {number}", "amount": "12.50"} for number in range(30)]}).encode()
    records = [
        Record(
            new_id(),
            tenant_id,
            "POST",
            "/v1/payment-proxy/transactions",
            1_764_035_442_000_000 + number,
            headers={"user-agent": "=1+1"},
            body=body,
            status=299,
            state="completed",
        )
        for number in range(count)
    ]
    ledger = Ledger(data_dir / "ledger.db", new_id(), vault_of(data_dir), busy_timeout_s=PATIENCE_S)
    for start in range(0, count, 1_000):
        ledger.write([Completion(record) for record in records[start : start + 1_000]])
    ledger.close()
    return [record.request_id for record in records]


def listed(tenant: Tenant, export_id: str, state: str) -> dict[str, Any]:
    """The export, once it is in this state."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found: list[dict[str, Any]] = tenant.get(EXPORTS)["data"]
        for one in found:
            if one["id"] == export_id and one["state"] == state:
                return one
        time.sleep(0.02)
    raise AssertionError(f"the export is not {state}: {found}")


@pytest.fixture(scope="module")
def cafe(server: Server, operator: Operator) -> Iterator[Tenant]:
    with operator.onboard("Export Cafe") as found:
        yield found


@pytest.fixture(scope="module")
def made(server: Server, cafe: Tenant) -> list[str]:
    return fill(server.data_dir, cafe.id, 6_000)


class TestServer:
    def test_it_is_streamed_whole_and_recorded_like_any_request(self, cafe: Tenant, made: list[str]) -> None:
        answer = cafe.client.get(EXPORT, params={"format": "csv", "status": "299", "after": "0"})
        assert (answer.status_code, answer.headers["transfer-encoding"]) == (200, "chunked")
        assert [row["request_id"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))] == made
        record = cafe.record(answer.headers["HatchPay-Request-Id"])
        assert record is not None
        assert (record["state"], record["status"], record["route"]) == ("completed", 200, EXPORT)
        assert record["url"] == f"{EXPORT}?format=csv&status=299&after=0"
        assert (record["permission"], record["response_size"]) == ("audit-log.exports.read", len(answer.content))
        view = listed(cafe, answer.headers["HatchPay-Export-Id"], "finished")
        assert (view["records"], view["request_id"]) == (len(made), record["request_id"])

    def test_a_client_that_hangs_up_has_had_what_is_told(self, server: Server, cafe: Tenant, made: list[str]) -> None:
        with server.client(cafe.key.text) as client, client.stream("GET", EXPORT, params={"format": "ocsf"}) as answer:
            next(answer.iter_raw())
        view = listed(cafe, answer.headers["HatchPay-Export-Id"], "cut")
        assert 0 < view["records"] < len(made)
        request_id = answer.headers["HatchPay-Request-Id"]
        (record,) = cafe.await_history(request_id=request_id, patience_s=PATIENCE_S)
        assert record["state"] == "disconnected"

    def test_a_tenant_runs_two_at_a_time(
        self, server: Server, operator: Operator, cafe: Tenant, made: list[str]
    ) -> None:
        with ExitStack() as open_ones:
            for _ in range(2):
                client = open_ones.enter_context(server.client(cafe.key.text))
                # Larger than all buffers in between: it waits for its reader.
                answer = open_ones.enter_context(client.stream("GET", EXPORT, params={"format": "ocsf"}))
                assert answer.status_code == 200
            refused = cafe.client.get(EXPORT, params={"format": "csv"})
            assert (refused.status_code, problem_of(refused)["code"]) == (429, "too_many_exports")
            assert refused.headers["retry-after"] == "5"
            with operator.onboard("Export Rival") as rival:
                assert rival.client.get(EXPORT, params={"format": "csv"}).status_code == 200
        end = time.monotonic() + PATIENCE_S
        while (again := cafe.client.get(EXPORT, params={"format": "csv", "status": "404"})).status_code == 429:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert again.status_code == 200

    def test_whoever_lacks_the_permission_is_refused(self, server: Server, cafe: Tenant) -> None:
        reader = cafe.make_role("History reader", "audit-log.history.read")
        with server.client(cafe.make_key("viewer", reader).text) as client:
            for path in (f"{EXPORT}?format=csv", EXPORTS):
                answer = client.get(path)
                assert (answer.status_code, problem_of(answer)["permission"]) == (403, "audit-log.exports.read")

    def test_the_command_writes_what_the_call_answers(
        self, server: Server, cafe: Tenant, made: list[str], tmp_path: Path
    ) -> None:
        for wanted in ("csv", "ocsf"):
            file = tmp_path / f"audit.{wanted}"
            options = ("--format", wanted, "--output", str(file), "--tenant", cafe.id, "--status", "299")
            done = json.loads(hatchpay(server.data_dir, "audit", "export", *options, "--json").stdout)
            assert (done["records"], done["format"]) == (len(made), wanted)
            query: dict[str, Any] = {"format": wanted, "status": "299", "upto": done["upto"]}
            assert cafe.client.get(EXPORT, params=query).content == file.read_bytes()


class Books:
    """A data directory that nobody serves."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.tenant_id: str = onboard(data_dir)["tenant"]["id"]
        self.made = fill(data_dir, self.tenant_id, 8_000)

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """What the command prints, and what it complains of; in this process, which is faster."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = run(program(), ["--data-dir", str(self.data_dir), "audit", *arguments])
        assert ended == code, err.getvalue()
        out.seek(0)
        return out.read(), err.getvalue()

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*HATCHPAY, "audit", *arguments],
            cwd=ROOT,
            env={**os.environ, "HATCHPAY_DATA_DIR": str(self.data_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def killed(self, file: Path, *arguments: str) -> None:
        """Start the export, and kill it with SIGKILL when it has noted down that it is under way."""
        marks = file.with_name(file.name + ".part.json")
        for _ in range(5):
            process = self.started("export", "--output", str(file), *arguments)
            while process.poll() is None and not (
                marks.exists() and file.with_name(file.name + ".part").stat().st_size
            ):
                time.sleep(0.002)
            while process.poll() is None and _seq(marks) == 0 and "parquet" not in arguments:
                time.sleep(0.002)
            process.kill()
            process.communicate()
            if process.returncode == -signal.SIGKILL and not file.exists():
                return
            file.unlink()
        raise AssertionError("every export was whole before it was killed")


def _seq(marks: Path) -> int:
    try:
        found: int = json.loads(marks.read_bytes())["seq"]
    except FileNotFoundError:
        return 0
    return found


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    return Books(tmp_path_factory.mktemp("books") / "data")


class TestCommand:
    @pytest.mark.parametrize("wanted", ["csv", "parquet"])
    def test_a_killed_export_goes_on_and_is_the_same_to_the_byte(
        self, books: Books, wanted: str, tmp_path: Path
    ) -> None:
        cut, whole = tmp_path / "cut", tmp_path / "whole"
        # Without what these commands record themselves.
        order = ("--format", wanted, "--status", "299")
        books.killed(cut, *order)
        part = cut.with_name("cut.part")
        assert part.stat().st_size > 0
        assert books.run("export", "--output", str(cut), *order)[1] == ""
        books.run("export", "--output", str(whole), *order)
        if wanted == "parquet":
            assert parquet.read_table(cut).equals(parquet.read_table(whole))
            assert parquet.read_table(cut)["request_id"].to_pylist() == books.made
        else:
            assert cut.read_bytes() == whole.read_bytes()
        assert {file.name for file in tmp_path.iterdir()} == {"cut", "whole"}
        shown = json.loads(books.run("exports", "--json", "--limit", "2")[0])["data"]
        assert [(one["state"], one["records"], one["format"]) for one in shown] == [
            ("finished", len(books.made), wanted)
        ] * 2

    def test_it_is_recorded_and_so_is_the_look_at_what_was_exported(self, books: Books, tmp_path: Path) -> None:
        file = str(tmp_path / "audit.jsonl")
        books.run("export", "--output", file, "--status", "404")
        books.run("exports")
        shown = json.loads(books.run("history", "--method", "LOCAL", "--limit", "2", "--json")[0])["data"]
        assert [record["url"] for record in shown] == ["hatchpay audit exports", "hatchpay audit export"]
        assert {record["state"] for record in shown} == {"completed"}

    def test_a_finished_file_is_kept_unless_it_is_to_be_replaced(self, books: Books, tmp_path: Path) -> None:
        file = tmp_path / "audit.csv"
        file.write_text("mine")
        order = ("export", "--format", "csv", "--output", str(file), "--status", "404")
        assert "(export_exists)" in books.run(*order, code=1)[1]
        assert file.read_text() == "mine"
        books.run(*order, "--force")
        assert file.read_text().startswith("seq,")

    def test_the_next_one_begins_where_the_last_has_ended(self, books: Books, tmp_path: Path) -> None:
        first = json.loads(books.run("export", "-o", str(tmp_path / "1"), "--status", "299", "--json")[0])
        (fresh,) = fill(books.data_dir, books.tenant_id, 1)
        order = ("export", "-o", str(tmp_path / "2"), "--status", "299", "--after", str(first["upto"]))
        assert books.run(*order)[0].startswith("1 records, up to ")
        assert json.loads((tmp_path / "2").read_text())["request_id"] == fresh
        books.made.append(fresh)

    def test_without_a_file_it_goes_to_standard_output_and_ends_with_its_reader(self, books: Books) -> None:
        process = books.started("export", "--format", "csv")
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"seq,leaf_index,leaf_hash,request_id")
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 141
        assert process.stderr.read() == b""
        process.stderr.close()

    def test_a_wrong_order_is_a_usage_error(self, books: Books, tmp_path: Path) -> None:
        for order in (("--json",), ("--format", "xml"), ("--status", "denied"), ("--after", "x")):
            books.run("export", *order, code=2)

    def test_a_terminal_shows_how_far_it_is(self, books: Books, tmp_path: Path) -> None:
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [*HATCHPAY, "audit", "export", "--output", str(tmp_path / "all"), "--format", "csv"],
            cwd=ROOT,
            env={**os.environ, "HATCHPAY_DATA_DIR": str(books.data_dir), "TERM": "xterm", "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:
            # The other end is closed.
            pass
        finally:
            os.close(ours)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert b"Exporting" in shown and b"%" in shown and b"records" in shown
