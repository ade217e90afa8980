"""Token exchange (RFC 8693): one credential for a token in its place, never with more rights or a longer life."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from tests.http.oauth import (
    ACCESS_TOKEN,
    JWT,
    REVOKE,
    TOKEN,
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
from tests.support.tenancy import TRANSACTIONS, Key, Tenant

READ = "payment-proxy.transactions.read"
CREATE = "payment-proxy.transactions.create"
MAPPING = {"roles": "roles", "permissions": "scope"}


@pytest.fixture(scope="module")
def anyone(trusting: Server) -> Iterator[httpx.Client]:
    with trusting.client() as client:
        yield client


@pytest.fixture(scope="module")
def key(house: Tenant) -> Key:
    return house.make_key(house.make_role("Exchanger", READ, CREATE))


@pytest.fixture(scope="module")
def issuer(house: Tenant) -> Iterator[ServedIssuer]:
    with serving_issuer(audience="https://exchange.test") as issuer:
        trust(house, issuer, [READ, "access.roles.read"], claims=MAPPING)
        yield issuer


@pytest.fixture(scope="module")
def foreign(neighbour: Tenant) -> Iterator[ServedIssuer]:
    """An issuer that only the neighbour trusts."""
    with serving_issuer(audience="https://exchange.test") as issuer:
        trust(neighbour, issuer, [READ], claims=MAPPING)
        yield issuer


def statuses(client: httpx.Client, *tokens: str) -> list[int]:
    return [client.get(TRANSACTIONS, headers=bearer(token)).status_code for token in tokens]


class TestOwnCredentials:
    def test_a_key_is_exchanged_by_itself(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        answer = exchange(anyone, key.text)
        assert answer.status_code == 200
        body = answer.json()
        rest = {name: value for name, value in body.items() if name != "access_token"}
        assert rest == {
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": 900,
            "scope": f"{CREATE} {READ}",
        }
        assert claims_of(body["access_token"])["sub"] == key.id
        record = house.record(request_id(answer))
        assert record is not None and record["key_id"] == key.id

    def test_a_token_narrows_and_never_lives_longer(self, anyone: httpx.Client, key: Key) -> None:
        subject = token_for(anyone, key, expires_in="60")
        narrowed = exchange(anyone, subject, scope=READ, expires_in="3600").json()
        before, after = claims_of(subject), claims_of(narrowed["access_token"])
        assert after["exp"] == before["exp"]
        assert narrowed["expires_in"] <= 60
        assert (after["sub"], after["client_id"], after["permissions"]) == (key.id, key.id, [READ])
        assert after["jti"] != before["jti"]
        again = exchange(anyone, narrowed["access_token"], scope=f"{READ} {CREATE}")
        assert oauth_error(again) == (400, "invalid_scope")

    def test_its_own_client_may_vouch_for_it(self, anyone: httpx.Client, key: Key) -> None:
        subject = token_for(anyone, key)
        assert exchange(anyone, subject, key).status_code == 200
        form = {"client_id": key.id, "client_secret": key.text}
        assert exchange(anyone, subject, **form).status_code == 200

    def test_another_client_may_not(self, anyone: httpx.Client, house: Tenant, neighbour: Tenant, key: Key) -> None:
        subject = token_for(anyone, key)
        for other in (house.make_key("admin"), neighbour.key):
            for text in (subject, key.text):
                assert oauth_error(exchange(anyone, text, other)) == (400, "invalid_request")

    def test_what_the_key_has_lost_is_not_exchanged(self, anyone: httpx.Client, house: Tenant) -> None:
        key = house.make_key(house.make_role("Soon narrower", READ, CREATE))
        subject = token_for(anyone, key)
        house.set_roles(key, "viewer")
        assert CREATE not in exchange(anyone, subject).json()["scope"].split()
        assert oauth_error(exchange(anyone, subject, scope=CREATE)) == (400, "invalid_scope")

    def test_to_revoke_a_token_ends_what_it_was_exchanged_for(self, anyone: httpx.Client, key: Key) -> None:
        first, other = token_for(anyone, key), token_for(anyone, key)
        second = exchange(anyone, first).json()["access_token"]
        third = exchange(anyone, second).json()["access_token"]
        beside = exchange(anyone, first).json()["access_token"]
        assert anyone.post(REVOKE, data={"token": second}, headers=key.header).status_code == 200
        assert statuses(anyone, first, second, third, beside, other) == [200, 401, 401, 200, 200]
        assert anyone.post(REVOKE, data={"token": first}, headers=key.header).status_code == 200
        assert statuses(anyone, first, second, third, beside, other) == [401, 401, 401, 401, 200]

    @pytest.mark.parametrize("ended", ["disabled key", "disabled key's token", "expired token", "nonsense", "a.b.c"])
    def test_what_is_no_good_is_not_exchanged(self, anyone: httpx.Client, house: Tenant, ended: str) -> None:
        key = house.make_key("viewer")
        subject = ended
        if ended != "nonsense" and ended != "a.b.c":
            life = {"expires_in": "1"} if ended == "expired token" else {}
            subject = key.text if ended == "disabled key" else token_for(anyone, key, **life)
        if ended == "expired token":
            time.sleep(max(0.0, claims_of(subject)["exp"] - time.time()) + 0.01)
        elif "disabled" in ended:
            house.change(key, status="disabled")
        reason = {
            "disabled key": "key_disabled",
            "disabled key's token": "token_key_disabled",
            "expired token": "token_expired",
            "nonsense": "credential_unknown",
            "a.b.c": "token_base64_not_canonical",
        }[ended]
        answer = exchange(anyone, subject, house.key)
        assert oauth_error(answer) == (400, "invalid_request")
        record = house.record(request_id(answer))
        assert record is not None
        assert (record["reason"], record["decision"], record["key_id"]) == (reason, "deny", house.key.id)

    def test_a_key_from_elsewhere_is_not_exchanged(self, anyone: httpx.Client, house: Tenant) -> None:
        key = house.make_key("viewer", allowed_cidrs=["192.0.2.0/24"])
        answer = exchange(anyone, key.text)
        assert oauth_error(answer) == (400, "invalid_request")
        record = house.record(request_id(answer))
        assert record is not None and (record["reason"], record["key_id"]) == ("network_not_allowed", key.id)


class TestAnotherIssuersToken:
    def test_with_a_client_it_becomes_a_token_of_both(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer, key: Key
    ) -> None:
        subject = issuer.token(sub="ada", scope=f"{READ} access.roles.read {CREATE}")
        answer = exchange(anyone, subject, key, subject_token_type=JWT)
        assert answer.status_code == 200, answer.text
        claims = claims_of(answer.json()["access_token"])
        assert (claims["sub"], claims["client_id"], claims["tenant"]) == ("ada", key.id, house.id)
        # The ceiling keeps CREATE from the user, and the key does not hold access.roles.read.
        assert (claims["permissions"], claims["scope"]) == ([READ], READ)
        used = anyone.get(TRANSACTIONS, headers=bearer(answer.json()["access_token"]))
        assert used.status_code == 200
        record = house.record(request_id(used))
        assert record is not None
        assert (record["principal_id"], record["key_id"]) == ("user:ada", key.id)
        assert record["token_id"] == claims["jti"]
        issued = house.record(request_id(answer))
        assert issued is not None
        assert (issued["principal_id"], issued["key_id"]) == ("user:ada", key.id)

    def test_its_life_is_no_longer_than_the_subjects(
        self, anyone: httpx.Client, issuer: ServedIssuer, key: Key
    ) -> None:
        subject = issuer.token(exp=int(time.time()) + 60)
        answer = exchange(anyone, subject, key, expires_in="43200").json()
        assert claims_of(answer["access_token"])["exp"] == claims_of(subject)["exp"]

    def test_every_way_of_sending_the_client_counts(self, anyone: httpx.Client, issuer: ServedIssuer, key: Key) -> None:
        form = {"subject_token": issuer.token(), "subject_token_type": JWT}
        grant_type = "urn:ietf:params:oauth:grant-type:token-exchange"
        answer = anyone.post(TOKEN, data={"grant_type": grant_type, **form}, headers=basic(key.id, key.text))
        assert answer.status_code == 200

    def test_without_a_client_it_stays_what_it_is(self, anyone: httpx.Client, issuer: ServedIssuer) -> None:
        assert oauth_error(exchange(anyone, issuer.token())) == (401, "invalid_client")

    def test_it_ends_with_the_client_and_with_the_issuer(self, anyone: httpx.Client, house: Tenant) -> None:
        key = house.make_key("viewer")
        with serving_issuer(audience="https://exchange.test") as issuer:
            trusted = trust(house, issuer, [READ], claims=MAPPING)
            other = house.make_key("viewer")
            tokens = [exchange(anyone, issuer.token(scope=READ), one).json()["access_token"] for one in (key, other)]
            assert statuses(anyone, *tokens) == [200, 200]
            house.change(key, status="disabled")
            assert statuses(anyone, *tokens) == [401, 200]
            assert house.client.delete(f"/v1/auth/issuers/{trusted['id']}").status_code == 204
            assert statuses(anyone, *tokens) == [401, 401]

    def test_another_tenants_user_is_nobodys_subject_here(
        self, anyone: httpx.Client, house: Tenant, neighbour: Tenant, foreign: ServedIssuer, key: Key
    ) -> None:
        answer = exchange(anyone, foreign.token(scope=READ), key)
        assert oauth_error(answer) == (400, "invalid_request")
        record = house.record(request_id(answer))
        assert record is not None and (record["decision"], record["key_id"]) == ("deny", key.id)
        assert neighbour.record(request_id(answer)) is None

    def test_nobody_trusts_a_stranger(self, anyone: httpx.Client, key: Key) -> None:
        with serving_issuer(audience="https://exchange.test") as stranger:
            assert oauth_error(exchange(anyone, stranger.token(), key)) == (400, "invalid_request")
            assert stranger.asked == []


class TestForms:
    def test_both_subject_parameters_are_required(self, anyone: httpx.Client, key: Key) -> None:
        for missing in ("subject_token", "subject_token_type"):
            assert oauth_error(exchange(anyone, key.text, **{missing: ""})) == (400, "invalid_request")

    @pytest.mark.parametrize(
        "field",
        [
            {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            {"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"},
            {"subject_token_type": "jwt"},
            {"requested_token_type": "urn:ietf:params:oauth:token-type:id_token"},
            {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            {"actor_token": "x"},
            {"actor_token": "x", "actor_token_type": ACCESS_TOKEN},
            {"expires_in": "43201"},
        ],
    )
    def test_what_is_not_supported_is_refused(self, anyone: httpx.Client, key: Key, field: dict[str, str]) -> None:
        assert oauth_error(exchange(anyone, key.text, **field)) == (400, "invalid_request")

    @pytest.mark.parametrize("name", ["subject_token_type", "requested_token_type"])
    def test_a_wrong_type_is_answered_with_the_right_ones(self, anyone: httpx.Client, key: Key, name: str) -> None:
        answer = exchange(anyone, key.text, **{name: "made-up"})
        assert answer.json()["error_description"] == (
            f"{name} is urn:ietf:params:oauth:token-type:access_token or urn:ietf:params:oauth:token-type:jwt"
        )

    def test_a_target_elsewhere_is_refused(self, anyone: httpx.Client, key: Key) -> None:
        answer = exchange(anyone, key.text, resource="https://elsewhere.test/")
        assert oauth_error(answer) == (400, "invalid_target")

    @pytest.mark.parametrize("wanted", [ACCESS_TOKEN, JWT])
    def test_the_type_that_was_asked_for_is_named(self, anyone: httpx.Client, key: Key, wanted: str) -> None:
        answer = exchange(anyone, key.text, requested_token_type=wanted)
        assert answer.json()["issued_token_type"] == wanted

    def test_a_bad_client_is_refused_beside_a_good_subject(self, anyone: httpx.Client, house: Tenant, key: Key) -> None:
        other = house.make_key("viewer")
        house.change(other, status="disabled")
        answer = exchange(anyone, key.text, other)
        assert oauth_error(answer) == (401, "invalid_client")
