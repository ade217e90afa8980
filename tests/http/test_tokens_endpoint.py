"""A key becomes a token (RFC 6749, section 4.4; RFC 9068), or is refused as OAuth says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest
from tests.http.oauth import (
    INTROSPECT,
    REVOKE,
    TOKEN,
    basic,
    bearer,
    claims_of,
    grant,
    header_of,
    oauth_error,
    request_id,
    token_for,
)
from tests.support.raw import exchange as raw_exchange
from tests.support.raw import request as raw_request
from tests.support.server import Server
from tests.support.tenancy import TRANSACTIONS, Key, Operator, Tenant, problem_of

from hatchpay.control.app import create_control_app
from hatchpay.control.services import Services
from hatchpay.ids import new_id
from hatchpay.tokens import apikey

FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}
READ = "payment-proxy.transactions.read"
CREATE = "payment-proxy.transactions.create"


@pytest.fixture(scope="module")
def anyone(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def key(tenant: Tenant) -> Key:
    """May read and create transactions."""
    return tenant.make_key(tenant.make_role("Till of tokens", CREATE, READ))


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    paths: dict[str, Any] = create_control_app(cast(Services, None)).openapi()["paths"]
    return paths


def post(client: httpx.Client, body: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return client.post(TOKEN, content=body, headers={"Content-Type": FORM, **(headers or {})})


def with_another_secret(key: Key) -> str:
    return apikey.issue(key.id, "live").text


class TestWhatIsIssued:
    def test_a_token_says_who_and_what_and_for_how_long(self, anyone: httpx.Client, tenant: Tenant, key: Key) -> None:
        before = int(time.time())
        answer = grant(anyone, key)
        after = int(time.time())
        assert answer.status_code == 200
        body = answer.json()
        claims = claims_of(body["access_token"])
        issued = claims["iat"]
        assert before <= issued <= after
        assert header_of(body["access_token"]).keys() == {"typ", "alg", "kid"}
        assert header_of(body["access_token"])["typ"] == "at+jwt"
        url = str(anyone.base_url).rstrip("/")
        expected = {
            "iss": url,
            "aud": url,
            "sub": key.id,
            "client_id": key.id,
            "exp": issued + 900,
            "iat": issued,
            "jti": request_id(answer),
            "tenant": tenant.id,
            "business_units": None,
            "roles": ["Till of tokens"],
            "permissions": [CREATE, READ],
            "scope": f"{CREATE} {READ}",
        }
        assert {name: claims[name] for name in expected} == expected
        rest = {name: value for name, value in body.items() if name != "access_token"}
        assert rest == {"token_type": "Bearer", "expires_in": 900, "scope": f"{CREATE} {READ}"}

    def test_it_opens_what_its_key_opens(self, anyone: httpx.Client, tenant: Tenant, key: Key) -> None:
        token = token_for(anyone, key)
        answer = anyone.get(TRANSACTIONS, headers=bearer(token))
        assert answer.status_code == 200
        assert problem_of(anyone.get("/roles", headers=bearer(token)))["permission"] == "access.roles.read"
        record = tenant.record(request_id(answer))
        assert record is not None
        assert (record["principal_id"], record["key_id"]) == (key.id, key.id)
        assert (record["token_id"], record["issuer_id"]) == (claims_of(token)["jti"], None)

    def test_a_key_of_chosen_units_has_tokens_of_these_units(self, anyone: httpx.Client, tenant: Tenant) -> None:
        units = sorted([tenant.make_unit("Bern of tokens"), tenant.make_unit("Chur of tokens")])
        token = token_for(anyone, tenant.make_key("gl", business_unit_ids=units))
        assert claims_of(token)["business_units"] == units

    def test_it_may_neither_be_kept_nor_guessed(self, anyone: httpx.Client, key: Key) -> None:
        headers = grant(anyone, key).headers
        assert headers["content-type"] == "application/json"
        assert headers.get_list("cache-control") == ["no-store"]
        assert headers["pragma"] == "no-cache"
        assert headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("seconds", [1, 60, 43_200])
    def test_it_lives_as_long_as_is_asked_for(self, anyone: httpx.Client, key: Key, seconds: int) -> None:
        answer = grant(anyone, key, expires_in=str(seconds)).json()
        claims = claims_of(answer["access_token"])
        assert answer["expires_in"] == claims["exp"] - claims["iat"] == seconds

    @pytest.mark.parametrize("seconds", ["0", "43201", "999999", "9999999", "-1", "+60", "60.0", "1e3", "soon", "٦٠"])
    def test_but_no_longer_than_twelve_hours(self, anyone: httpx.Client, key: Key, seconds: str) -> None:
        assert oauth_error(grant(anyone, key, expires_in=seconds)) == (400, "invalid_request")

    def test_it_does_not_outlive_its_key(self, anyone: httpx.Client, tenant: Tenant) -> None:
        ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=100)
        key = tenant.make_key("viewer", expires_at=ends.isoformat().replace("+00:00", "Z"))
        answer = grant(anyone, key).json()
        assert claims_of(answer["access_token"])["exp"] == int(ends.timestamp())
        assert 90 <= answer["expires_in"] <= 100

    def test_it_ends_when_it_says(self, anyone: httpx.Client, tenant: Tenant, key: Key) -> None:
        token = token_for(anyone, key, expires_in="1")
        time.sleep(max(0.0, claims_of(token)["exp"] - time.time()) + 0.01)
        answer = anyone.get(TRANSACTIONS, headers=bearer(token))
        assert problem_of(answer)["code"] == "invalid_token"
        record = tenant.record(request_id(answer))
        assert record is not None and record["reason"] == "token_expired"


class TestScope:
    def test_it_narrows(self, anyone: httpx.Client, key: Key) -> None:
        answer = grant(anyone, key, scope=READ).json()
        claims = claims_of(answer["access_token"])
        assert (answer["scope"], claims["scope"], claims["permissions"]) == (READ, READ, [READ])
        refused = anyone.post(TRANSACTIONS, headers=bearer(answer["access_token"]), json={})
        assert (refused.status_code, problem_of(refused)["permission"]) == (403, CREATE)
        assert anyone.get(TRANSACTIONS, headers=bearer(answer["access_token"])).status_code == 200

    @pytest.mark.parametrize("scope", [f"{READ} {CREATE}", f" {CREATE}  {READ} {READ} "])
    def test_its_order_and_its_spaces_mean_nothing(self, anyone: httpx.Client, key: Key, scope: str) -> None:
        assert grant(anyone, key, scope=scope).json()["scope"] == f"{CREATE} {READ}"

    @pytest.mark.parametrize(
        "scope", ["access.roles.create", f"{READ} platform.tenants.create", "*", "payment-proxy.*", READ.upper()]
    )
    def test_it_never_widens(self, anyone: httpx.Client, key: Key, tenant: Tenant, scope: str) -> None:
        answer = grant(anyone, key, scope=scope)
        assert oauth_error(answer) == (400, "invalid_scope")
        record = tenant.record(request_id(answer))
        assert record is not None
        assert (record["reason"], record["decision"], record["key_id"]) == ("invalid_scope", "deny", key.id)

    @pytest.mark.parametrize("name", ["resource", "audience"])
    def test_tokens_are_for_this_server_alone(self, anyone: httpx.Client, key: Key, name: str) -> None:
        assert grant(anyone, key, **{name: str(anyone.base_url).rstrip("/")}).status_code == 200
        assert oauth_error(grant(anyone, key, **{name: "https://elsewhere.test"})) == (400, "invalid_target")


class TestWaysToSendTheKey:
    def test_every_way_that_clients_know_proves_it(self, anyone: httpx.Client, key: Key) -> None:
        form = {"client_id": key.id, "client_secret": key.text}
        answers = [
            anyone.post(TOKEN, data=GRANT, headers=key.header),
            anyone.post(TOKEN, data=GRANT, headers=basic(key.id, key.text)),
            anyone.post(TOKEN, data=GRANT, headers=basic(key.id, key.text, encoded=True)),
            anyone.post(TOKEN, data={**GRANT, "client_id": key.id}, headers=basic(key.id, key.text)),
            anyone.post(TOKEN, data={**GRANT, **form}),
            anyone.post(TOKEN, data=GRANT, headers=bearer(key.text)),
            anyone.post(TOKEN, data={**GRANT, "client_id": key.id}, headers=key.header),
        ]
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert {claims_of(answer.json()["access_token"])["sub"] for answer in answers} == {key.id}

    @pytest.mark.parametrize("way", ["basic", "form", "basic beside the form", "header", "bearer"])
    def test_the_client_id_must_be_the_keys(self, anyone: httpx.Client, tenant: Tenant, key: Key, way: str) -> None:
        other = tenant.make_key("viewer").id
        named = {**GRANT, "client_id": other}
        answer = {
            "basic": lambda: anyone.post(TOKEN, data=GRANT, headers=basic(other, key.text)),
            "form": lambda: anyone.post(TOKEN, data={**named, "client_secret": key.text}),
            "basic beside the form": lambda: anyone.post(TOKEN, data=named, headers=basic(key.id, key.text)),
            "header": lambda: anyone.post(TOKEN, data=named, headers=key.header),
            "bearer": lambda: anyone.post(TOKEN, data=named, headers=bearer(key.text)),
        }[way]()
        assert oauth_error(answer) == (401, "invalid_client")

    def test_without_a_key_there_is_no_token(self, anyone: httpx.Client, operator: Operator) -> None:
        for form in (GRANT, {**GRANT, "client_id": new_id()}, {**GRANT, "client_secret": ""}):
            answer = anyone.post(TOKEN, data=form)
            assert oauth_error(answer) == (401, "invalid_client")
            assert answer.json()["error_description"] == (
                "authenticate the client: "
                "an API key's id and text by HTTP Basic or in the form, or the key in X-API-Key"
            )
            assert answer.headers["www-authenticate"].startswith("Basic ")
            record = operator.record(request_id(answer))
            assert record is not None
            assert (record["reason"], record["decision"], record["state"]) == ("credential_missing", "deny", "refused")

    @pytest.mark.parametrize(
        "header", ["Basic", "Basic ", "Basic !!!!", "Basic bm9jb2xvbg==", "Basic /w==", "Digest x", "Basic OnB3 OnB3"]
    )
    def test_a_header_of_no_form_proves_nobody(self, server: Server, header: str) -> None:
        headers = [("Authorization", header), ("Content-Type", FORM)]
        data = raw_request(TOKEN, "POST", headers, b"grant_type=client_credentials")
        answer = raw_exchange(server.port, data, "POST")
        assert (answer.status, answer.json()["error"]) == (401, "invalid_client")

    def test_a_wrong_secret_looks_like_an_unknown_key(self, anyone: httpx.Client, tenant: Tenant, key: Key) -> None:
        wrong, made_up = with_another_secret(key), apikey.issue(new_id(), "live")
        answers = [
            anyone.post(TOKEN, data=GRANT, headers=basic(key.id, wrong)),
            anyone.post(TOKEN, data=GRANT, headers=basic(made_up.id, made_up.text)),
        ]
        assert [oauth_error(answer) for answer in answers] == [(401, "invalid_client")] * 2
        assert answers[0].json() == answers[1].json()
        record = tenant.record(request_id(answers[0]))
        assert record is not None
        assert (record["reason"], record["claimed_key_id"], record["key_id"]) == ("key_secret_wrong", key.id, None)

    def test_a_token_is_no_client_so_none_renews_itself(self, anyone: httpx.Client, key: Key) -> None:
        token = token_for(anyone, key)
        answers = [
            anyone.post(TOKEN, data=GRANT, headers=bearer(token)),
            anyone.post(TOKEN, data=GRANT, headers={"X-API-Key": token}),
            anyone.post(TOKEN, data=GRANT, headers=basic(key.id, token)),
            anyone.post(TOKEN, data={**GRANT, "client_id": key.id, "client_secret": token}),
        ]
        assert [oauth_error(answer) for answer in answers] == [(401, "invalid_client")] * 4
        told = {answer.json()["error_description"] for answer in answers}
        assert told == {"a token is no client credential; send an API key"}


class TestKeysThatAreNoGood:
    def refused(self, tenant: Tenant, answer: httpx.Response) -> tuple[Any, ...]:
        assert oauth_error(answer) == (401, "invalid_client")
        record = tenant.record(request_id(answer))
        assert record is not None and record["decision"] == "deny"
        return record["reason"], record["claimed_key_id"] or record["key_id"]

    def test_a_disabled_one(self, anyone: httpx.Client, tenant: Tenant) -> None:
        key = tenant.make_key("viewer")
        tenant.change(key, status="disabled")
        for headers in (key.header, basic(key.id, key.text)):
            answer = anyone.post(TOKEN, data=GRANT, headers=headers)
            assert self.refused(tenant, answer) == ("key_disabled", key.id)

    def test_an_expired_one(self, anyone: httpx.Client, tenant: Tenant) -> None:
        ends = datetime.now(UTC) + timedelta(seconds=0.3)
        key = tenant.make_key("viewer", expires_at=ends.isoformat().replace("+00:00", "Z"))
        time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.01)
        answer = anyone.post(TOKEN, data=GRANT, headers=basic(key.id, key.text))
        assert self.refused(tenant, answer) == ("key_expired", key.id)

    def test_a_deleted_one(self, anyone: httpx.Client, tenant: Tenant) -> None:
        key = tenant.make_key("viewer")
        tenant.delete(key)
        answer = anyone.post(TOKEN, data={**GRANT, "client_secret": key.text})
        assert self.refused(tenant, answer) == ("key_deleted", key.id)

    @pytest.mark.parametrize("way", ["basic", "form"])
    def test_one_that_calls_from_elsewhere(self, anyone: httpx.Client, tenant: Tenant, way: str) -> None:
        key = tenant.make_key("viewer", allowed_cidrs=["192.0.2.0/24"])
        form = {**GRANT, "client_id": key.id, "client_secret": key.text} if way == "form" else GRANT
        answer = anyone.post(TOKEN, data=form, headers={} if way == "form" else basic(key.id, key.text))
        assert self.refused(tenant, answer) == ("network_not_allowed", key.id)

    @pytest.mark.parametrize("way", ["header", "bearer"])
    def test_the_gate_itself_turns_one_from_elsewhere_away(
        self, anyone: httpx.Client, tenant: Tenant, way: str
    ) -> None:
        key = tenant.make_key("viewer", allowed_cidrs=["192.0.2.0/24"])
        answer = anyone.post(TOKEN, data=GRANT, headers=key.header if way == "header" else bearer(key.text))
        assert problem_of(answer)["code"] == "network_not_allowed"
        record = tenant.record(request_id(answer))
        assert record is not None and (record["decision"], record["key_id"]) == ("deny", key.id)


class TestDocumentedRefusals:
    """The answers in the OpenAPI document are those that are given."""

    def shown(self, documented: dict[str, Any], path: str, answer: httpx.Response) -> Any:
        response = documented[path]["post"]["responses"][str(answer.status_code)]
        return response["content"]["application/json"]["example"]

    def test_one_that_is_wrong(self, anyone: httpx.Client, key: Key, documented: dict[str, Any]) -> None:
        for path, form in {
            TOKEN: {**GRANT, "scope": "access.roles.create"},
            REVOKE: {"token": key.text},
            INTROSPECT: {"token": ""},
        }.items():
            answer = anyone.post(path, data=form, headers=key.header)
            assert (answer.status_code, answer.json()) == (400, self.shown(documented, path, answer))

    def test_one_by_nobody_and_one_too_large(self, anyone: httpx.Client, key: Key, documented: dict[str, Any]) -> None:
        for path in (TOKEN, REVOKE, INTROSPECT):
            answer = anyone.post(path, data=GRANT, headers=basic(key.id, with_another_secret(key)))
            assert (answer.status_code, answer.json()) == (401, self.shown(documented, path, answer))
            answer = anyone.post(path, data={"token": "x" * 65_536}, headers=key.header)
            assert (answer.status_code, answer.json()) == (413, self.shown(documented, path, answer))


class TestForms:
    def test_an_unknown_grant_is_not_supported(self, anyone: httpx.Client, key: Key) -> None:
        for name in ("password", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS", "x"):
            answer = grant(anyone, key, grant_type=name)
            assert oauth_error(answer) == (400, "unsupported_grant_type")
            assert answer.json()["error_description"] == (
                "use client_credentials or urn:ietf:params:oauth:grant-type:token-exchange"
            )

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "grant_type=",
            "scope=x",
            "grant_type",
            "grant_type=client_credentials&grant_type=client_credentials",
            "grant_type=client_credentials&scope=a&scope=b",
            "grant_type=client_credentials&scope=&scope=",
            "grant_type=client_credentials&",
            "&grant_type=client_credentials",
            "grant_type=client_credentials&scope=%zz",
            "grant_type=client_credentials&scope=%",
            "grant_type=client_credentials&scope=%4",
            "grant_type=client_credentials&scope=%ff",
            "grant_type=client_credentials&scope=%00",
            "grant_type=client_credentials&scope=a%0ab",
            "grant_type=client_credentials&scope=é",
            "&".join(["grant_type=client_credentials", *(f"x{number}=1" for number in range(60))]),
            '{"grant_type": "client_credentials"}',
        ],
    )
    def test_an_unclear_form_is_refused(self, anyone: httpx.Client, key: Key, body: str) -> None:
        answer = post(anyone, body, key.header)
        assert oauth_error(answer) == (400, "invalid_request")

    @pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/plain", ""])
    def test_only_a_form_is_a_form(self, anyone: httpx.Client, key: Key, kind: str) -> None:
        answer = post(anyone, "grant_type=client_credentials", {"Content-Type": kind, **key.header})
        assert oauth_error(answer) == (400, "invalid_request")

    def test_a_charset_does_no_harm(self, anyone: httpx.Client, key: Key) -> None:
        answer = post(anyone, "grant_type=client_credentials", {"Content-Type": f"{FORM};charset=UTF-8", **key.header})
        assert answer.status_code == 200

    def test_a_form_of_more_than_64_kib_is_refused(self, anyone: httpx.Client, key: Key) -> None:
        start = "grant_type=client_credentials&padding="
        assert post(anyone, start + "x" * (65_536 - len(start)), key.header).status_code == 200
        answer = post(anyone, start + "x" * (65_537 - len(start)), key.header)
        assert oauth_error(answer) == (413, "invalid_request")

    def test_two_credentials_are_refused(self, anyone: httpx.Client, tenant: Tenant, key: Key) -> None:
        secret = {"client_id": key.id, "client_secret": key.text}
        for headers in (basic(key.id, key.text), key.header, bearer(key.text)):
            answer = anyone.post(TOKEN, data={**GRANT, **secret}, headers=headers)
            assert oauth_error(answer) == (400, "invalid_request")
        answer = anyone.post(TOKEN, data=GRANT, headers={**key.header, **basic(key.id, key.text)})
        assert problem_of(answer)["code"] == "multiple_credentials"
        assert answer.status_code == 400

    def test_a_credential_in_the_query_is_refused(self, anyone: httpx.Client, key: Key) -> None:
        answer = anyone.post(f"{TOKEN}?client_secret={key.text}", data=GRANT)
        assert (answer.status_code, problem_of(answer)["code"]) == (400, "credential_in_query")

    @pytest.mark.parametrize("query", ["scope=x", "grant_type=client_credentials", "x", "&", "a=1&a=2", "x=%zz"])
    def test_parameters_in_the_url_are_refused(
        self, anyone: httpx.Client, tenant: Tenant, key: Key, query: str
    ) -> None:
        answer = anyone.post(f"{TOKEN}?{query}", data=GRANT, headers=key.header)
        assert oauth_error(answer) == (400, "invalid_request")
        assert answer.json()["error_description"] == "send the parameters in the form, not in the URL"
        assert answer.headers["cache-control"] == "no-store"

    def test_a_url_that_ends_with_a_question_mark_has_none(self, anyone: httpx.Client, key: Key) -> None:
        assert anyone.post(f"{TOKEN}?", data=GRANT, headers=key.header).status_code == 200

    @pytest.mark.parametrize("path", [TOKEN, "/v1/auth/revoke", "/v1/auth/introspect"])
    def test_it_is_asked_by_post_alone(self, anyone: httpx.Client, key: Key, path: str) -> None:
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            assert anyone.request(method, path, headers=key.header).status_code == 403
