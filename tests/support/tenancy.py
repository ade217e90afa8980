"""Tenants, keys and records of a running server, by its own calls alone."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from tests.support.server import Server, hatchpay

from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["HISTORY", "KEYS", "TRANSACTIONS", "UNITS", "Key", "Operator", "Tenant", "operator_of", "problem_of"]

KEYS = "/v1/api-key/keys"
UNITS = "/v1/business-unit/business-units"
HISTORY = "/v1/audit-log/history"
TRANSACTIONS = "/v1/payment-proxy/transactions"

_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
_KEY = re.compile(r"\bhp_live_[0-9A-Za-z]{61}\b")


@dataclass(frozen=True)
class Key:
    """A key and its secret text."""

    id: str
    text: str = field(repr=False)

    @property
    def header(self) -> dict[str, str]:
        return {"X-API-Key": self.text}


class _Log:
    """Whoever may read a log."""

    def __init__(self, server: Server, key: Key) -> None:
        self.server = server
        self.key = key
        self.client = server.client(key.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def record(self, request_id: str) -> dict[str, Any] | None:
        """The record of one answered request in this log: it was there before the answer was."""
        found = self.history(request_id=request_id)
        assert len(found) <= 1
        return found[0] if found else None

    def await_history(self, *, patience_s: float = 5, **conditions: str) -> list[dict[str, Any]]:
        """As `history`, but for requests without an answer, whose records may come a moment later."""
        until = time.monotonic() + patience_s
        while not (found := self.history(**conditions)) and time.monotonic() < until:
            time.sleep(0.02)
        return found

    def history(self, **conditions: str) -> list[dict[str, Any]]:
        answer = self.client.get(HISTORY, params=conditions)
        assert answer.status_code == 200, answer.text
        data: list[dict[str, Any]] = answer.json()["data"]
        return data


class Operator(_Log):
    """The platform's operator."""

    tenant_id = PLATFORM_TENANT_ID

    def onboard(self, name: str) -> Tenant:
        answer = self.client.post("/v1/tenants", json={"name": name})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return Tenant(self.server, made["tenant"]["id"], Key(made["api_key"]["id"], made["api_key"]["key"]))


class Tenant(_Log):
    """A tenant, acting by its first admin key; `roles` maps the built-in roles' names to their ids."""

    def __init__(self, server: Server, tenant_id: str, admin: Key) -> None:
        super().__init__(server, admin)
        self.id = tenant_id
        self.roles: dict[str, str] = {role["name"]: role["id"] for role in self.get("/roles")["data"]}

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make_key(self, *roles: str, **fields: Any) -> Key:
        """A key that holds the roles of these names or ids."""
        answer = self.client.post(KEYS, json={"name": "Till", **fields})
        assert answer.status_code == 201, answer.text
        key = Key(answer.json()["id"], answer.json()["key"])
        if roles:
            self.set_roles(key, *roles)
        return key

    def set_roles(self, key: Key, *roles: str) -> None:
        ids = [self.roles.get(role, role) for role in roles]
        answer = self.client.put(f"{KEYS}/{key.id}/roles", json={"role_ids": ids})
        assert answer.status_code == 200, answer.text

    def make_role(self, name: str, *permissions: str) -> str:
        answer = self.client.post("/roles", json={"name": name, "permissions": permissions})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def make_unit(self, name: str) -> str:
        answer = self.client.post(UNITS, json={"name": name, "timezone_name": "Europe/Zurich"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def change(self, key: Key, **changes: Any) -> None:
        answer = self.client.patch(f"{KEYS}/{key.id}", json=changes)
        assert answer.status_code == 200, answer.text

    def delete(self, key: Key) -> None:
        answer = self.client.delete(f"{KEYS}/{key.id}")
        assert answer.status_code == 204, answer.text


def operator_of(server: Server) -> Operator:
    """Makes the operator's key, which can be done once, and beside the running server."""
    printed = hatchpay(server.data_dir, "operator", "key", "--json").stdout
    found = _KEY.search(printed)
    assert found is not None
    return Operator(server, Key(str(json.loads(printed).get("id")), found[0]))


def problem_of(answer: httpx.Response | Any) -> dict[str, Any]:
    """A refusal's body, which must have the one shape and name its own request."""
    status = answer.status_code if isinstance(answer, httpx.Response) else answer.status
    headers = dict(answer.headers)
    assert headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert _MEMBERS <= set(body) <= _MEMBERS | {"field", "permission", "line", "column"}
    assert body["status"] == status
    assert body["type"] == f"urn:hatchpay:problem:{body['code']}"
    assert body["request_id"] == headers["hatchpay-request-id"]
    return body
