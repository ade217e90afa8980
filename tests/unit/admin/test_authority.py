"""A caller's authority is what the directory says at the moment of the change, not what the gate saw."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.support.directory import HOUR, START, World
from tests.support.issuer import FakeIssuer

from hatchpay.admin.token_views import IssuerChanges, NewIssuer
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RoleDraft
from hatchpay.errors import Forbidden, HatchPayError, NotFound, Unauthenticated
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.principal import Principal
from hatchpay.ids import new_id

ISSUER = NewIssuer(
    issuer="https://id.test", audience="a", jwks_url=None, algorithms=("EdDSA",), ceiling=(), claims=ClaimsMapping()
)


def issuer_of(world: World, actor: Actor) -> str:
    return world.issuers.list(actor).data[0].id


Call = Callable[[World, Actor, str, str], object]
CALLS: dict[str, Call] = {
    "api-key.keys.create": lambda world, actor, key, role: world.keys.create(actor, NewKey(name="k")),
    "api-key.keys.update": lambda world, actor, key, role: world.keys.update(actor, key, KeyChanges(name="k")),
    "api-key.keys.delete": lambda world, actor, key, role: world.keys.delete(actor, key),
    "api-key.key-roles.update": lambda world, actor, key, role: world.keys.set_roles(actor, key, ()),
    "api-key.keys.rotate": lambda world, actor, key, role: world.keys.rotate(actor, key),
    "access.roles.create": lambda world, actor, key, role: world.roles.create(actor, RoleDraft(name="r")),
    "access.roles.update": lambda world, actor, key, role: world.roles.update(actor, role, RoleDraft(name="r")),
    "access.roles.delete": lambda world, actor, key, role: world.roles.delete(actor, role),
    "auth.issuers.create": lambda world, actor, key, role: world.issuers.create(actor, ISSUER),
    "auth.issuers.update": lambda world, actor, key, role: world.issuers.update(
        actor, issuer_of(world, actor), IssuerChanges(status="disabled")
    ),
    "auth.issuers.delete": lambda world, actor, key, role: world.issuers.delete(actor, issuer_of(world, actor)),
    "business-unit.business-units.create": lambda world, actor, key, role: world.units.create(actor, "u", "UTC"),
    "business-unit.business-units.update": lambda world, actor, key, role: world.units.archive(actor, new_id()),
}


@pytest.mark.parametrize("permission", CALLS)
def test_every_change_needs_its_own_permission(world: World, admin: Actor, permission: str) -> None:
    key, role = world.key(admin), world.role(admin, "role")
    world.trust(admin, world.issuer())
    everything = {found.name for found in world.permissions.list(admin, 200).data}
    lesser = world.role(admin, "all but one", *sorted(everything - {permission}))
    caller = world.actor(world.key(admin, lesser.id), admin.principal.tenant_id)
    before = world.changes()

    with pytest.raises(Forbidden) as caught:
        CALLS[permission](world, caller, key.view.id, role.id)

    assert (caught.value.code, caught.value.permission) == ("permission_missing", permission)
    assert world.changes() == before


def disable(world: World, admin: Actor, key_id: str) -> None:
    world.keys.update(admin, key_id, KeyChanges(status="disabled"))


def delete(world: World, admin: Actor, key_id: str) -> None:
    world.keys.delete(admin, key_id)


def expire(world: World, admin: Actor, key_id: str) -> None:
    world.keys.update(admin, key_id, KeyChanges(expires_at_us=START + HOUR))
    world.clock.now = START + HOUR


@pytest.mark.parametrize("end", [disable, delete, expire])
def test_a_key_that_has_ended_since_it_was_let_in_changes_nothing(
    world: World, admin: Actor, end: Callable[[World, Actor, str], None]
) -> None:
    key = world.key(admin, world.role_id(admin, "admin"))
    caller = world.actor(key, admin.principal.tenant_id)
    end(world, admin, key.view.id)
    before = world.changes()

    with pytest.raises(Unauthenticated):
        world.keys.create(caller, NewKey(name="too late"))

    assert world.changes() == before


def test_a_key_counts_only_in_its_own_tenant(world: World, demo: Onboarded, stranger: Actor) -> None:
    with pytest.raises(Unauthenticated):
        world.keys.create(world.actor(demo.api_key, stranger.principal.tenant_id), NewKey(name="k"))


def test_somebody_at_the_machine_may_do_all_of_the_tenants(world: World, demo: Onboarded, admin: Actor) -> None:
    local = world.local(demo.tenant.id)

    key = world.key(local, world.role_id(admin, "admin"))

    assert local.principal.id == "local:1000"
    assert world.keys.get(admin, key.view.id).roles[0].name == "admin"
    assert {change.actor for change in world.changes() if change.subject_id == key.view.id} == {"local:1000"}
    assert not any(name.startswith("platform.") for name in local.principal.grants)


def test_a_tenant_that_does_not_exist_has_nobody_at_the_machine(world: World) -> None:
    with pytest.raises(NotFound):
        world.keys.create(world.local(new_id()), NewKey(name="k"))


def test_a_refusal_tells_nothing_of_other_tenants(world: World, admin: Actor, stranger: Actor) -> None:
    key = world.key(admin)
    texts = set()
    for key_id in (key.view.id, new_id()):
        with pytest.raises(HatchPayError) as caught:
            world.keys.get(stranger, key_id)
        texts.add((caught.value.code, caught.value.detail))
    assert len(texts) == 1


EVERYTHING = "api-key.keys.create api-key.keys.read api-key.keys.rotate api-key.keys.update api-key.key-roles.update"
"""All that managing keys needs, and nothing else."""


class TestThroughAToken:
    """Whoever calls with a token may what the token says, the key holds, and the directory says right now."""

    @pytest.fixture(autouse=True)
    def begun(self, world: World) -> None:
        world.begin_tokens()

    def test_a_token_of_everything_may_what_its_key_may(self, world: World, demo: Onboarded) -> None:
        caller = world.caller(world.token(demo.api_key.key))
        key = world.key(caller, world.role_id(caller, "admin"))
        assert world.keys.get(caller, key.view.id).roles[0].name == "admin"
        assert {change.actor for change in world.changes() if change.subject_id == key.view.id} == {
            demo.api_key.view.id
        }

    def test_a_narrowed_token_lacks_what_it_does_not_name(self, world: World, demo: Onboarded) -> None:
        caller = world.caller(world.token(demo.api_key.key, "api-key.keys.read"))
        with pytest.raises(Forbidden) as caught:
            world.keys.create(caller, NewKey(name="k"))
        assert (caught.value.code, caught.value.permission) == ("permission_missing", "api-key.keys.create")

    def test_a_narrowed_token_of_an_admin_makes_no_admin(self, world: World, demo: Onboarded, admin: Actor) -> None:
        caller = world.caller(world.token(demo.api_key.key, EVERYTHING))
        key = world.key(caller)
        with pytest.raises(Forbidden) as caught:
            world.keys.set_roles(caller, key.view.id, (world.role_id(admin, "admin"),))
        assert caught.value.code == "grant_exceeds_caller"
        assert world.keys.get(admin, key.view.id).roles == ()

    def test_a_narrowed_token_of_an_admin_gets_no_secret_of_the_admin(
        self, world: World, demo: Onboarded, admin: Actor
    ) -> None:
        """Rotating its own key would lead out of its scope."""
        caller = world.caller(world.token(demo.api_key.key, EVERYTHING))
        before = world.changes()
        with pytest.raises(Forbidden) as caught:
            world.keys.rotate(caller, demo.api_key.view.id)
        assert caught.value.code == "grant_exceeds_caller"
        assert world.changes() == before

    def test_a_narrowed_token_enables_and_loosens_nothing_greater(
        self, world: World, demo: Onboarded, admin: Actor
    ) -> None:
        viewer = world.key(admin, world.role_id(admin, "viewer"), expires_at_us=START + HOUR)
        world.keys.update(admin, viewer.view.id, KeyChanges(status="disabled"))
        caller = world.caller(world.token(demo.api_key.key, EVERYTHING))
        for changes in (KeyChanges(status="enabled"), KeyChanges(expires_at_us=None)):
            with pytest.raises(Forbidden) as caught:
                world.keys.update(caller, viewer.view.id, changes)
            assert caught.value.code == "grant_exceeds_caller"

    def test_a_narrowed_token_writes_no_greater_role(self, world: World, demo: Onboarded) -> None:
        caller = world.caller(world.token(demo.api_key.key, "access.roles.create access.roles.update"))
        with pytest.raises(Forbidden):
            world.role(caller, "buyer", "shop.orders.create")
        assert world.role(caller, "role writer", "access.roles.create").permissions == ("access.roles.create",)

    def test_a_token_of_some_units_reaches_no_others(self, world: World, admin: Actor) -> None:
        """The key has been given all units since."""
        unit, other = (world.units.create(admin, name, "UTC").id for name in ("one", "two"))
        key = world.key(admin, world.role_id(admin, "admin"), business_unit_ids=(unit,))
        token = world.token(key.key)
        world.keys.update(admin, key.view.id, KeyChanges(business_unit_ids=None))
        caller = world.caller(token)
        for units in (None, (other,), (unit, other)):
            with pytest.raises(Forbidden):
                world.keys.create(caller, NewKey(name="k", business_unit_ids=units))
        assert world.keys.create(caller, NewKey(name="k", business_unit_ids=(unit,)))

    @pytest.mark.parametrize("how", ["disabled", "deleted", "expired", "rotated", "revoked", "grace ended"])
    def test_a_token_that_has_ended_since_it_was_let_in_changes_nothing(
        self, world: World, admin: Actor, how: str
    ) -> None:
        """The gate's snapshot still knows it; the transaction does not."""
        key = world.key(admin, world.role_id(admin, "admin"))
        text = world.token(key.key)
        caller = world.caller(text)
        ends: dict[str, Callable[[], object]] = {
            "disabled": lambda: disable(world, admin, key.view.id),
            "deleted": lambda: delete(world, admin, key.view.id),
            "expired": lambda: expire(world, admin, key.view.id),
            "rotated": lambda: world.keys.rotate(admin, key.view.id),
            "revoked": lambda: world.tokens.revoke(admin, world.token_authenticator.own_claims(text)),
            "grace ended": lambda: (
                world.keys.rotate(admin, key.view.id, 60),
                world.keys.end_grace(admin, key.view.id),
            ),
        }
        ends[how]()
        before = world.changes()

        with pytest.raises(Unauthenticated):
            world.keys.create(caller, NewKey(name="too late"))

        assert world.changes() == before

    def test_a_token_outlives_a_rotation_for_as_long_as_its_secret_does(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "admin"))
        caller = world.caller(world.token(key.key))
        world.keys.rotate(admin, key.view.id, 60)
        world.clock.now += 60_000_000 - 1
        assert world.keys.create(caller, NewKey(name="in time"))
        world.clock.now += 1
        with pytest.raises(Unauthenticated):
            world.keys.create(caller, NewKey(name="too late"))

    def test_what_the_key_has_lost_since_the_token_has_lost(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "admin"))
        caller = world.caller(world.token(key.key))
        world.keys.set_roles(admin, key.view.id, (world.role_id(admin, "viewer"),))
        with pytest.raises(Forbidden):
            world.keys.create(caller, NewKey(name="too late"))

    def test_a_token_may_revoke_itself_and_then_nothing(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role(admin, "creator", "api-key.keys.create").id)
        text = world.token(key.key)
        caller = world.caller(text)
        world.tokens.revoke(caller, world.token_authenticator.own_claims(text))
        with pytest.raises(Unauthenticated):
            world.keys.create(caller, NewKey(name="too late"))


