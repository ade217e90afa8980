"""What is published for those who verify our tokens: open to all, cacheable, and recorded like all else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from tests.http.oauth import header_of, request_id, token_for
from tests.support.server import Server, hatchpay
from tests.support.tenancy import Key, Operator, Tenant

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
BOTH = pytest.mark.parametrize("path", [JWKS, METADATA])


@pytest.fixture(scope="module")
def anyone(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_the_keys_are_public_ones_and_hold_the_one_that_signs(anyone: httpx.Client, tenant: Tenant) -> None:
    answer = anyone.get(JWKS)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jwk-set+json")
    keys = answer.json()["keys"]
    # RFC 8037: an OKP key has these members, and `d` only where it is private.
    assert all(key["kty"] != "OKP" or key.keys() == {"kty", "crv", "x", "kid", "alg", "use"} for key in keys)
    assert all(key["use"] == "sig" for key in keys)
    signed = header_of(token_for(anyone, tenant.make_key("viewer")))
    (key,) = [key for key in keys if key["kid"] == signed["kid"]]
    assert key["alg"] == signed["alg"]


def test_the_metadata_names_every_endpoint(anyone: httpx.Client) -> None:
    answer = anyone.get(METADATA)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    url = str(anyone.base_url).rstrip("/")
    body = answer.json()
    # RFC 8414, section 2: the first three are required.
    assert (body["issuer"], body["response_types_supported"]) == (url, [])
    assert body["token_endpoint"] == f"{url}/v1/auth/token"
    assert body["jwks_uri"] == url + JWKS
    assert body["revocation_endpoint"] == f"{url}/v1/auth/revoke"
    assert body["introspection_endpoint"] == f"{url}/v1/auth/introspect"
    assert body["grant_types_supported"] == [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    for endpoint in ("token", "revocation", "introspection"):
        methods = body[f"{endpoint}_endpoint_auth_methods_supported"]
        assert sorted(methods) == ["client_secret_basic", "client_secret_post"]


@BOTH
def test_it_may_be_kept_for_five_minutes(anyone: httpx.Client, path: str) -> None:
    assert anyone.get(path).headers.get_list("cache-control") == ["public, max-age=300"]


@BOTH
def test_what_is_unchanged_is_not_sent_again(anyone: httpx.Client, path: str) -> None:
    tag = anyone.get(path).headers["etag"]
    assert tag.startswith('"') and tag.endswith('"')
    for known in (tag, f"W/{tag}", f'"other", {tag}', f'"a",W/{tag}, "b"', "*"):
        answer = anyone.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert answer.headers["cache-control"] == "public, max-age=300"
    for unknown in ('"other"', tag.strip('"'), f'"x{tag[1:]}', ""):
        assert anyone.get(path, headers={"If-None-Match": unknown}).status_code == 200


@BOTH
def test_head_answers_as_get_does_without_the_body(anyone: httpx.Client, path: str) -> None:
    get, head = anyone.get(path), anyone.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "cache-control", "content-type", "content-length"):
        assert head.headers[name] == get.headers[name]
    assert anyone.head(path, headers={"If-None-Match": get.headers["etag"]}).status_code == 304


@BOTH
def test_a_credential_sent_along_changes_nothing(anyone: httpx.Client, tenant: Tenant, path: str) -> None:
    token = token_for(anyone, tenant.make_key("viewer"))
    plain = anyone.get(path)
    sent: list[dict[str, str]] = [
        {"X-API-Key": "hp_live_nonsense"},
        {"X-API-Key": tenant.key.text},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic x"},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer {token[:-4]}AAAA"},
    ]
    for headers in sent:
        answer = anyone.get(path, headers=headers)
        assert (answer.status_code, answer.content) == (200, plain.content)


@BOTH
def test_every_look_is_on_record(anyone: httpx.Client, operator: Operator, path: str) -> None:
    first = anyone.get(path)
    unchanged = anyone.get(path, headers={"If-None-Match": first.headers["etag"]})
    for answer, status in ((first, 200), (unchanged, 304)):
        record = operator.record(request_id(answer))
        assert record is not None
        shown = [record[name] for name in ("method", "url", "status", "decision", "reason", "state", "key_id")]
        assert shown == ["GET", path, status, "allow", "open_route", "completed", None]


@BOTH
def test_it_takes_no_parameters_and_no_other_method(anyone: httpx.Client, path: str, tenant: Tenant) -> None:
    assert anyone.get(f"{path}?x=1").status_code == 422
    for method in ("POST", "PUT", "DELETE"):
        assert anyone.request(method, path, headers=tenant.key.header).status_code == 403


def test_a_new_key_changes_the_tag_and_is_published_before_it_signs(
    server: Server, anyone: httpx.Client, tenant: Tenant
) -> None:
    key: Key = tenant.make_key("viewer")
    before = anyone.get(JWKS)
    hatchpay(server.data_dir, "signing-keys", "rotate", "--algorithm", "ES256", "--publish-for", "3600")
    time.sleep(0.25)
    after = anyone.get(JWKS, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    added = {key["kid"]: key for key in after.json()["keys"]}.keys() - {key["kid"] for key in before.json()["keys"]}
    assert len(added) == 1
    assert added.isdisjoint({header_of(token_for(anyone, key))["kid"]})
    (member,) = [key for key in after.json()["keys"] if key["kid"] in added]
    # RFC 7518, section 6.2.1
    assert member.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
