"""What every store of the record promises to whoever reads it from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.support.vaults import vault_beside

from hatchpay.audit.ports import Replay
from hatchpay.audit.record import Completion, Record
from hatchpay.errors import AuditUnavailable
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.replay import LedgerReplay

STORES: dict[str, Callable[[Path], Replay]] = {"sqlite": lambda path: LedgerReplay(path, vault_beside(path))}
SECOND = 1_000_000
START = 1_700_000_000 * SECOND


@pytest.fixture(params=STORES)
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Replay:
    path = tmp_path / "audit.db"
    ledger = Ledger(path, "test", vault_beside(path))
    create_ledger(path)
    ours = [record(number, "ours") for number in range(10_000)]
    # Recovery adds what has begun long ago.
    ours.insert(7_000, record(3, "ours", "late"))
    ledger.write([Completion(one) for one in ours])
    ledger.write([Completion(record(number, "theirs")) for number in range(10)])
    ledger.close()
    return STORES[request.param](path)


def record(number: int, tenant: str, suffix: str = "") -> Record:
    return Record(f"{tenant}-{number}{suffix}", tenant, "GET", "/", START + number * 10 * SECOND)


def ids(replay: Replay, tenant: str, first: int, after: int) -> list[str]:
    span = (START + first * 10 * SECOND, START + after * 10 * SECOND)
    found = [one.request_id for batch in replay.records(tenant, *span) for one in batch]
    assert replay.count(tenant, *span) == len(found)
    return found


def test_a_span_has_what_began_in_it_once_each_in_order_and_of_one_tenant(replay: Replay) -> None:
    assert ids(replay, "ours", 8_000, 8_003) == ["ours-8000", "ours-8001", "ours-8002"]
    assert ids(replay, "theirs", 0, 20) == [f"theirs-{number}" for number in range(10)]
    assert ids(replay, "ours", 9_999, 20_000) == ["ours-9999"]
    assert ids(replay, "ours", 10_000, 20_000) == []
    assert ids(replay, "nobody", 0, 20_000) == []


def test_all_of_it_comes_in_batches_late_ones_included(replay: Replay) -> None:
    everything = ids(replay, "ours", 0, 10_000)
    assert len(everything) == len(set(everything)) == 10_001
    assert "ours-3late" in ids(replay, "ours", 3, 4)


def test_a_caller_of_chosen_units_is_given_what_concerned_those(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "audit.db", "test", vault_beside(tmp_path / "audit.db"))
    create_ledger(tmp_path / "audit.db")
    units = (None, "berlin", "paris", "berlin", "rome")
    ledger.write(
        [
            Completion(msgspec.structs.replace(record(number, "ours"), business_unit_id=unit))
            for number, unit in enumerate(units)
        ]
    )
    ledger.close()
    for wanted, expected in (
        ({"berlin"}, [1, 3]),
        ({"rome", "paris"}, [2, 4]),
        ({"oslo"}, []),
        (set(), []),
        (None, [0, 1, 2, 3, 4]),
    ):
        for store in STORES.values():
            span = ("ours", START, START + 100 * SECOND, None if wanted is None else frozenset(wanted))
            replay = store(tmp_path / "audit.db")
            found = [one.request_id for batch in replay.records(*span) for one in batch]
            assert found == [f"ours-{number}" for number in expected]
            assert replay.count(*span) == len(expected)


def test_a_record_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable):
        LedgerReplay(tmp_path / "missing.db", vault_beside(tmp_path / "missing.db")).count("ours", 0, 1)
