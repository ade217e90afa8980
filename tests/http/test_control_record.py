"""What a control call refuses by itself stands in the record as the refusal that it is."""

from __future__ import annotations

from pathlib import Path

from tests.support.records import history
from tests.support.server import onboard, serving


def test_refusals_of_the_control_api_are_recorded_with_their_reason(tmp_path: Path) -> None:
    onboarded = onboard(tmp_path / "var")
    admin, admin_id = onboarded["api_key"]["key"], onboarded["api_key"]["id"]
    with serving(tmp_path / "var", None) as server, server.client(admin) as client:
        (role,) = [role for role in client.get("/roles").json()["data"] if role["name"] == "admin"]
        made = client.post("/roles", json={"name": "minter", "permissions": ["api-key.key-roles.update"]}).json()
        key = client.post("/v1/api-key/keys", json={"name": "minter"}).json()
        client.put(f"/v1/api-key/keys/{key['id']}/roles", json={"role_ids": [made["id"]]})
        own = f"/v1/api-key/keys/{key['id']}/roles"
        escalation = client.put(own, json={"role_ids": [role["id"]]}, headers={"X-API-Key": key["key"]})
        last = client.delete(f"/v1/api-key/keys/{admin_id}")
        wrong = client.post("/v1/api-key/keys", json={"name": "x", "nome": "x"})
        records = {
            answer.status_code: history(client, request_id=answer.headers["HatchPay-Request-Id"])[0]
            for answer in (escalation, last, wrong)
        }
    shown = {
        status: (record["state"], record["decision"], record["reason"], record["changes"])
        for status, record in records.items()
    }
    assert shown == {
        403: ("refused", "deny", "grant_exceeds_caller", []),
        409: ("refused", "deny", "last_administrator", []),
        422: ("refused", "allow", "unknown_field", []),
    }
