"""A server of their own for attackers, with an operator and two tenants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support import shop
from tests.support.server import Server, serving
from tests.support.tenancy import Operator, Tenant, operator_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attack")
    table = folder / "routes.toml"
    table.write_text(shop.routes(), "utf-8")
    with serving(folder / "data", "tests.support.shop:app", HATCHPAY_ROUTES=str(table)) as running:
        yield running


@pytest.fixture(scope="module")
def operator(server: Server) -> Iterator[Operator]:
    with operator_of(server) as found:
        yield found


@pytest.fixture(scope="module")
def alice(operator: Operator) -> Iterator[Tenant]:
    """The tenant that is attacked."""
    with operator.onboard("Alice") as found:
        yield found


@pytest.fixture(scope="module")
def mallory(operator: Operator) -> Iterator[Tenant]:
    """The tenant that attacks."""
    with operator.onboard("Mallory") as found:
        yield found
