"""A token is ended (RFC 7009), and looked at (RFC 7662)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from tests.http.oauth import (
    INTROSPECT,
    REVOKE,
    basic,
    bearer,
    claims_of,
    exchange,
    oauth_error,
    request_id,
    token_for,
    trust,
)
from tests.support.issuer import ServedIssuer, serving_issuer
from tests.support.server import Server
from tests.support.tenancy import TRANSACTIONS, Key, Tenant, problem_of

READ = "payment-proxy.transactions.read"
CREATE = "payment-proxy.transactions.create"
NONSENSE = ["x", "a.b.c", "...", "hp_", "hp_prod_x", "eyJhbGciOiJub25lIn0.e30.", "é", "a b", "x" * 20_000, "1.2.3.4.5"]


@pytest.fixture(scope="module")
def anyone(trusting: Server) -> Iterator[httpx.Client]:
    with trusting.client() as client:
        yield client


@pytest.fixture(scope="module")
def key(house: Tenant) -> Key:
    return house.make_key(house.make_role("Till that logs out", READ, CREATE))


@pytest.fixture(scope="module")
def warden(house: Tenant) -> Key:
    """May look at and revoke the tokens of other keys."""
    return house.make_key(house.make_role("Warden", "auth.tokens.read", "auth.tokens.revoke"))


@pytest.fixture(scope="module")
def issuer(house: Tenant) -> Iterator[ServedIssuer]:
    with serving_issuer(audience="https://inspect.test") as issuer:
        trust(house, issuer, [READ, CREATE], claims={"roles": "roles", "permissions": "scope"})
        yield issuer


def revoke(client: httpx.Client, token: str, key: Key, **form: str) -> httpx.Response:
    return client.post(REVOKE, data={"token": token, **form}, headers=key.header)


def inspect(client: httpx.Client, token: str, key: Key, **form: str) -> dict[str, object]:
    answer = client.post(INTROSPECT, data={"token": token, **form}, headers=key.header)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get_list("cache-control") == ["no-store"]
    body: dict[str, object] = answer.json()
    return body


def works(client: httpx.Client, token: str) -> bool:
    answer = client.get(TRANSACTIONS, headers=bearer(token))
    assert answer.status_code == 200 or problem_of(answer)["code"] == "invalid_token"
    return answer.status_code == 200


class TestRevocation:
    def test_a_client_ends_its_own_token(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        token, other = token_for(anyone, key), token_for(anyone, key)
        assert works(anyone, token)
        answer = revoke(anyone, token, key)
        assert (answer.status_code, answer.content) == (200, b"")
        refused = anyone.get(TRANSACTIONS, headers=bearer(token))
        assert problem_of(refused)["code"] == "invalid_token"
        record = house.record(request_id(refused))
        assert record is not None
        assert (record["reason"], record["claimed_key_id"]) == ("token_revoked", key.id)
        assert works(anyone, other)

    def test_the_record_tells_who_ended_which(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        token = token_for(anyone, key)
        record = house.record(request_id(revoke(anyone, token, key)))
        assert record is not None and record["key_id"] == key.id
        (change,) = record["changes"]
        assert (change["event"], change["subject_id"]) == ("auth.tokens.revoked", claims_of(token)["jti"])

    def test_to_end_it_twice_changes_nothing_more(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        token = token_for(anyone, key)
        revoke(anyone, token, key)
        again = revoke(anyone, token, key)
        assert again.status_code == 200
        record = house.record(request_id(again))
        assert record is not None and record["changes"] == []

    @pytest.mark.parametrize("hint", ["access_token", "refresh_token", "anything"])
    def test_a_hint_changes_nothing(self, anyone: httpx.Client, key: Key, hint: str) -> None:
        token = token_for(anyone, key)
        assert revoke(anyone, token, key, token_type_hint=hint).status_code == 200
        assert not works(anyone, token)

    def test_another_clients_token_needs_the_permission(
        self, anyone: httpx.Client, house: Tenant, key: Key, warden: Key
    ) -> None:
        token = token_for(anyone, key)
        stranger = house.make_key("viewer")
        answer = revoke(anyone, token, stranger)
        assert oauth_error(answer) == (400, "unauthorized_client")
        record = house.record(request_id(answer))
        assert record is not None
        assert (record["reason"], record["decision"]) == ("permission_missing", "deny")
        assert works(anyone, token)
        assert revoke(anyone, token, warden).status_code == 200
        assert not works(anyone, token)

    def test_who_is_of_chosen_units_looks_at_tokens_of_those_alone(self, anyone: httpx.Client, house: Tenant) -> None:
        unit = house.make_unit("Inspected")
        role = house.make_role("Unit warden", "auth.tokens.read")
        local = house.make_key(role, business_unit_ids=[unit])
        colleague = house.make_key(business_unit_ids=[unit])
        assert inspect(anyone, token_for(anyone, house.key), local) == {"active": False}
        assert inspect(anyone, token_for(anyone, colleague), local)["active"] is True

    def test_policies_bind_whoever_looks_at_or_ends_anothers_token(
        self, anyone: httpx.Client, house: Tenant, key: Key
    ) -> None:
        warden = house.make_key(house.make_role("Bound warden", "auth.tokens.read", "auth.tokens.revoke"))
        actions = '[Action::"auth.tokens.read", Action::"auth.tokens.revoke"]'
        text = f'forbid(principal == ApiKey::"{warden.id}", action in {actions}, resource);'
        token, own = token_for(anyone, key), token_for(anyone, warden)
        assert inspect(anyone, token, warden)["active"] is True
        assert house.client.post("/v1/policies", json={"name": "Wardens", "text": text}).status_code == 201
        assert inspect(anyone, token, warden) == {"active": False}
        assert inspect(anyone, own, warden)["active"] is True
        answer = revoke(anyone, token, warden)
        assert oauth_error(answer) == (400, "unauthorized_client")
        record = house.record(request_id(answer))
        assert record is not None
        assert (record["reason"], record["decision"]) == ("policy_forbids", "deny")
        assert works(anyone, token)
        assert revoke(anyone, own, warden).status_code == 200

    def test_another_tenants_token_is_not_touched(self, anyone: httpx.Client, neighbour: Tenant, key: Key) -> None:
        token = token_for(anyone, key)
        answer = revoke(anyone, token, neighbour.key)
        assert (answer.status_code, answer.content) == (200, b"")
        assert works(anyone, token)

    @pytest.mark.parametrize("token", NONSENSE)
    def test_what_is_no_token_needs_no_ending(self, anyone: httpx.Client, key: Key, token: str) -> None:
        assert revoke(anyone, token, key).status_code == 200

    @pytest.mark.parametrize("text", ["hp_live_x", "hp_test_", "hp_live_00ExampleKeyIdentifier"])
    def test_a_key_is_not_ended_as_a_token_is(
        self, anyone: httpx.Client, house: Tenant, key: Key, warden: Key, text: str
    ) -> None:
        for sent in (text, key.text):
            answer = revoke(anyone, sent, warden)
            assert oauth_error(answer) == (400, "unsupported_token_type")
            assert answer.json()["error_description"] == "this is an API key; disable or delete it instead"
            record = house.record(request_id(answer))
            assert record is not None
            assert (record["reason"], record["decision"]) == ("unsupported_token_type", "allow")
        assert anyone.get(TRANSACTIONS, headers=key.header).status_code == 200

    def test_nor_does_what_has_ended_or_was_never_signed(self, anyone: httpx.Client, key: Key) -> None:
        expired = token_for(anyone, key, expires_in="1")
        time.sleep(max(0.0, claims_of(expired)["exp"] - time.time()) + 0.01)
        assert revoke(anyone, expired, key).status_code == 200
        living = token_for(anyone, key)
        forged = living[:-8] + ("AAAAAAAA" if living[-8:] != "AAAAAAAA" else "BBBBBBBB")
        assert revoke(anyone, forged, key).status_code == 200
        assert works(anyone, living)

    def test_the_token_of_a_disabled_key_stays_ended_when_it_is_enabled(
        self, anyone: httpx.Client, house: Tenant, warden: Key
    ) -> None:
        key = house.make_key("viewer")
        token = token_for(anyone, key)
        house.change(key, status="disabled")
        assert revoke(anyone, token, warden).status_code == 200
        house.change(key, status="enabled")
        assert not works(anyone, token)

    def test_another_issuers_token_is_not_ours_to_end(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer, key: Key
    ) -> None:
        answer = revoke(anyone, issuer.token(), key)
        assert oauth_error(answer) == (400, "unsupported_token_type")
        record = house.record(request_id(answer))
        assert record is not None and (record["reason"], record["decision"]) == ("unsupported_token_type", "allow")


class TestIntrospection:
    def test_a_client_sees_what_its_own_token_is_good_for(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        token = token_for(anyone, key, scope=READ)
        claims = claims_of(token)
        copied = {name: claims[name] for name in ("iss", "aud", "iat", "exp", "jti")}
        assert inspect(anyone, token, key) == {
            "active": True,
            "token_type": "Bearer",
            "scope": READ,
            "sub": key.id,
            "client_id": key.id,
            "tenant": house.id,
            "roles": ["Till that logs out"],
            "permissions": [READ],
            "business_units": None,
            **copied,
        }

    def test_it_says_what_a_token_is_good_for_now(self, anyone: httpx.Client, house: Tenant) -> None:
        key = house.make_key(house.make_role("Till of the moment", READ, CREATE))
        token = token_for(anyone, key)
        house.set_roles(key, house.make_role("Half a till", READ))
        assert inspect(anyone, token, key)["scope"] == READ

    def test_another_clients_token_needs_the_permission(
        self, anyone: httpx.Client, house: Tenant, key: Key, warden: Key
    ) -> None:
        token = token_for(anyone, key)
        assert inspect(anyone, token, house.make_key("gl")) == {"active": False}
        assert inspect(anyone, token, warden)["client_id"] == key.id

    def test_another_tenants_token_is_of_no_use(self, anyone: httpx.Client, neighbour: Tenant, key: Key) -> None:
        assert inspect(anyone, token_for(anyone, key), neighbour.key) == {"active": False}

    @pytest.mark.parametrize("token", NONSENSE)
    def test_what_is_no_token_is_not_active(self, anyone: httpx.Client, warden: Key, token: str) -> None:
        assert inspect(anyone, token, warden, token_type_hint="access_token") == {"active": False}

    def test_nor_is_a_key_or_what_has_ended(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        assert inspect(anyone, key.text, key) == {"active": False}
        revoked = token_for(anyone, key)
        revoke(anyone, revoked, key)
        assert inspect(anyone, revoked, key) == {"active": False}
        expired = token_for(anyone, key, expires_in="1")
        time.sleep(max(0.0, claims_of(expired)["exp"] - time.time()) + 0.01)
        assert inspect(anyone, expired, key) == {"active": False}

    def test_another_issuers_token_is_told_as_it_is_mapped(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer, key: Key, warden: Key
    ) -> None:
        token = issuer.token(sub="ada", scope=f"{READ} access.roles.create", roles=["viewer", "nobody"], azp="portal")
        claims = claims_of(token)
        assert inspect(anyone, token, key) == {"active": False}
        seen = inspect(anyone, token, warden)
        assert seen == {
            "active": True,
            "token_type": "Bearer",
            "scope": READ,
            "sub": "ada",
            "client_id": "portal",
            "tenant": house.id,
            "roles": ["viewer"],
            "permissions": [READ],
            "business_units": None,
            **{name: claims[name] for name in ("iss", "aud", "iat", "exp")},
        }

    def test_an_exchanged_token_is_its_clients(self, anyone: httpx.Client, issuer: ServedIssuer, key: Key) -> None:
        token = exchange(anyone, issuer.token(sub="ada", scope=READ), key).json()["access_token"]
        seen = inspect(anyone, token, key)
        assert (seen["active"], seen["sub"], seen["client_id"], seen["scope"]) == (True, "ada", key.id, READ)

    def test_the_first_look_at_a_rotated_issuer_waits_for_its_keys(
        self, anyone: httpx.Client, house: Tenant, warden: Key
    ) -> None:
        with serving_issuer(audience="https://inspect.test") as issuer:
            trust(house, issuer, [READ], claims={"permissions": "scope"})
            issuer.rotate()
            assert inspect(anyone, issuer.token(scope=READ), warden)["scope"] == READ
            assert issuer.fetches == 2


@pytest.mark.parametrize("path", [REVOKE, INTROSPECT])
class TestForms:
    def test_a_client_is_needed(self, anyone: httpx.Client, key: Key, path: str) -> None:
        token = token_for(anyone, key)
        for headers in ({}, bearer(token), basic(key.id, token), {"X-API-Key": token}):
            answer = anyone.post(path, data={"token": token}, headers=headers)
            assert oauth_error(answer) == (401, "invalid_client")
        assert works(anyone, token)

    def test_every_way_of_sending_the_key_counts(self, anyone: httpx.Client, key: Key, path: str) -> None:
        form = {"token": "x", "client_id": key.id, "client_secret": key.text}
        assert anyone.post(path, data=form).status_code == 200
        for headers in (key.header, bearer(key.text), basic(key.id, key.text, encoded=True)):
            assert anyone.post(path, data={"token": "x"}, headers=headers).status_code == 200

    @pytest.mark.parametrize("body", ["", "token=", "token_type_hint=x", "token=a&token=a", "token=%zz", '{"token":1}'])
    def test_an_unclear_form_is_refused(self, anyone: httpx.Client, key: Key, path: str, body: str) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **key.header}
        answer = anyone.post(path, content=body, headers=headers)
        assert oauth_error(answer) == (400, "invalid_request")

    @pytest.mark.parametrize("body", ["", "token=", "token_type_hint=access_token"])
    def test_a_form_without_a_token_is_told_so(self, anyone: httpx.Client, key: Key, path: str, body: str) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **key.header}
        answer = anyone.post(path, content=body, headers=headers)
        assert answer.json() == {"error": "invalid_request", "error_description": "token is required"}

    def test_parameters_in_the_url_are_refused(self, anyone: httpx.Client, house: Tenant, key: Key, path: str) -> None:
        token = token_for(anyone, key)
        for query in ("token_type_hint=x", "x", "&", "x=1&x=2"):
            answer = anyone.post(f"{path}?{query}", data={"token": token}, headers=key.header)
            assert oauth_error(answer) == (400, "invalid_request")
            assert answer.json()["error_description"] == "send the parameters in the form, not in the URL"
        assert works(anyone, token)

    def test_only_a_form_is_a_form(self, anyone: httpx.Client, key: Key, path: str) -> None:
        answer = anyone.post(path, json={"token": "x"}, headers=key.header)
        assert oauth_error(answer) == (400, "invalid_request")

    def test_a_form_of_more_than_64_kib_is_refused(self, anyone: httpx.Client, key: Key, path: str) -> None:
        answer = anyone.post(path, data={"token": "x" * 65_536}, headers=key.header)
        assert oauth_error(answer) == (413, "invalid_request")
