"""Tokens of our own: what is issued, exchanged and revoked, and for whom."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from rich.pretty import pretty_repr
from tests.support.directory import HOUR, MAPPING, SECOND, SERVED, START, URL, World
from tests.support.issuer import FakeIssuer

from hatchpay.access.permission import Permission
from hatchpay.admin.token_views import IssuedToken, IssuerChanges, TokenWish
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RoleDraft
from hatchpay.errors import Forbidden, HatchPayError, InvalidInput, Unauthenticated, Unavailable
from hatchpay.identity.authenticator import Invalid
from hatchpay.ids import new_id

READ, CREATE, CUSTOMERS = "shop.orders.read", "shop.orders.create", "shop.customers.read"
NOW = START // SECOND
TOKEN_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@pytest.fixture(autouse=True)
def begun(world: World) -> None:
    world.begin_tokens()


@pytest.fixture
def issuer(world: World, admin: Actor) -> FakeIssuer:
    issuer = world.issuer()
    world.trust(admin, issuer, READ, CREATE)
    return issuer


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def issue(world: World, credential: str, scope: str | None = None, expires_in: int | None = None) -> IssuedToken:
    return world.tokens.issue(world.proven(credential), TokenWish(scope=scope, expires_in=expires_in), TOKEN_ID)


def refusal(call: Callable[[], object]) -> HatchPayError:
    with pytest.raises(HatchPayError) as caught:
        call()
    return caught.value


def grants(world: World, credential: str) -> set[str]:
    return set(world.proven(credential).principal.grants)


def is_over(world: World, token: str, reason: str) -> bool:
    outcome = world.ask(token)
    return isinstance(outcome, Invalid) and outcome.reason == reason


class TestIssuing:
    def test_a_token_says_who_it_is_for_what_and_until_when(self, world: World, demo: Onboarded, admin: Actor) -> None:
        unit = world.units.create(admin, "Zurich", "Europe/Zurich").id
        role = world.role(admin, "buyer", READ, CREATE)
        key = world.key(admin, role.id, business_unit_ids=(unit,))

        issued = issue(world, key.key)

        assert claims(issued.access_token) == {
            "iss": URL,
            "aud": URL,
            "sub": key.view.id,
            "client_id": key.view.id,
            "iat": NOW,
            "exp": NOW + 900,
            "jti": TOKEN_ID,
            "tenant": demo.tenant.id,
            "business_units": [unit],
            "roles": ["buyer"],
            "permissions": [CREATE, READ],
            "scope": f"{CREATE} {READ}",
            "secret_version": 1,
        }
        assert (issued.expires_in, issued.scope, issued.token_type) == (900, f"{CREATE} {READ}", "Bearer")

    def test_anybody_verifies_it_by_the_published_key(self, world: World, demo: Onboarded) -> None:
        token = issue(world, demo.api_key.key).access_token
        (own,) = world.snapshots.current.trust.own.values()
        key = jwt.PyJWK.from_dict(dict(own.public_jwk))
        checks = {"verify_exp": False, "verify_iat": False}
        read = jwt.decode(token, key, ["EdDSA"], audience=URL, issuer=URL, options=checks)  # type: ignore[arg-type]
        assert read["sub"] == demo.api_key.view.id
        assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": own.kid, "typ": "at+jwt"}

    def test_the_scope_narrows(self, world: World, demo: Onboarded) -> None:
        issued = issue(world, demo.api_key.key, f" {READ}  {CREATE} {READ}")
        assert issued.scope == f"{CREATE} {READ}"
        assert claims(issued.access_token)["permissions"] == [CREATE, READ]

    def test_an_empty_scope_is_a_token_that_may_nothing(self, world: World, demo: Onboarded) -> None:
        assert grants(world, issue(world, demo.api_key.key, "").access_token) == set()

    @pytest.mark.parametrize("scope", [CUSTOMERS, f"{READ} {CUSTOMERS}", "admin", "*", "shop.orders", f"{READ},x"])
    def test_the_scope_never_widens(self, world: World, admin: Actor, scope: str) -> None:
        key = world.key(admin, world.role(admin, "buyer", READ).id)
        error = refusal(lambda: issue(world, key.key, scope))
        assert (type(error), error.code) == (InvalidInput, "invalid_scope")
        assert scope not in error.detail

    @pytest.mark.parametrize("life", [1, 60, 43_200])
    def test_it_lives_for_as_long_as_was_asked(self, world: World, demo: Onboarded, life: int) -> None:
        issued = issue(world, demo.api_key.key, expires_in=life)
        assert (issued.expires_in, claims(issued.access_token)["exp"]) == (life, NOW + life)

    @pytest.mark.parametrize("life", [0, -1, 43_201, 2**70])
    def test_it_lives_for_a_second_at_least_and_half_a_day_at_most(
        self, world: World, demo: Onboarded, life: int
    ) -> None:
        error = refusal(lambda: issue(world, demo.api_key.key, expires_in=life))
        assert (type(error), error.code, error.field) == (InvalidInput, "invalid_field", "expires_in")

    def test_it_never_outlives_its_key_nor_the_grace_of_its_secret(self, world: World, admin: Actor) -> None:
        viewer = world.role_id(admin, "viewer")
        expiring = world.key(admin, viewer, expires_at_us=START + 100 * SECOND + 5)
        replaced = world.key(admin, viewer)
        world.keys.rotate(admin, replaced.view.id, 50)
        assert issue(world, expiring.key).expires_in == 100
        assert issue(world, replaced.key).expires_in == 50

    def test_of_a_key_in_its_last_second_there_is_no_token(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"), expires_at_us=START + SECOND - 1)
        assert isinstance(refusal(lambda: issue(world, key.key)), Unauthenticated)

    def test_its_times_are_whole_seconds_of_the_past(self, world: World, demo: Onboarded) -> None:
        world.clock.now = START + SECOND - 1
        assert claims(issue(world, demo.api_key.key).access_token)["iat"] == NOW

    def test_a_token_that_is_too_long_to_be_accepted_is_not_issued(self, world: World, demo: Onboarded) -> None:
        many = [Permission(name=f"shop.orders.act-{number:03}", description="Act") for number in range(300)]
        world.directory.sync_permissions([*SERVED, *many])

        error = refusal(lambda: issue(world, demo.api_key.key))

        assert (type(error), error.code, error.field) == (InvalidInput, "invalid_scope", "scope")
        assert world.proven(issue(world, demo.api_key.key, many[0].name).access_token)

    def test_without_a_key_that_signs_there_is_none(self, world: World, demo: Onboarded) -> None:
        proven = world.proven(demo.api_key.key)
        kid = world.signing_keys.list()[0].kid
        with world.directory.transaction() as transaction:
            (row,) = transaction.signing_keys()
            transaction.save_signing_key(msgspec.structs.replace(row, signs_from_us=START + 1))
        world.snapshots.refresh()
        error = refusal(lambda: world.tokens.issue(proven, TokenWish(), TOKEN_ID))
        assert (type(error), error.code) == (Unavailable, "signing_key_missing")
        assert kid not in error.detail

    def test_issuing_writes_nothing(self, world: World, demo: Onboarded) -> None:
        proven = world.proven(demo.api_key.key)
        before, position = world.changes(), world.directory.position()
        world.tokens.issue(proven, TokenWish(), TOKEN_ID)
        assert (world.changes(), world.directory.position()) == (before, position)

    def test_no_text_of_it_shows_the_token(self, world: World, demo: Onboarded) -> None:
        issued = issue(world, demo.api_key.key)
        for shown in (repr(issued), str(issued), pretty_repr(issued)):
            assert issued.access_token[:10] not in shown
            assert issued.access_token[-10:] not in shown


class TestExchanging:
    def test_a_token_of_ours_narrows_and_never_outlives_its_subject(self, world: World, demo: Onboarded) -> None:
        first = issue(world, demo.api_key.key, f"{READ} {CREATE}").access_token
        world.clock.now += 300 * SECOND
        second = world.tokens.exchange(None, world.proven(first), TokenWish(scope=READ, expires_in=43_200), new_id())
        assert second.expires_in == 600
        assert claims(second.access_token)["exp"] == claims(first)["exp"]
        assert grants(world, second.access_token) == {READ}

    def test_what_was_narrowed_once_never_widens_again(self, world: World, demo: Onboarded) -> None:
        narrow = issue(world, demo.api_key.key, READ).access_token
        assert grants(world, world.token(narrow)) == {READ}
        for scope in (CREATE, f"{READ} {CREATE}"):
            assert refusal(lambda scope=scope: world.token(narrow, scope)).code == "invalid_scope"
            client = world.proven(demo.api_key.key)
            wish = TokenWish(scope=scope)
            error = refusal(
                lambda wish=wish, client=client: world.tokens.exchange(client, world.proven(narrow), wish, new_id())
            )
            assert error.code == "invalid_scope"

    def test_units_that_were_narrowed_stay_so(self, world: World, admin: Actor) -> None:
        unit, other = (world.units.create(admin, name, "UTC").id for name in ("one", "two"))
        key = world.key(admin, world.role_id(admin, "viewer"), business_unit_ids=(unit,))
        first = world.token(key.key)
        world.keys.update(admin, key.view.id, KeyChanges(business_unit_ids=(unit, other)))
        second = world.token(first)
        assert claims(second)["business_units"] == [unit]
        assert world.proven(second).principal.business_unit_ids == {unit}

    def test_it_stays_bound_to_the_secret_that_the_first_one_came_from(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        second = world.token(world.token(key.key))
        world.keys.rotate(admin, key.view.id)
        assert is_over(world, second, "token_key_ended")

    def test_a_key_may_be_the_subject(self, world: World, demo: Onboarded) -> None:
        subject = world.proven(demo.api_key.key)
        issued = world.tokens.exchange(None, subject, TokenWish(scope=READ), new_id())
        assert grants(world, issued.access_token) == {READ}

    def test_a_token_is_exchanged_so_often_and_no_further(self, world: World, demo: Onboarded) -> None:
        token = world.token(demo.api_key.key)
        for _ in range(8):
            token = world.token(token)
        assert refusal(lambda: world.token(token)).code == "invalid_grant"

    def test_another_key_is_no_client_for_it(self, world: World, demo: Onboarded, admin: Actor) -> None:
        client = world.proven(world.key(admin, world.role_id(admin, "viewer")).key)
        subject = world.proven(world.token(demo.api_key.key))
        error = refusal(lambda: world.tokens.exchange(client, subject, TokenWish(), new_id()))
        assert (type(error), error.code) == (Forbidden, "invalid_grant")

    def test_an_issuers_token_needs_a_client(self, world: World, issuer: FakeIssuer) -> None:
        subject = world.proven(issuer.token(permissions=[READ]))
        error = refusal(lambda: world.tokens.exchange(None, subject, TokenWish(), new_id()))
        assert (type(error), error.code) == (Unauthenticated, "invalid_client")

    def test_a_user_without_a_key_is_no_client(self, world: World, issuer: FakeIssuer) -> None:
        user = world.proven(issuer.token(permissions=[READ]))
        error = refusal(lambda: world.tokens.exchange(user, user, TokenWish(), new_id()))
        assert (type(error), error.code) == (Unauthenticated, "invalid_client")

    def test_an_issuers_token_needs_a_client_of_the_same_tenant(self, world: World, issuer: FakeIssuer) -> None:
        client = world.proven(world.onboard("Other").api_key.key)
        subject = world.proven(issuer.token(permissions=[READ]))
        error = refusal(lambda: world.tokens.exchange(client, subject, TokenWish(), new_id()))
        assert (type(error), error.code) == (Forbidden, "invalid_grant")

    def test_the_result_may_what_both_may(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        client = world.key(admin, world.role(admin, "client", READ, CUSTOMERS).id)

        token = world.exchanged(client.key, issuer.token(sub="ada", permissions=[READ, CREATE]))

        principal = world.proven(token).principal
        assert principal.grants == {READ: "claim:permissions"}
        assert (principal.id, principal.kind, principal.key_id) == ("user:ada", "user", client.view.id)
        assert claims(token)["sub"] == "ada"
        assert claims(token)["client_id"] == client.view.id

    def test_the_result_has_the_limits_and_the_end_of_both(self, world: World, admin: Actor) -> None:
        one, two, three = (world.units.create(admin, name, "UTC").id for name in ("one", "two", "three"))
        issuer = world.issuer()
        world.trust(admin, issuer, READ, claims=msgspec.structs.replace(MAPPING, business_units="units"))
        client = world.key(
            admin,
            world.role_id(admin, "viewer"),
            environment="test",
            business_unit_ids=(one, two),
            expires_at_us=START + 50 * SECOND,
        )

        token = world.exchanged(client.key, issuer.token(units=[two, three], permissions=[READ]))

        proven = world.proven(token)
        assert proven.principal.business_unit_ids == {two}
        assert proven.principal.limits.environment == "test"
        assert proven.ends_us == START + 50 * SECOND
        assert claims(token)["exp"] == NOW + 50
        world.clock.now = START + 30 * SECOND
        short = world.exchanged(client.key, issuer.token(units=[two], permissions=[READ], exp=NOW + 40))
        assert claims(short)["exp"] == NOW + 40

    def test_roles_count_through_the_exchange_as_they_are_later(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        role = world.role(admin, "buyer", READ, CREATE)
        client = world.key(admin, world.role_id(admin, "admin"))
        token = world.exchanged(client.key, issuer.token(roles=["buyer"]))
        assert grants(world, token) == {READ, CREATE}
        world.roles.update(admin, role.id, RoleDraft(name=role.name, permissions=(CREATE, CUSTOMERS)))
        assert grants(world, token) == {CREATE}

    @pytest.mark.parametrize("how", ["the client lost it", "the ceiling was lowered", "the client was narrowed first"])
    def test_what_either_has_lost_the_result_has_lost(
        self, world: World, admin: Actor, issuer: FakeIssuer, how: str
    ) -> None:
        client = world.key(admin, world.role(admin, "both", READ, CREATE).id)
        token = world.exchanged(client.key, issuer.token(permissions=[READ, CREATE]))
        assert grants(world, token) == {READ, CREATE}
        if how == "the client lost it":
            world.keys.set_roles(admin, client.view.id, (world.role(admin, "one", READ).id,))
        elif how == "the ceiling was lowered":
            world.issuers.update(admin, world.issuers.list(admin).data[0].id, IssuerChanges(ceiling=(READ,)))
        else:
            token = world.exchanged(world.token(client.key, READ), issuer.token(permissions=[READ, CREATE]))
        assert grants(world, token) == {READ}

    def test_exchanging_the_result_again_never_widens(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        """Not even where everything that bounds it has been widened meanwhile."""
        client = world.key(admin, world.role(admin, "client", READ).id)
        first = world.exchanged(client.key, issuer.token(permissions=[READ, CREATE], roles=["viewer"]))
        world.keys.set_roles(admin, client.view.id, (world.role_id(admin, "admin"),))
        world.issuers.update(
            admin, world.issuers.list(admin).data[0].id, IssuerChanges(ceiling=(READ, CREATE, CUSTOMERS))
        )
        second = world.token(first)
        assert grants(world, second) == {READ}
        assert world.proven(second).principal.id == "user:ada"
        assert refusal(lambda: world.token(first, CREATE)).code == "invalid_scope"
        assert claims(second)["exp"] <= claims(first)["exp"]

    def test_the_result_ends_with_the_client_and_with_the_trust(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        client = world.key(admin, world.role_id(admin, "viewer"))
        token = world.exchanged(client.key, issuer.token(permissions=[READ]))
        world.proven(token)
        issuer_id = world.issuers.list(admin).data[0].id
        world.issuers.update(admin, issuer_id, IssuerChanges(status="disabled"))
        assert is_over(world, token, "token_issuer_unknown")
        world.issuers.update(admin, issuer_id, IssuerChanges(status="enabled"))
        assert world.proven(token)
        world.keys.update(admin, client.view.id, KeyChanges(status="disabled"))
        assert is_over(world, token, "token_key_disabled")

    def test_a_user_whose_claims_name_very_much_gets_a_token_for_a_narrower_scope(
        self, world: World, demo: Onboarded, issuer: FakeIssuer
    ) -> None:
        names = [f"other.things.act-{number}" for number in range(180)]
        subject = issuer.token(permissions=[READ, CREATE, *names], roles=["viewer"] * 500)
        token = world.exchanged(demo.api_key.key, subject, READ)
        assert claims(token)["user_permissions"] == [READ]
        assert claims(token)["roles"] == ["viewer"]
        assert grants(world, token) == {READ}

    def test_a_user_who_is_called_as_a_key_is_still_a_user(
        self, world: World, demo: Onboarded, issuer: FakeIssuer
    ) -> None:
        token = world.exchanged(demo.api_key.key, issuer.token(sub=demo.api_key.view.id, permissions=[READ]))
        principal = world.proven(token).principal
        assert (principal.id, principal.kind) == (f"user:{demo.api_key.view.id}", "user")
        assert set(principal.grants) == {READ}

    @pytest.mark.parametrize("name", ["user:ada", "user:", "local:0"])
    def test_a_user_keeps_the_name_that_the_issuer_gives(
        self, world: World, demo: Onboarded, issuer: FakeIssuer, name: str
    ) -> None:
        first = world.exchanged(demo.api_key.key, issuer.token(sub=name, permissions=[READ]))
        for token in (first, world.token(first)):
            assert world.proven(token).principal.id == f"user:{name}"


class TestRevoking:
    def test_a_revoked_token_is_over_at_once_and_the_others_are_not(
        self, world: World, demo: Onboarded, admin: Actor
    ) -> None:
        token, other = world.token(demo.api_key.key), world.token(demo.api_key.key)
        revoke(world, admin, token)
        assert is_over(world, token, "token_revoked")
        assert world.proven(other)

    def test_what_it_was_exchanged_into_ends_with_it_and_what_it_came_from_does_not(
        self, world: World, demo: Onboarded, admin: Actor
    ) -> None:
        first = world.token(demo.api_key.key)
        second = world.token(first)
        third, sibling = world.token(second), world.token(first)
        for token in (second, third, sibling):
            assert world.proven(token)
        revoke(world, admin, second)
        assert is_over(world, second, "token_revoked")
        assert is_over(world, third, "token_revoked")
        assert world.proven(first)
        assert world.proven(sibling)

    def test_a_revoked_ancestor_ends_what_its_holder_is_about_to_change(
        self, world: World, demo: Onboarded, admin: Actor
    ) -> None:
        first = world.token(demo.api_key.key)
        holder = world.caller(world.token(first))
        revoke(world, admin, first)
        assert refusal(lambda: world.keys.create(holder, NewKey(name="x"))).status == 401

    def test_disabling_ends_a_keys_tokens_and_enabling_does_not_bring_them_back(
        self, world: World, admin: Actor
    ) -> None:
        key = world.key(admin, world.role(admin, "reader", READ).id)
        token = world.token(key.key)
        world.clock.now += 2 * SECOND
        world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
        world.keys.update(admin, key.view.id, KeyChanges(status="enabled"))
        assert is_over(world, token, "token_key_disabled")
        assert world.proven(world.token(key.key))

    def test_it_is_recorded_once(self, world: World, demo: Onboarded, admin: Actor) -> None:
        token = world.token(demo.api_key.key)
        token_id = claims(token)["jti"]
        revoke(world, admin, token)
        change = world.last_change()
        revoke(world, admin, token)
        assert world.last_change() == change
        assert (change.event, change.subject_id, change.actor) == (
            "auth.tokens.revoked",
            token_id,
            admin.principal.id,
        )
        assert json.loads(change.detail) == {"before": {}, "after": {"client_id": demo.api_key.view.id}}

    def test_a_key_revokes_its_own_without_any_permission(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role(admin, "none").id)
        token = world.token(key.key)
        revoke(world, world.actor(key, admin.principal.tenant_id), token)
        assert is_over(world, token, "token_revoked")

    def test_the_tokens_of_other_keys_need_a_permission(self, world: World, demo: Onboarded, admin: Actor) -> None:
        token = world.token(demo.api_key.key)
        weak = world.key(admin, world.role(admin, "reader", "auth.tokens.read").id)
        error = refusal(lambda: revoke(world, world.actor(weak, demo.tenant.id), token))
        assert (type(error), error.code, error.permission) == (Forbidden, "permission_missing", "auth.tokens.revoke")
        assert world.proven(token)
        strong = world.key(admin, world.role(admin, "revoker", "auth.tokens.revoke").id)
        revoke(world, world.actor(strong, demo.tenant.id), token)
        assert is_over(world, token, "token_revoked")

    def test_another_tenants_token_is_left_alone_and_nobody_is_told(
        self, world: World, demo: Onboarded, stranger: Actor
    ) -> None:
        token, before = world.token(demo.api_key.key), world.changes()
        revoke(world, stranger, token)
        assert world.changes() == before
        assert world.proven(token)

    def test_a_caller_whose_key_has_ended_revokes_nothing(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
        caller = world.actor(key, admin.principal.tenant_id)
        assert isinstance(refusal(lambda: revoke(world, caller, token)), Unauthenticated)

    def test_a_revocation_lasts_as_long_as_any_token_could(self, world: World, demo: Onboarded, admin: Actor) -> None:
        token = world.token(demo.api_key.key, expires_in=43_200)
        revoke(world, admin, token)
        with world.directory.read() as view:
            assert view.revoked(None) == {claims(token)["jti"]: START + 12 * HOUR}
        world.clock.now = claims(token)["exp"] * SECOND - 1
        revoke(world, admin, world.token(demo.api_key.key))
        assert is_over(world, token, "token_revoked")


def revoke(world: World, actor: Actor, token: str) -> None:
    world.snapshots.refresh()
    world.tokens.revoke(actor, world.token_authenticator.own_claims(token))
