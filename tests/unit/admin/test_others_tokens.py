"""Whose tokens a key may look at or end, besides its own."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.directory import World

from hatchpay.admin.others_tokens import OthersTokens
from hatchpay.admin.tokens import READ, REVOKE
from hatchpay.admin.views import Actor, CreatedKey
from hatchpay.identity.own_token import OwnClaims
from hatchpay.identity.principal import Limits, Principal

ADDRESS = "192.0.2.1"


class Scene:
    """Two units, a role that may look and end, and what `others` says of keys that hold it."""

    def __init__(self, world: World, admin: Actor) -> None:
        self.world, self.admin = world, admin
        self.a, self.b = (world.units.create(admin, name, "Europe/Zurich").id for name in "AB")
        self.role = world.role(admin, "warden", READ, REVOKE).id
        self.others = OthersTokens(lambda: world.snapshots.current, lambda: world.snapshots.rules, world.clock)

    def key(self, *role_ids: str, units: tuple[str, ...] | None = None) -> CreatedKey:
        return self.world.key(self.admin, *role_ids, business_unit_ids=units)

    def of(self, key: CreatedKey) -> Principal:
        return self.world.caller(key.key).principal

    def forbid(self, permission: str, key: CreatedKey) -> None:
        condition = f'when {{ !context.client_ip.isInRange(ip("{ADDRESS}")) }}'
        text = f'forbid(principal == ApiKey::"{key.view.id}", action == Action::"{permission}", resource) {condition};'
        self.world.policies.create(self.admin, permission, text)
        self.world.snapshots.refresh()


@pytest.fixture
def scene(world: World, admin: Actor) -> Scene:
    return Scene(world, admin)


def claims(owner: Principal) -> OwnClaims:
    return OwnClaims(
        sub=owner.id,
        client_id=owner.id,
        jti="",
        iat=0,
        tenant=owner.tenant_id,
        secret_version=1,
        roles=(),
        permissions=frozenset(),
        business_units=None,
    )


def test_a_key_of_chosen_units_looks_at_tokens_of_keys_of_those_alone(scene: Scene) -> None:
    tenant_wide, of_a, of_both = scene.key(), scene.key(units=(scene.a,)), scene.key(units=(scene.a, scene.b))
    warden = scene.of(scene.key(scene.role, units=(scene.a,)))
    found = [scene.others.may_read(warden, scene.of(key), ADDRESS) for key in (tenant_wide, of_a, of_both)]
    assert found == [False, True, False]
    chief = scene.of(scene.key(scene.role))
    assert all(scene.others.may_read(chief, scene.of(key), ADDRESS) for key in (tenant_wide, of_a, of_both))


def test_a_token_that_is_narrowed_to_the_units_is_still_its_keys(scene: Scene) -> None:
    limits = Limits(business_unit_ids=frozenset([scene.a]))
    narrowed = msgspec.structs.replace(scene.of(scene.key()), limits=limits)
    assert not scene.others.may_read(scene.of(scene.key(scene.role, units=(scene.a,))), narrowed, ADDRESS)


def test_who_holds_it_for_chosen_units_looks_at_tokens_of_those(scene: Scene) -> None:
    tenant_wide, of_a, of_b = scene.key(), scene.key(units=(scene.a,)), scene.key(units=(scene.b,))
    client = scene.of(scene.key())
    for units, expected in (((scene.a,), [False, True, False]), ((), [False] * 3)):
        scoped = {READ: dict.fromkeys(units, "role:warden")}
        warden = Principal(client.id, "api_key", client.tenant_id, client.key_id, (), {}, scoped=scoped)
        assert [scene.others.may_read(warden, scene.of(key), ADDRESS) for key in (tenant_wide, of_a, of_b)] == expected


def test_without_the_permission_a_key_looks_at_its_own_alone(scene: Scene) -> None:
    one, other = scene.of(scene.key()), scene.of(scene.key())
    assert scene.others.may_read(one, one, ADDRESS)
    assert not scene.others.may_read(one, other, ADDRESS)


def test_another_tenants_are_nobodys(scene: Scene, stranger: Actor) -> None:
    theirs = scene.world.caller(scene.world.key(stranger).key).principal
    assert not scene.others.may_read(scene.of(scene.key(scene.role)), theirs, ADDRESS)


def test_policies_are_asked_for_others_tokens_and_not_for_ones_own(scene: Scene) -> None:
    warden_key, other = scene.key(scene.role), scene.of(scene.key())
    for permission in (READ, REVOKE):
        scene.forbid(permission, warden_key)
    warden = scene.of(warden_key)
    for address, may, reason in ((ADDRESS, True, None), ("192.0.2.2", False, "policy_forbids")):
        assert scene.others.may_read(warden, other, address) is may
        assert scene.others.refuses_to_end(warden, claims(other), address) == reason
        assert scene.others.may_read(warden, warden, address)
        assert scene.others.refuses_to_end(warden, claims(warden), address) is None
    assert scene.others.may_read(scene.of(scene.key(scene.role)), other, "192.0.2.2")


def test_who_lacks_the_permission_anyway_is_told_so(scene: Scene) -> None:
    clerk_key, other = scene.key(), scene.of(scene.key())
    scene.forbid(REVOKE, clerk_key)
    assert scene.others.refuses_to_end(scene.of(clerk_key), claims(other), "192.0.2.2") == "permission_missing"