class TestAsAUserOfAnIssuer:
    @pytest.fixture(autouse=True)
    def begun(self, world: World) -> None:
        world.begin_tokens()

    @pytest.fixture
    def issuer(self, world: World, admin: Actor) -> FakeIssuer:
        issuer = world.issuer()
        world.trust(admin, issuer, *EVERYTHING.split(), "shop.orders.read")
        return issuer

    @pytest.mark.parametrize("exchanged", [False, True])
    def test_a_user_may_what_claims_and_ceiling_allow_and_is_named_in_the_record(
        self, world: World, demo: Onboarded, issuer: FakeIssuer, exchanged: bool
    ) -> None:
        token = issuer.token(sub="ada", permissions=["api-key.keys.create", "access.roles.create"])
        caller = world.caller(world.exchanged(demo.api_key.key, token) if exchanged else token)
        world.keys.create(caller, NewKey(name="by ada"))
        assert world.last_change().actor == "user:ada"
        with pytest.raises(Forbidden) as caught:
            world.role(caller, "role")
        assert caught.value.code == "permission_missing"

    def test_a_user_grants_no_more_than_the_ceiling(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        caller = world.caller(issuer.token(roles=["admin"]))
        key = world.key(caller)
        with pytest.raises(Forbidden):
            world.keys.set_roles(caller, key.view.id, (world.role_id(admin, "admin"),))
        reader = world.role(admin, "reader", "shop.orders.read")
        assert world.keys.set_roles(caller, key.view.id, (reader.id,)).roles[0].name == "reader"

    @pytest.mark.parametrize("exchanged", [False, True])
    @pytest.mark.parametrize("how", ["disabled", "deleted"])
    def test_a_user_whose_issuer_is_trusted_no_more_changes_nothing(
        self, world: World, demo: Onboarded, admin: Actor, issuer: FakeIssuer, how: str, exchanged: bool
    ) -> None:
        token = issuer.token(roles=["admin"])
        caller = world.caller(world.exchanged(demo.api_key.key, token) if exchanged else token)
        issuer_id = world.issuers.list(admin).data[0].id
        if how == "disabled":
            world.issuers.update(admin, issuer_id, IssuerChanges(status="disabled"))
        else:
            world.issuers.delete(admin, issuer_id)
        with pytest.raises(Unauthenticated):
            world.keys.create(caller, NewKey(name="too late"))

    @pytest.mark.parametrize("exchanged", [False, True])
    def test_a_ceiling_a_role_and_a_name_count_as_they_are_now(
        self, world: World, demo: Onboarded, admin: Actor, issuer: FakeIssuer, exchanged: bool
    ) -> None:
        role = world.role(admin, "makers", "api-key.keys.create")
        issuer_id = world.issuers.list(admin).data[0].id
        changes: list[Callable[[], object]] = [
            lambda: world.roles.update(admin, role.id, RoleDraft(name="makers")),
            lambda: world.roles.update(admin, role.id, RoleDraft(name="m", permissions=("api-key.keys.create",))),
            lambda: world.issuers.update(admin, issuer_id, IssuerChanges(ceiling=("shop.orders.read",))),
        ]
        for change in changes:
            token = issuer.token(roles=["makers"])
            caller = world.caller(world.exchanged(demo.api_key.key, token) if exchanged else token)
            world.keys.create(caller, NewKey(name="in time"))
            change()
            with pytest.raises(Forbidden):
                world.keys.create(caller, NewKey(name="too late"))
            world.roles.update(admin, role.id, RoleDraft(name="makers", permissions=("api-key.keys.create",)))

    def test_a_user_through_a_key_is_bounded_by_the_key_as_it_is_now(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        client = world.key(admin, world.role_id(admin, "admin"))
        caller = world.caller(world.exchanged(client.key, issuer.token(roles=["admin"])))
        world.keys.create(caller, NewKey(name="in time"))
        world.keys.update(admin, client.view.id, KeyChanges(expires_at_us=START + HOUR))
        with pytest.raises(Forbidden):
            world.keys.create(caller, NewKey(name="without end"))
        assert world.keys.create(caller, NewKey(name="as the key", expires_at_us=START + HOUR))
        world.keys.set_roles(admin, client.view.id, (world.role_id(admin, "viewer"),))
        with pytest.raises(Forbidden):
            world.keys.create(caller, NewKey(name="too late", expires_at_us=START + HOUR))

    def test_a_user_of_another_tenants_issuer_counts_only_there(
        self, world: World, stranger: Actor, issuer: FakeIssuer
    ) -> None:
        caller = world.caller(issuer.token(roles=["admin"]))
        moved = msgspec.structs.replace(caller.principal, tenant_id=stranger.principal.tenant_id)
        with pytest.raises(Unauthenticated):
            world.keys.create(Actor(moved, new_id()), NewKey(name="k"))

    def test_a_user_without_anything_behind_it_is_nobody(self, world: World, admin: Actor) -> None:
        principal = Principal("user:ada", "user", admin.principal.tenant_id, None, (), {"api-key.keys.create": "x"})
        with pytest.raises(Unauthenticated):
            world.keys.create(Actor(principal, new_id()), NewKey(name="k"))
