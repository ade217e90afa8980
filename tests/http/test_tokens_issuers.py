"""Users of other issuers, by their tokens: whom they are taken for, what they may, and when keys are fetched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.http.oauth import ISSUERS, bearer, request_id, together, trust
from tests.support.issuer import ServedIssuer, serving_issuer
from tests.support.server import Server
from tests.support.tenancy import TRANSACTIONS, Tenant, problem_of

READ = "payment-proxy.transactions.read"
CREATE = "payment-proxy.transactions.create"
SCOPE = {"permissions": "scope"}
AUDIENCE = "https://users.test"


@pytest.fixture(scope="module")
def anyone(trusting: Server) -> Iterator[httpx.Client]:
    with trusting.client() as client:
        yield client


@pytest.fixture
def issuer() -> Iterator[ServedIssuer]:
    """One of its own for every test that counts what is asked of it."""
    with serving_issuer(audience=AUDIENCE) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def shared() -> Iterator[ServedIssuer]:
    with serving_issuer(audience=AUDIENCE) as issuer:
        yield issuer


@pytest.fixture
def mapped(house: Tenant, shared: ServedIssuer) -> Iterator[Any]:
    """Trusts the shared issuer under a mapping, for the length of a test."""
    made: list[str] = []

    def trust_it(ceiling: list[str], **claims: str) -> str:
        made.append(trust(house, shared, ceiling, claims=claims)["id"])
        return made[-1]

    yield trust_it
    for issuer_id in made:
        house.client.delete(f"{ISSUERS}/{issuer_id}")


def use(client: httpx.Client, token: str) -> httpx.Response:
    return client.get(TRANSACTIONS, headers=bearer(token))


def reason_of(tenant: Tenant, answer: httpx.Response) -> str:
    record = tenant.record(request_id(answer))
    assert record is not None
    return str(record["reason"])


class TestFetching:
    def test_keys_are_fetched_once_when_trust_begins(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer
    ) -> None:
        made = trust(house, issuer, [READ], claims=SCOPE)
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
        assert made["keys"] == [{"kid": "EdDSA-1", "algorithms": ["EdDSA"], "problem": None}]
        answers = [use(anyone, issuer.token(scope=READ, n=number)) for number in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert issuer.fetches == 1

    def test_an_unknown_kid_is_asked_for_once_a_minute_however_many_tokens_have_one(
        self, trusting: Server, house: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ], claims=SCOPE)

        def send(number: int) -> httpx.Response:
            with trusting.client() as client:
                return use(client, issuer.token(header={"kid": f"unknown-{number}"}, scope=READ))

        answers = together(50, send)
        assert {problem_of(answer)["code"] for answer in answers} == {"invalid_token"}
        assert {reason_of(house, answer) for answer in answers} == {"token_kid_unknown"}
        assert issuer.fetches == 2
        assert {send(number).status_code for number in range(10)} == {401}
        assert issuer.fetches == 2

    def test_a_rotated_key_works_at_its_first_request_which_waits_for_it(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ], claims=SCOPE, jwks_url=issuer.jwks_url)
        old = issuer.token(scope=READ)
        issuer.rotate()
        issuer.arrived.clear()
        issuer.gate.clear()
        found: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: found.append(use(anyone, issuer.token(scope=READ))))
        waiting.start()
        assert issuer.arrived.wait(10)
        # Nobody else waits for a slow issuer.
        assert house.client.get("/roles").status_code == 200
        assert found == []
        issuer.gate.set()
        waiting.join()
        assert found[0].status_code == 200
        assert issuer.fetches == 2
        # What it publishes no more counts no more.
        assert reason_of(house, use(anyone, old)) == "token_kid_unknown"

    def test_many_first_requests_after_a_rotation_share_one_fetch(
        self, trusting: Server, house: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ], claims=SCOPE)
        issuer.rotate()

        def send(number: int) -> int:
            with trusting.client() as client:
                return use(client, issuer.token(scope=READ, n=number)).status_code

        assert set(together(20, send)) == {200}
        assert issuer.fetches == 2

    @pytest.mark.parametrize(
        ("failure", "code"),
        [
            ({"status": 500}, "fetch_status"),
            ({"body": b"<html>"}, "jwks_invalid"),
            ({"body": b'{"keys": [], "keys": []}'}, "jwks_invalid"),
            ({"body": b" " * (512 * 1024 + 1)}, "fetch_too_large"),
        ],
    )
    def test_a_failing_issuer_keeps_its_last_good_keys(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer, failure: dict[str, Any], code: str
    ) -> None:
        made = trust(house, issuer, [READ], jwks_url=issuer.jwks_url, claims=SCOPE)
        for name, value in failure.items():
            setattr(issuer, name, value)
        unknown = use(anyone, issuer.token(header={"kid": "other"}, scope=READ))
        assert (unknown.status_code, issuer.fetches) == (401, 2)
        assert use(anyone, issuer.token(scope=READ)).status_code == 200
        seen = house.get(f"{ISSUERS}/{made['id']}")
        assert (seen["keys_failure"], seen["keys"], seen["keys_fetched_at"]) == (
            code,
            made["keys"],
            made["keys_fetched_at"],
        )

    def test_an_issuer_that_is_not_trusted_is_never_asked(self, anyone: httpx.Client, issuer: ServedIssuer) -> None:
        assert use(anyone, issuer.token(scope=READ)).status_code == 401
        assert issuer.asked == []

    def test_nor_is_one_for_a_token_that_is_for_another_audience_or_has_no_form(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ])
        for token in (
            issuer.token(header={"kid": "x"}, aud="https://else.test"),
            issuer.token(header={"kid": "x", "crit": ["y"]}),
            issuer.token(header={"kid": "x", "typ": "id+jwt"}),
            issuer.token(header={"kid": "x"})[:-1] + "!",
        ):
            assert use(anyone, token).status_code == 401
        assert issuer.fetches == 1


class TestMapping:
    def test_the_record_says_who_by_whose_word(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any
    ) -> None:
        issuer_id = mapped([READ], **SCOPE)
        answer = use(anyone, shared.token(sub="ada", jti="token-7", scope=READ))
        assert answer.status_code == 200
        record = house.record(request_id(answer))
        assert record is not None
        shown = [record[name] for name in ("principal_id", "issuer_id", "token_id", "key_id", "roles", "decision")]
        assert shown == ["user:ada", issuer_id, "token-7", None, [], "allow"]

    @pytest.mark.parametrize("claim", [f"{READ} {CREATE}", [READ, CREATE], f"  {READ}", [READ, "unknown.to.us"]])
    def test_permissions_are_a_list_or_a_text(
        self, anyone: httpx.Client, shared: ServedIssuer, mapped: Any, claim: object
    ) -> None:
        mapped([READ], permissions="permissions")
        assert use(anyone, shared.token(permissions=claim)).status_code == 200

    @pytest.mark.parametrize("claim", [1, {"a": 1}, [1], [[READ]], True])
    def test_a_claim_of_another_kind_refuses_the_token(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any, claim: object
    ) -> None:
        mapped([READ], permissions="permissions")
        assert reason_of(house, use(anyone, shared.token(permissions=claim))) == "token_claim_invalid"

    def test_roles_are_the_tenants_by_their_names(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any
    ) -> None:
        mapped([READ, CREATE], roles="/realm_access/roles")
        answer = use(anyone, shared.token(realm_access={"roles": ["viewer", "nobody-knows-it"]}))
        assert answer.status_code == 200
        record = house.record(request_id(answer))
        assert record is not None and (record["roles"], record["rule"]) == (["viewer"], "role:viewer")
        for claims in ({}, {"realm_access": {}}, {"realm_access": []}, {"roles": ["viewer"]}):
            refused = use(anyone, shared.token(**claims))
            assert problem_of(refused)["permission"] == READ

    def test_pointers_reach_any_name(self, anyone: httpx.Client, shared: ServedIssuer, mapped: Any) -> None:
        # RFC 6901, section 3: ~1 stands for a slash, ~0 for a tilde.
        mapped([READ], permissions="/https:~1~1app.test~1claims/a~0b")
        assert use(anyone, shared.token(**{"https://app.test/claims": {"a~b": READ}})).status_code == 200

    @pytest.mark.parametrize("user", [None, "", 7, ["ada"], "a" * 256, "a\nb"])
    def test_a_token_must_say_whose_it_is(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any, user: object
    ) -> None:
        mapped([READ], user_id="/user/email", permissions="scope")
        good = use(anyone, shared.token(user={"email": "ada@id.test"}, scope=READ))
        record = house.record(request_id(good))
        assert record is not None and record["principal_id"] == "user:ada@id.test"
        bad = use(anyone, shared.token(user={"email": user}, scope=READ))
        assert (bad.status_code, reason_of(house, bad)) == (401, "token_user_missing")

    def test_business_units_bound_the_user(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any
    ) -> None:
        mapped([READ, CREATE], permissions="scope", business_units="units")
        units = [house.make_unit("East of users"), house.make_unit("West of users")]
        token = shared.token(scope=f"{READ} {CREATE}", units=units[:1])
        mine, theirs = (
            anyone.post(TRANSACTIONS, headers=bearer(token), json={"business_unit_id": unit}) for unit in units
        )
        assert mine.status_code == 422
        assert problem_of(theirs)["code"] == "business_unit_not_allowed"
        for claim in (None, [], ["no-uuid"], f"{units[0]} {units[1]}"):
            answer = use(anyone, shared.token(scope=READ, units=claim))
            assert (answer.status_code, reason_of(house, answer)) == (401, "token_business_units_missing")

    def test_the_ceiling_bounds_everything(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any
    ) -> None:
        mapped(["access.roles.read"], permissions="scope", roles="roles")
        token = shared.token(scope=f"{READ} access.roles.create *", roles=["admin", "gl", "viewer"])
        assert anyone.get("/roles", headers=bearer(token)).status_code == 200
        for method, path in (("GET", TRANSACTIONS), ("POST", "/roles"), ("GET", "/v1/audit-log/history")):
            assert anyone.request(method, path, headers=bearer(token)).status_code == 403

    def test_a_user_grants_no_more_than_the_token_holds(
        self, anyone: httpx.Client, house: Tenant, shared: ServedIssuer, mapped: Any
    ) -> None:
        mapped(["access.roles.create", READ], permissions="scope")
        header = bearer(shared.token(sub="ada", scope=f"access.roles.create {READ}"))
        made = anyone.post("/roles", headers=header, json={"name": "By Ada", "permissions": [READ]})
        assert made.status_code == 201
        record = house.record(request_id(made))
        assert record is not None and record["changes"][0]["actor"] == "user:ada"
        beyond = anyone.post("/roles", headers=header, json={"name": "Beyond", "permissions": [CREATE]})
        assert (problem_of(beyond)["code"], problem_of(beyond)["permission"]) == ("grant_exceeds_caller", CREATE)


class TestApart:
    """Nothing of one issuer, or of one tenant's trust in it, counts for another."""

    def test_each_tenant_has_the_tokens_of_its_own_audience(
        self, anyone: httpx.Client, house: Tenant, neighbour: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ], claims=SCOPE, audience="https://house.test")
        trust(neighbour, issuer, [READ], claims=SCOPE, audience="https://neighbour.test")
        for tenant, other, audience in (
            (house, neighbour, "https://house.test"),
            (neighbour, house, "https://neighbour.test"),
        ):
            answer = use(anyone, issuer.token(aud=audience, scope=READ))
            assert answer.status_code == 200
            assert tenant.record(request_id(answer)) is not None
            assert other.record(request_id(answer)) is None

    def test_a_token_for_two_tenants_stays_with_the_one_that_trusted_its_issuer_first(
        self, anyone: httpx.Client, house: Tenant, neighbour: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ], claims=SCOPE, audience="https://first.test")
        token = issuer.token(aud=["https://later.test", "https://first.test"], scope=READ)
        assert use(anyone, token).status_code == 200
        # Whoever names its audience later can neither break it nor take it.
        trust(neighbour, issuer, [READ], claims=SCOPE, audience="https://later.test")
        answer = use(anyone, token)
        assert answer.status_code == 200
        assert house.record(request_id(answer)) is not None

    def test_a_token_that_means_two_entries_of_one_tenant_is_refused(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer
    ) -> None:
        for audience in ("https://one.test", "https://two.test"):
            trust(house, issuer, [READ], claims=SCOPE, audience=audience)
        assert use(anyone, issuer.token(aud="https://two.test", scope=READ)).status_code == 200
        assert use(anyone, issuer.token(aud=["https://one.test", "https://two.test"], scope=READ)).status_code == 401

    def test_two_issuers_with_one_kid_are_two_issuers(
        self, anyone: httpx.Client, house: Tenant, issuer: ServedIssuer, shared: ServedIssuer, mapped: Any
    ) -> None:
        mapped([READ], **SCOPE)
        trust(house, issuer, [READ], claims=SCOPE)
        assert issuer.kid() == shared.kid()
        assert use(anyone, issuer.token(scope=READ)).status_code == 200
        forged = use(anyone, issuer.token(iss=shared.url, scope=READ))
        assert (forged.status_code, reason_of(house, forged)) == (401, "token_signature_invalid")

    def test_an_issuer_may_not_name_our_tokens_or_another_tenant(
        self, anyone: httpx.Client, house: Tenant, neighbour: Tenant, issuer: ServedIssuer
    ) -> None:
        trust(house, issuer, [READ], claims=SCOPE)
        url = str(anyone.base_url).rstrip("/")
        ours = {"client_id": house.key.id, "tenant": house.id, "secret_version": 1}
        for claims in ({"iss": url, "aud": url, **ours}, {"aud": url}, {"tenant": neighbour.id}):
            assert use(anyone, issuer.token(scope=READ, **claims)).status_code == 401
        assert use(anyone, issuer.token(scope=READ, tenant=house.id)).status_code == 200

    def test_nobody_trusts_hatchpay_as_another_issuer(self, anyone: httpx.Client, house: Tenant) -> None:
        url = str(anyone.base_url).rstrip("/")
        for issuer in (url, f"{url}/"):
            answer = house.client.post(ISSUERS, json={"issuer": issuer, "audience": AUDIENCE, "ceiling": [READ]})
            body = problem_of(answer)
            assert (body["status"], body["code"], body["field"]) == (422, "invalid_field", "issuer")


