"""`hatchpay routes`: from an API's own description to its route table, and the two compared."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import ROOT, hatchpay, serving

SAMPLE = "examples.payments_api:app"
APPLICATION = """
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Route

app = FastAPI()
part = FastAPI(openapi_url=None)

@app.get("/shop/orders")
def orders() -> list[str]:
    return []

@app.get("/roles")
def roles() -> list[str]:
    return []

@app.get("/{page}", openapi_extra={"x-hatchpay-permission": "shop.pages.read"})
def page(page: str) -> str:
    return page

@part.get("/items")
def items() -> list[str]:
    return []

app.mount("/shop/part", part)
plain = Starlette(routes=[Route("/shop/plain", roles, include_in_schema=False)])
"""


def api(tmp_path: Path, **paths: dict[str, Any]) -> str:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps({"openapi": "3.0.3", "paths": {f"/shop/{name}": item for name, item in paths.items()}}))
    return str(file)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of APPLICATION."""
    (tmp_path / "shop_of_test.py").write_text(APPLICATION)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "shop_of_test"


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


def test_an_application_is_described_by_what_it_serves(tmp_path: Path) -> None:
    printed = hatchpay(tmp_path, "routes", "import", SAMPLE).stdout
    routes = {(route["method"], route["path"]): route["permission"] for route in tomllib.loads(printed)["routes"]}
    transactions = "/v1/payment-proxy/transactions"
    assert routes["POST", f"{transactions}/authorize"] == "payment-proxy.transactions.authorize"
    assert routes["POST", f"{transactions}/{{id}}/complete"] == "payment-proxy.transactions.complete"


def test_of_hatchpays_own_calls_no_table_is_made(tmp_path: Path) -> None:
    document = tmp_path / "own.json"
    document.write_text(json.dumps({"openapi": "3.1.0", "paths": {"/roles": {"get": {}}}}))
    refused = hatchpay(tmp_path, "routes", "import", str(document), check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is nothing to list: HatchPay's own calls are left out" in refused.stderr


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
        "clashes": [],
        "unused_permissions": [],
        "overlaps": [],
    }


def test_the_sample_is_checked_with_the_table_beside_it(tmp_path: Path) -> None:
    found = json.loads(hatchpay(tmp_path, "routes", "check", SAMPLE, "--json").stdout)
    assert found["denied"] == found["unserved"] == found["clashes"] == []
    assert found["unused_permissions"] == ["payment-proxy.customer-details.read"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for source, named in ((str(broken), "broken.json"), (str(tmp_path / "absent.json"), "absent.json")):
        done = hatchpay(tmp_path, "routes", "import", source, check=False)
        assert done.returncode == 1
        assert named in done.stderr
        assert "Traceback" not in done.stderr


def test_the_table_of_a_plain_fastapi_application_is_one_that_serve_takes(tmp_path: Path, shop: str) -> None:
    table = tmp_path / "routes.toml"

    hatchpay(tmp_path, "routes", "import", f"{shop}:app", "--output", str(table))

    # Neither its documentation pages, nor what HatchPay's own calls could be meant by.
    read = tomllib.loads(table.read_text())
    assert [route["path"] for route in read["routes"]] == ["/shop/orders", "/shop/part/items"]
    assert len(read["permissions"]) == 2
    with serving(tmp_path / "data", f"{shop}:app", "--routes", str(table)) as server, server.client() as client:
        assert client.get("/shop/orders").status_code == 401


def test_the_check_still_names_documentation_pages_but_not_what_hatchpay_answers(tmp_path: Path, shop: str) -> None:
    table = tmp_path / "routes.toml"
    hatchpay(tmp_path, "routes", "import", f"{shop}:app", "--output", str(table))

    found = json.loads(hatchpay(tmp_path, "routes", "check", f"{shop}:app", "--routes", str(table), "--json").stdout)

    assert found["denied"] == ["GET /docs", "GET /docs/oauth2-redirect", "GET /redoc", "GET /{page}"]
    assert found["unserved"] == found["clashes"] == []


def test_an_application_without_a_document_hides_nothing(tmp_path: Path, shop: str) -> None:
    printed = tomllib.loads(hatchpay(tmp_path, "routes", "import", f"{shop}:plain").stdout)
    assert [route["path"] for route in printed["routes"]] == ["/shop/plain"]


def test_the_check_names_entries_that_hatchpay_serves_itself(tmp_path: Path) -> None:
    table = tmp_path / "routes.toml"
    table.write_text('[[routes]]\nmethod = "GET"\npath = "/openapi.json"\nopen = true\n')
    done = hatchpay(tmp_path, "routes", "check", api(tmp_path), "--routes", str(table), "--strict", check=False)
    assert done.stdout.splitlines() == ["Listed, and HatchPay serves this itself:", "  GET /openapi.json"]
    assert done.returncode == 1


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    document = api(tmp_path, orders={"get": {}})
    table = tmp_path / "routes.toml"
    table.write_text("# by hand\n")

    refused = hatchpay(tmp_path, "routes", "import", document, "--output", str(table), check=False)

    assert refused.returncode == 1
    assert str(table) in refused.stderr
    assert "--force" in refused.stderr
    assert "--over" in refused.stderr
    assert table.read_text() == "# by hand\n"
    hatchpay(tmp_path, "routes", "import", document, "--output", str(table), "--force")
    assert [route["path"] for route in tomllib.loads(table.read_text())["routes"]] == ["/shop/orders"]


@pytest.mark.parametrize("command", ["import", "check"])
def test_what_is_neither_a_file_nor_an_application_is_called_so(tmp_path: Path, command: str) -> None:
    # The second is a directory, as the package of an application is.
    for source in ("greet", "examples"):
        done = hatchpay(tmp_path, "routes", command, source, check=False)
        assert done.returncode == 1
        assert f"{source} is neither a file nor an application, named module:attribute" in done.stderr


def test_a_document_whose_paths_are_none_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "routes.toml"
    table.write_text("")
    for paths in ([], {"/a/b": []}):
        document = tmp_path / "openapi.json"
        document.write_text(json.dumps({"openapi": "3.1.0", "paths": paths}))
        done = hatchpay(tmp_path, "routes", "check", str(document), "--routes", str(table), check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "paths" in done.stderr
