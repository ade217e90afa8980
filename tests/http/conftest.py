"""Running servers for all that talks HTTP to them, each with an operator and two tenants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support import shop
from tests.support.server import Server, serving
from tests.support.tenancy import Operator, Tenant, operator_of


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("http")
    table = folder / "routes.toml"
    table.write_text(shop.routes(), "utf-8")
    with serving(folder / "data", "tests.support.shop:app", HATCHPAY_ROUTES=str(table)) as running:
        yield running


@pytest.fixture(scope="session")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another, for which the issuers of tokens may be on this machine."""
    data_dir = tmp_path_factory.mktemp("trusting") / "data"
    with serving(data_dir, HATCHPAY_ALLOW_INSECURE_ISSUERS="true") as running:
        yield running


@pytest.fixture(scope="session")
def houses(trusting: Server) -> Iterator[tuple[Tenant, Tenant]]:
    """Two tenants of the trusting server."""
    with (
        operator_of(trusting) as operator,
        operator.onboard("Tea House") as house,
        operator.onboard("Coffee House") as other,
    ):
        yield house, other


@pytest.fixture(scope="session")
def house(houses: tuple[Tenant, Tenant]) -> Tenant:
    return houses[0]


@pytest.fixture(scope="session")
def neighbour(houses: tuple[Tenant, Tenant]) -> Tenant:
    return houses[1]


@pytest.fixture(scope="session")
def operator(server: Server) -> Iterator[Operator]:
    with operator_of(server) as found:
        yield found


@pytest.fixture(scope="session")
def tenant(operator: Operator) -> Iterator[Tenant]:
    with operator.onboard("Tea House") as found:
        yield found


@pytest.fixture(scope="session")
def rival(operator: Operator) -> Iterator[Tenant]:
    with operator.onboard("Coffee House") as found:
        yield found