class TestWithoutTheSettingForTests:
    """On a server as it is by default, where an issuer must be out in the open, over TLS."""

    @pytest.mark.parametrize(
        ("wanted", "code", "field"),
        [
            ({"issuer": "http://id.example.com"}, "invalid_url", "issuer"),
            ({"issuer": "https://127.0.0.1"}, "fetch_address_forbidden", "issuer"),
            ({"issuer": "https://localhost"}, "fetch_address_forbidden", "issuer"),
            ({"issuer": "https://[::1]"}, "fetch_address_forbidden", "issuer"),
            ({"issuer": "https://10.0.0.1"}, "fetch_address_forbidden", "issuer"),
            ({"issuer": "https://169.254.169.254"}, "fetch_address_forbidden", "issuer"),
            ({"issuer": "https://id.test", "jwks_url": "http://id.test/keys"}, "invalid_url", "jwks_url"),
            ({"issuer": "https://id.test", "jwks_url": "https://127.0.0.1/k"}, "fetch_address_forbidden", "jwks_url"),
            ({"issuer": "https://id.test", "jwks_url": "file:///etc/passwd"}, "invalid_url", "jwks_url"),
        ],
    )
    def test_it_is_refused(self, tenant: Tenant, wanted: dict[str, str], code: str, field: str) -> None:
        before = tenant.get(ISSUERS)
        answer = tenant.client.post(ISSUERS, json={"audience": AUDIENCE, "ceiling": ["access.roles.read"], **wanted})
        body = problem_of(answer)
        assert (body["status"], body["code"], body["field"]) == (422, code, field)
        assert tenant.get(ISSUERS) == before

    def test_nothing_is_sent_there(self, tenant: Tenant, issuer: ServedIssuer) -> None:
        wanted = {"issuer": issuer.url.replace("http:", "https:"), "audience": AUDIENCE, "ceiling": [READ]}
        answer = tenant.client.post(ISSUERS, json=wanted)
        assert problem_of(answer)["code"] == "fetch_address_forbidden"
        assert issuer.asked == []
