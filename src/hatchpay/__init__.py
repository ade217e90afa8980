"""HatchPay Auth: the access layer in front of an API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hatchpay.access.permission import Permission
    from hatchpay.access.routes import Route
    from hatchpay.app.embed import HatchPayMiddleware

__all__ = ["HatchPayMiddleware", "Permission", "Route"]

_HOMES = {
    "HatchPayMiddleware": "hatchpay.app.embed",
    "Permission": "hatchpay.access.permission",
    "Route": "hatchpay.access.routes",
}


def __getattr__(name: str) -> object:
    """Loaded on first use: the ledger's writer process imports this package and needs none of it."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(_HOMES[name]), name)
