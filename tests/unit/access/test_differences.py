"""Differences are counted by principal and route; of each there are a few samples, and of groups not too many."""

from __future__ import annotations

from typing import Any

from hatchpay.access.differences import MOST_GROUPS, Differences
from hatchpay.access.replay import Verdict
from hatchpay.audit.record import Record

LACKING = Verdict("denied", "a.b.c", "permission_missing", "a.b.c")


def record(number: int, **fields: Any) -> Record:
    values: dict[str, Any] = {
        "principal_id": "ann",
        "key_id": "ann",
        "method": "GET",
        "route": "/",
        "started_us": number,
    }
    return Record(request_id=f"r{number}", tenant_id="t", url="/", **(values | fields))


def test_requests_that_are_alike_are_one_group_with_its_first_five_and_its_span() -> None:
    differences = Differences()
    for number in (3, 1, 9, 4, 5, 6, 7):
        differences.add(record(number), LACKING)
    (group,) = differences.largest()
    assert (group.count, group.first_us, group.last_us) == (7, 1, 9)
    assert group.samples == ["r3", "r1", "r9", "r4", "r5"]
    assert (group.permission, group.reason, group.missing) == ("a.b.c", "permission_missing", "a.b.c")


def test_caller_method_route_and_reason_make_a_group_and_the_largest_comes_first() -> None:
    differences = Differences()
    others: list[dict[str, Any]] = [
        {"principal_id": "user:bea"},
        {"method": "POST"},
        {"route": "/orders"},
        {"principal_id": "user:bea", "key_id": None},
    ]
    for number, fields in enumerate(others):
        differences.add(record(number, **fields), LACKING)
    differences.add(record(10), Verdict("denied", "a.b.c", "policy_forbids"))
    for number in (11, 12):
        differences.add(record(number), LACKING)
    counts = [group.count for group in differences.largest()]
    assert counts == [2, 1, 1, 1, 1, 1]
    assert differences.count == 7


def test_no_more_than_a_thousand_groups_are_shown_and_all_are_counted() -> None:
    differences = Differences()
    for number in range(MOST_GROUPS + 3):
        differences.add(record(number, principal_id=f"user:{number:05}"), LACKING)
    differences.add(record(0, principal_id="user:01002"), LACKING)
    shown = differences.largest()
    assert (len(shown), differences.group_count, differences.count) == (1_000, 1_003, 1_004)
    assert (shown[0].principal_id, shown[1].principal_id) == ("user:01002", "user:00000")
