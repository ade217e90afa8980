"""OAuth requests as clients send them, and tokens taken apart by nothing but base64 and JSON."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import httpx
from tests.support.issuer import FakeIssuer
from tests.support.tenancy import Key, Tenant

__all__ = [
    "ACCESS_TOKEN",
    "EXCHANGE",
    "INTROSPECT",
    "ISSUERS",
    "JWT",
    "REVOKE",
    "TOKEN",
    "basic",
    "bearer",
    "claims_of",
    "exchange",
    "grant",
    "header_of",
    "oauth_error",
    "request_id",
    "together",
    "token_for",
    "trust",
]

TOKEN = "/v1/auth/token"
REVOKE = "/v1/auth/revoke"
INTROSPECT = "/v1/auth/introspect"
ISSUERS = "/v1/auth/issuers"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


def basic(client_id: str, secret: str, *, encoded: bool = False) -> dict[str, str]:
    """RFC 6749, section 2.3.1. `encoded` writes every character as its percent-encoding, which the RFC allows."""
    if encoded:
        client_id, secret = ("".join(f"%{ord(letter):02X}" for letter in text) for text in (client_id, secret))
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def grant(client: httpx.Client, key: Key | None = None, **form: str) -> httpx.Response:
    """`client_credentials`, with the key in X-API-Key where one is given."""
    headers = {} if key is None else key.header
    return client.post(TOKEN, data={"grant_type": "client_credentials", **form}, headers=headers)


def exchange(client: httpx.Client, subject: str, key: Key | None = None, **form: str) -> httpx.Response:
    """RFC 8693, with `subject` as an access token unless the form says otherwise."""
    wanted = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, **form}
    return client.post(TOKEN, data=wanted, headers={} if key is None else key.header)


def token_for(client: httpx.Client, key: Key, **form: str) -> str:
    answer = grant(client, key, **form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def header_of(token: str) -> dict[str, Any]:
    return _part(token, 0)


def claims_of(token: str) -> dict[str, Any]:
    return _part(token, 1)


def oauth_error(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must be as RFC 6749, section 5.2, has it."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert set(body) == {"error", "error_description"}
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    return answer.status_code, body["error"]


def request_id(answer: httpx.Response) -> str:
    return answer.headers["hatchpay-request-id"]


def together(count: int, work: Any) -> list[Any]:
    """`work(number)` so many times at once; their results, in order."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def trust(tenant: Tenant, issuer: FakeIssuer, ceiling: list[str], **fields: Any) -> dict[str, Any]:
    """What the one call of POST /v1/auth/issuers answers; the keys are found by discovery unless told otherwise."""
    wanted = {"issuer": issuer.url, "audience": issuer.audience, "ceiling": ceiling, **fields}
    answer = tenant.client.post(ISSUERS, json=wanted)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def _part(token: str, number: int) -> dict[str, Any]:
    text = token.split(".")[number]
    part: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return part
