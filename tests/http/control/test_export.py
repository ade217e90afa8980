"""`/v1/audit-log/export` and `/exports`: the caller's own record as a file, and who has taken one."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.http.control.harness import HISTORY, KEYS, UNITS, Tenant, World, problem_of

from hatchpay.admin.export_access import ExportAccess
from hatchpay.admin.views import Actor
from hatchpay.audit.ports import HistoryFilter
from hatchpay.clock import wall_us
from hatchpay.errors import Forbidden, Unauthenticated
from hatchpay.ids import PLATFORM_TENANT_ID, new_id

EXPORT = "/v1/audit-log/export"
EXPORTS = "/v1/audit-log/exports"


def export(world: World, key: str, query: str = "", wanted: str = "jsonl") -> httpx.Response:
    answer = world.call("GET", f"{EXPORT}?format={wanted}&{query}".rstrip("&"), key=key)
    assert answer.status_code == 200, answer.text
    return answer


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def ids(world: World, key: str, query: str = "") -> list[str]:
    return [line["request_id"] for line in lines(export(world, key, query))]


def exports(world: World, key: str, query: str = "") -> Any:
    answer = world.call("GET", f"{EXPORTS}?{query}".rstrip("?"), key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_record_is_exported_as_the_history_shows_it_oldest_first(world: World, tenant: Tenant) -> None:
    made = [world.record(tenant.id, body=b'{"a":[1,null]}', status=200 + number) for number in range(5)]
    found = lines(export(world, tenant.admin))
    assert [line["request_id"] for line in found] == made
    shown = world.call("GET", HISTORY, key=tenant.admin).json()["data"]
    for line, record in zip(found, reversed(shown), strict=True):
        assert line.pop("seq") > 0
        assert (line.pop("leaf_index"), line.pop("leaf_hash")) == (None, None)
        assert line == record


@pytest.mark.parametrize(
    ("wanted", "media_type", "suffix"),
    [
        ("csv", "text/csv; charset=utf-8; header=present", "csv"),
        ("jsonl", "application/x-ndjson", "jsonl"),
        ("ocsf", "application/x-ndjson", "ocsf.jsonl"),
        ("parquet", "application/vnd.apache.parquet", "parquet"),
    ],
)
def test_every_format_is_a_file_to_be_saved(
    world: World, tenant: Tenant, wanted: str, media_type: str, suffix: str
) -> None:
    made = world.record(tenant.id)
    answer = export(world, tenant.admin, wanted=wanted)
    assert answer.headers["content-type"] == media_type
    upto = answer.headers["hatchpay-export-upto"]
    assert answer.headers["content-disposition"] == f'attachment; filename="hatchpay-audit-{upto}.{suffix}"'
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    match wanted:
        case "csv":
            found = [row["request_id"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))]
        case "jsonl":
            found = [line["request_id"] for line in lines(answer)]
        case "ocsf":
            found = [line["metadata"]["uid"] for line in lines(answer)]
        case _:
            found = parquet.read_table(pa.BufferReader(answer.content))["request_id"].to_pylist()
    assert found == [made]


def test_a_tenant_exports_its_own_requests_and_the_operator_what_is_nobodys(world: World, tenant: Tenant) -> None:
    other = world.onboard("Other")
    mine, theirs, nobodys = (world.record(tenant_id) for tenant_id in (tenant.id, other.id, PLATFORM_TENANT_ID))
    assert ids(world, tenant.admin) == [mine]
    assert ids(world, other.admin) == [theirs]
    assert ids(world, world.operator) == [nobodys]
    # Nor do the headers tell how much the others do.
    before = export(world, tenant.admin).headers["hatchpay-export-upto"]
    for _ in range(3):
        world.record(other.id)
    assert export(world, tenant.admin).headers["hatchpay-export-upto"] == before


def test_a_caller_of_chosen_units_exports_theirs_and_sees_no_other_exports(world: World, tenant: Tenant) -> None:
    berlin, paris = (
        world.call("POST", UNITS, key=tenant.admin, json={"name": zone, "timezone_name": zone}).json()["id"]
        for zone in ("Europe/Berlin", "Europe/Paris")
    )
    clerk = world.create(tenant, "admin", business_unit_ids=[berlin])
    other = world.create(tenant, "admin", business_unit_ids=[paris, berlin])
    here = world.record(tenant.id, business_unit_id=berlin)
    there = world.record(tenant.id, business_unit_id=paris)
    nowhere = world.record(tenant.id)
    assert ids(world, tenant.admin) == [here, there, nowhere]
    assert ids(world, clerk) == [here]
    assert ids(world, other) == [here, there]
    assert ids(world, clerk, f"business_unit_id={paris}") == []
    who = {key: [one["principal_id"] for one in exports(world, key)["data"]] for key in (tenant.admin, clerk, other)}
    assert who == {tenant.admin: [other, clerk, tenant.admin], clerk: [clerk], other: [other, clerk]}


def test_the_conditions_are_those_of_the_history(world: World, tenant: Tenant) -> None:
    key_id = new_id()
    wanted = world.record(
        tenant.id,
        method="POST",
        url="/roles?page=1",
        route="/roles",
        status=403,
        key_id=key_id,
        client_ip="2001:db8::1",
        response_time_us=1500,
        started_us=1_767_225_600_000_000,
    )
    world.record(tenant.id, method="GET", url="/permissions", route="/permissions", status=200, started_us=1)
    for query in (
        "method=post",
        "path=/roles",
        "route=/roles",
        "status=4xx",
        f"key_id={key_id}",
        f"request_id={wanted}",
        "client_ip=2001:DB8:0::1",
        "min_ms=1.5",
        "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00.000001Z",
    ):
        assert ids(world, tenant.admin, query) == [wanted], query
    assert ids(world, tenant.admin, "status=404") == []


def test_it_goes_on_from_its_last_line_up_to_its_old_end(world: World, tenant: Tenant) -> None:
    for _ in range(6):
        world.record(tenant.id)
    for wanted, rest in (("jsonl", ""), ("ocsf", ""), ("csv", "&header=absent")):
        whole = export(world, tenant.admin, wanted=wanted)
        upto = whole.headers["hatchpay-export-upto"]
        world.record(tenant.id)
        size = len(whole.content) // 2
        kept = whole.content[: whole.content.rindex(b"\n", 0, size) + 1]
        last = kept.splitlines()[-1]
        seq = {
            "csv": lambda line: line.split(b",")[0].decode(),
            "jsonl": lambda line: json.loads(line)["seq"],
            "ocsf": lambda line: json.loads(line)["metadata"]["sequence"],
        }[wanted](last)
        more = export(world, tenant.admin, f"after={seq}&upto={upto}{rest}", wanted)
        assert kept + more.content == whole.content
        assert (more.headers["hatchpay-export-after"], more.headers["hatchpay-export-upto"]) == (str(seq), upto)


def test_from_the_end_of_one_the_next_holds_what_is_new(world: World, tenant: Tenant) -> None:
    world.record(tenant.id)
    upto = export(world, tenant.admin).headers["hatchpay-export-upto"]
    fresh = world.record(tenant.id)
    assert ids(world, tenant.admin, f"after={upto}") == [fresh]


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("", (422, "invalid_field", "format")),
        ("format=xml", (422, "invalid_field", "format")),
        ("format=jsonl&after=-1", (400, "invalid_cursor", "after")),
        ("format=jsonl&after=01", (400, "invalid_cursor", "after")),
        ("format=jsonl&after=%D9%A3", (400, "invalid_cursor", "after")),
        ("format=jsonl&upto=1e3", (400, "invalid_cursor", "upto")),
        ("format=jsonl&upto=9999999999999999999", (400, "invalid_cursor", "upto")),
        ("format=jsonl&header=absent", (422, "invalid_field", "header")),
        ("format=csv&header=no", (422, "invalid_field", "header")),
        ("format=csv&limit=1", (422, "unknown_parameter", "limit")),
        ("format=csv&cursor=NDcxMQ", (422, "unknown_parameter", "cursor")),
        ("format=csv&tenant_id=7", (422, "unknown_parameter", "tenant_id")),
        ("format=csv&format=jsonl", (400, "duplicate_parameter", "format")),
        ("format=csv&status=denied", (422, "invalid_field", "status")),
    ],
)
def test_what_cannot_be_meant_is_named(world: World, tenant: Tenant, query: str, refusal: tuple[int, str, str]) -> None:
    assert problem_of(world.call("GET", f"{EXPORT}?{query}", key=tenant.admin)) == refusal
    assert exports(world, tenant.admin)["data"] == []


def test_an_export_that_delivered_is_listed_with_who_took_it(world: World, tenant: Tenant) -> None:
    made = [world.record(tenant.id, status=404) for _ in range(3)]
    export(world, tenant.admin, "status=500")
    answer = export(world, tenant.admin, "status=4xx", "csv")
    (listed,) = exports(world, tenant.admin)["data"]
    assert listed["id"] == answer.headers["hatchpay-export-id"]
    assert (listed["principal_id"], listed["format"], listed["state"]) == (tenant.admin, "csv", "finished")
    assert (listed["records"], listed["conditions"]) == (len(made), {"status": "4xx"})
    assert listed["upto"] == listed["last_seq"] == int(answer.headers["hatchpay-export-upto"])
    other = world.onboard("Other")
    assert exports(world, other.admin)["data"] == []
    (covering,) = world.exports.covering(tenant.id, [listed["last_seq"]])
    assert covering.id == listed["id"]


def test_exports_are_listed_newest_first_page_by_page(world: World, tenant: Tenant) -> None:
    world.record(tenant.id)
    made = [export(world, tenant.admin).headers["hatchpay-export-id"] for _ in range(5)]
    found: list[str] = []
    query = "limit=2"
    while query:
        page = exports(world, tenant.admin, query)
        found += [one["id"] for one in page["data"]]
        query = f"limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert found == made[::-1]


def test_a_head_delivers_nothing(world: World, tenant: Tenant) -> None:
    world.record(tenant.id)
    answer = world.call("HEAD", f"{EXPORT}?format=csv", key=tenant.admin)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/csv")
    assert exports(world, tenant.admin)["data"] == []


def test_a_ledger_that_is_gone_is_an_outage(world: World, tenant: Tenant) -> None:
    world.lose_the_ledger()
    answer = world.call("GET", f"{EXPORT}?format=csv", key=tenant.admin)
    assert problem_of(answer)[:2] == (503, "audit_unavailable")
    assert msgspec.json.decode(answer.content)["detail"] == "a part of the service is out of order"


def demand(world: World, key: str, units: frozenset[str] | None = None, tenant_id: str | None = None) -> None:
    """What a running export asks for its caller, as the caller was when it began."""
    principal = world.principal(key)
    access = ExportAccess(world.directory, world.exports, wall_us)
    wanted = HistoryFilter(tenant_id=tenant_id or principal.tenant_id, business_unit_ids=units)
    access.demand(Actor(principal, new_id()), wanted)


def test_while_it_runs_its_caller_must_keep_the_right_to_it(world: World, tenant: Tenant) -> None:
    key = world.create(tenant, "admin")
    demand(world, key)
    was = world.principal(key)
    world.set_roles(tenant, key, "viewer")
    with pytest.raises(Forbidden) as lost:
        demand(world, key)
    assert lost.value.permission == "audit-log.exports.read"
    world.call("DELETE", f"{KEYS}/{key}", key=tenant.admin)
    with pytest.raises(Unauthenticated):
        ExportAccess(world.directory, world.exports, wall_us).demand(
            Actor(was, new_id()), HistoryFilter(tenant_id=tenant.id)
        )


def test_while_it_runs_its_caller_must_keep_the_units_that_it_holds(world: World, tenant: Tenant) -> None:
    berlin, paris = (
        world.call("POST", UNITS, key=tenant.admin, json={"name": zone, "timezone_name": zone}).json()["id"]
        for zone in ("Europe/Berlin", "Europe/Paris")
    )
    clerk = world.create(tenant, "admin", business_unit_ids=[berlin])
    demand(world, clerk, frozenset({berlin}))
    for units in (None, frozenset({paris}), frozenset({berlin, paris})):
        with pytest.raises(Forbidden):
            demand(world, clerk, units)
    with pytest.raises(Forbidden):
        demand(world, tenant.admin, None, world.onboard("Other").id)
