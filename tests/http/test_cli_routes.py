"""`hatchpay routes`: from an API's own description to its route table, and the two compared."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from tests.support.server import ROOT, hatchpay

SAMPLE = "examples.payments_api:app"


def api(tmp_path: Path, **paths: dict[str, Any]) -> str:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps({"openapi": "3.0.3", "paths": {f"/shop/{name}": item for name, item in paths.items()}}))
    return str(file)


def test_a_document_becomes_a_table_that_serve_takes(tmp_path: Path) -> None:
    document = api(tmp_path, orders={"get": {}, "post": {"x-hatchpay-permission": "shop.orders.place"}})
    table = tmp_path / "routes.toml"

    done = hatchpay(tmp_path, "routes", "import", document, "--output", str(table))

    assert done.stdout == f"Wrote {table}.\n"
    read = tomllib.loads(table.read_text())
    assert [(route["method"], route["permission"]) for route in read["routes"]] == [
        ("GET", "shop.orders.read"),
        ("POST", "shop.orders.place"),
    ]
    assert hatchpay(tmp_path, "routes", "check", document, "--routes", str(table), "--strict").returncode == 0


def test_an_application_is_described_by_all_that_it_serves(tmp_path: Path) -> None:
    printed = hatchpay(tmp_path, "routes", "import", SAMPLE).stdout
    routes = {(route["method"], route["path"]): route["permission"] for route in tomllib.loads(printed)["routes"]}
    transactions = "/v1/payment-proxy/transactions"
    assert routes["POST", f"{transactions}/authorize"] == "payment-proxy.transactions.authorize"
    assert routes["POST", f"{transactions}/{{id}}/complete"] == "payment-proxy.transactions.complete"
    # Not in its OpenAPI document, but served.
    assert ("GET", "/openapi.json") in routes


def test_what_an_existing_table_says_goes_before(tmp_path: Path) -> None:
    over = ROOT / "examples/payments_api/routes.toml"
    printed = tomllib.loads(hatchpay(tmp_path, "routes", "import", SAMPLE, "--over", str(over)).stdout)
    given = tomllib.loads(over.read_text())
    assert [route for route in printed["routes"] if route in given["routes"]] == given["routes"]
    assert all(permission in printed["permissions"] for permission in given["permissions"])


def test_the_check_names_what_is_denied_and_what_leads_nowhere(tmp_path: Path) -> None:
    table = tmp_path / "routes.toml"
    hatchpay(tmp_path, "routes", "import", api(tmp_path, orders={"get": {}}, gone={"get": {}}), "--output", str(table))
    document = api(tmp_path, orders={"get": {}, "delete": {}})

    shown = hatchpay(tmp_path, "routes", "check", document, "--routes", str(table))
    strict = hatchpay(tmp_path, "routes", "check", document, "--routes", str(table), "--strict", check=False)
    found = json.loads(hatchpay(tmp_path, "routes", "check", document, "--routes", str(table), "--json").stdout)

    assert shown.stdout.splitlines() == [
        "Denied, since no route lists it:",
        "  DELETE /shop/orders",
        "Listed, and not served:",
        "  GET /shop/gone",
    ]
    assert strict.returncode == 1
    assert found == {
        "denied": ["DELETE /shop/orders"],
        "unserved": ["GET /shop/gone"],
        "unused_permissions": [],
        "overlaps": [],
    }


def test_the_sample_is_checked_with_the_table_beside_it(tmp_path: Path) -> None:
    found = json.loads(hatchpay(tmp_path, "routes", "check", SAMPLE, "--json").stdout)
    assert found["denied"] == ["GET /openapi.json"]
    assert found["unserved"] == []
    assert found["unused_permissions"] == ["payment-proxy.customer-details.read"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for source, named in ((str(broken), "broken.json"), (str(tmp_path / "absent.json"), "absent.json")):
        done = hatchpay(tmp_path, "routes", "import", source, check=False)
        assert done.returncode == 1
        assert named in done.stderr
        assert "Traceback" not in done.stderr
