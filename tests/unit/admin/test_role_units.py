"""Roles that are attached for chosen business units: what can be said, what is shown, and that nobody grants more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from tests.support.directory import World
from tests.support.issuer import FakeIssuer

from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.views import Actor, CreatedKey, KeyChanges, NewKey, Onboarded, RoleDraft
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.ids import new_id

READ, CREATE = "shop.orders.read", "shop.orders.create"
MANAGE = (
    "api-key.keys.read",
    "api-key.keys.create",
    "api-key.keys.update",
    "api-key.keys.rotate",
    "api-key.keys.delete",
    "api-key.key-roles.update",
)


class Scene:
    """Two units; roles that read, that create, and that manage keys."""

    def __init__(self, world: World, admin: Actor) -> None:
        self.world, self.admin = world, admin
        self.a, self.b = (world.units.create(admin, name, "UTC").id for name in "AB")
        self.reader = world.role(admin, "reader", READ).id
        self.buyer = world.role(admin, "buyer", CREATE).id
        self.manager = world.role(admin, "manager", *MANAGE).id

    def key(self, *wide: str, limits: tuple[str, ...] | None = None, **scoped: tuple[str, ...]) -> CreatedKey:
        """A key that holds some of this scene's roles, by name: `wide` ones, and those for units."""
        created = self.world.keys.create(self.admin, NewKey(name="k", business_unit_ids=limits))
        roles = {name: getattr(self, name) for name in (*wide, *scoped)}
        scopes = {roles[name]: units for name, units in scoped.items()}
        self.world.keys.set_roles(self.admin, created.view.id, tuple(roles.values()), scopes)
        return created

    def caller(self, *wide: str, limits: tuple[str, ...] | None = None, **scoped: tuple[str, ...]) -> Actor:
        return self.world.caller(self.key(*wide, limits=limits, **scoped).key)


@pytest.fixture
def scene(world: World, admin: Actor) -> Scene:
    return Scene(world, admin)


def refused(call: Callable[[], object], world: World) -> Forbidden:
    """The refusal of `call`, which has changed nothing."""
    before = world.changes()
    with pytest.raises(Forbidden) as caught:
        call()
    assert caught.value.code == "grant_exceeds_caller"
    assert world.changes() == before
    return caught.value


class TestWhatIsKept:
    def test_a_role_is_attached_for_the_whole_tenant_or_for_chosen_units(self, scene: Scene) -> None:
        key = scene.world.keys.create(scene.admin, NewKey(name="k")).view.id
        view = scene.world.keys.set_roles(
            scene.admin, key, (scene.reader, scene.buyer), {scene.buyer: (scene.b, scene.a)}
        )
        shown = [(role.name, role.business_unit_ids) for role in view.roles]
        assert shown == [("buyer", tuple(sorted((scene.a, scene.b)))), ("reader", None)]
        assert scene.world.keys.get(scene.admin, key) == view

    def test_the_event_says_so(self, scene: Scene) -> None:
        key = scene.key("reader").view.id
        scene.world.keys.set_roles(scene.admin, key, (scene.reader,), {scene.reader: (scene.a,)})
        detail = msgspec.json.decode(scene.world.last_change().detail)
        assert detail == {
            "before": {"roles": [{"id": scene.reader, "name": "reader"}]},
            "after": {"roles": [{"id": scene.reader, "name": "reader", "business_unit_ids": [scene.a]}]},
        }

    def test_to_say_the_same_again_changes_nothing(self, scene: Scene) -> None:
        key = scene.key(reader=(scene.a, scene.b)).view.id
        before = scene.world.changes()
        scene.world.keys.set_roles(scene.admin, key, (scene.reader,), {scene.reader: (scene.b, scene.a)})
        assert scene.world.changes() == before

    def test_a_role_that_is_named_without_units_is_for_the_whole_tenant_again(self, scene: Scene) -> None:
        key = scene.key(reader=(scene.a,)).view.id
        view = scene.world.keys.set_roles(scene.admin, key, (scene.reader,))
        assert view.roles[0].business_unit_ids is None

    def test_a_deleted_keys_roles_and_units_are_detached(self, scene: Scene) -> None:
        created = scene.key(reader=(scene.a,))
        scene.world.keys.delete(scene.admin, created.view.id)
        detail = msgspec.json.decode(scene.world.last_change().detail)
        assert detail["before"]["roles"][0]["business_unit_ids"] == [scene.a]
        with scene.world.directory.read() as view:
            assert view.keys_holding([scene.reader]) == []

    def test_only_an_admin_of_the_whole_tenant_counts_as_one(
        self, scene: Scene, world: World, demo: Onboarded, admin: Actor
    ) -> None:
        role, key = world.role_id(admin, "admin"), demo.api_key.view.id
        other = world.key(admin).view.id
        world.keys.set_roles(admin, other, (role,), {role: (scene.a,)})
        for attempt in (
            lambda: world.keys.set_roles(admin, key, (role,), {role: (scene.a, scene.b)}),
            lambda: world.keys.delete(admin, key),
        ):
            with pytest.raises(Conflict) as caught:
                attempt()
            assert caught.value.code == "last_administrator"
        world.keys.set_roles(admin, other, (role,))
        world.keys.set_roles(admin, key, (role,), {role: (scene.a,)})


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("units", "code"),
        [
            ((), "invalid_field"),
            (("x",), "invalid_uuid"),
            (("a", "a"), "duplicate_business_unit"),
            (("a", "nobodys"), "unknown_business_unit"),
            (("foreign",), "unknown_business_unit"),
            (("a", "archived"), "business_unit_archived"),
            (("many",), "invalid_field"),
        ],
    )
    def test_units_are_some_of_the_tenants_own_in_use(
        self, scene: Scene, stranger: Actor, units: tuple[str, ...], code: str
    ) -> None:
        world = scene.world
        archived = world.units.create(scene.admin, "old", "UTC").id
        world.units.archive(scene.admin, archived)
        known = {
            "a": (scene.a,),
            "nobodys": (new_id(),),
            "foreign": (world.units.create(stranger, "unit", "UTC").id,),
            "archived": (archived,),
            "many": tuple(new_id() for _ in range(51)),
            "x": ("x",),
        }
        key = world.key(scene.admin).view.id
        before = world.changes()
        with pytest.raises(InvalidInput) as caught:
            chosen = tuple(unit for name in units for unit in known[name])
            world.keys.set_roles(scene.admin, key, (scene.reader,), {scene.reader: chosen})
        assert (caught.value.code, caught.value.field, caught.value.status) == (code, "business_unit_ids", 422)
        assert world.changes() == before

    def test_units_are_given_only_for_roles_that_are_attached(self, scene: Scene) -> None:
        key = scene.key("reader").view.id
        for role_id in (scene.buyer, new_id(), "x"):
            with pytest.raises(InvalidInput) as caught:
                scene.world.keys.set_roles(scene.admin, key, (scene.reader,), {role_id: (scene.a,)})
            assert (caught.value.code, caught.value.field) == ("unknown_role", "business_unit_ids")

    def test_a_role_stays_attached_for_a_unit_that_is_archived_since(self, scene: Scene) -> None:
        key = scene.key(reader=(scene.a, scene.b)).view.id
        scene.world.units.archive(scene.admin, scene.a)
        view = scene.world.keys.set_roles(scene.admin, key, (scene.reader,), {scene.reader: (scene.a,)})
        assert view.roles[0].business_unit_ids == (scene.a,)
        with pytest.raises(InvalidInput):
            scene.world.keys.set_roles(
                scene.admin, key, (scene.reader, scene.buyer), {scene.reader: (scene.a,), scene.buyer: (scene.a,)}
            )

    def test_a_key_is_limited_to_no_archived_unit_anew(self, scene: Scene) -> None:
        key = scene.key("reader", limits=(scene.a, scene.b)).view.id
        scene.world.units.archive(scene.admin, scene.a)
        scene.world.keys.update(scene.admin, key, KeyChanges(business_unit_ids=(scene.a,)))
        for attempt in (
            lambda: scene.world.key(scene.admin, business_unit_ids=(scene.b, scene.a)),
            lambda: scene.world.keys.update(
                scene.admin, scene.key("reader").view.id, KeyChanges(business_unit_ids=(scene.a,))
            ),
        ):
            with pytest.raises(InvalidInput) as caught:
                attempt()
            assert (caught.value.code, caught.value.field) == ("business_unit_archived", "business_unit_ids")


class TestNobodyGrantsMore:
    """A caller who manages keys of the whole tenant, and reads orders in unit A only."""

    @pytest.fixture
    def caller(self, scene: Scene) -> Actor:
        return scene.caller("manager", reader=(scene.a,))

    def test_in_its_units_a_caller_grants_what_it_holds_there(self, scene: Scene, caller: Actor) -> None:
        for key in (scene.world.key(scene.admin), scene.world.key(scene.admin, business_unit_ids=(scene.a,))):
            view = scene.world.keys.set_roles(caller, key.view.id, (scene.reader,), {scene.reader: (scene.a,)})
            assert view.roles[0].business_unit_ids == (scene.a,)

    def test_elsewhere_it_grants_nothing_of_it(self, scene: Scene, caller: Actor) -> None:
        world, key = scene.world, scene.world.key(scene.admin).view.id
        of_b = world.key(scene.admin, business_unit_ids=(scene.b,)).view.id
        for call in (
            lambda: world.keys.set_roles(caller, key, (scene.reader,)),
            lambda: world.keys.set_roles(caller, key, (scene.reader,), {scene.reader: (scene.b,)}),
            lambda: world.keys.set_roles(caller, key, (scene.reader,), {scene.reader: (scene.a, scene.b)}),
            lambda: world.keys.set_roles(caller, of_b, (scene.reader,)),
        ):
            assert refused(call, world).permission == READ

    def test_a_key_within_its_units_may_hold_it_without_more_being_said(self, scene: Scene, caller: Actor) -> None:
        key = scene.world.key(scene.admin, business_unit_ids=(scene.a,)).view.id
        assert scene.world.keys.set_roles(caller, key, (scene.reader,)).roles[0].business_unit_ids is None

    def test_what_a_key_has_for_a_unit_is_not_widened(self, scene: Scene, caller: Actor) -> None:
        world, key = scene.world, scene.key(reader=(scene.a,)).view.id
        refused(lambda: world.keys.set_roles(caller, key, (scene.reader,), {scene.reader: (scene.a, scene.b)}), world)
        refused(lambda: world.keys.set_roles(caller, key, (scene.reader,)), world)

    def test_to_narrow_is_free(self, scene: Scene, caller: Actor) -> None:
        world, key = scene.world, scene.key("reader", "buyer").view.id
        roles = (scene.reader, scene.buyer)
        world.keys.set_roles(caller, key, roles, {scene.buyer: (scene.a, scene.b)})
        view = world.keys.set_roles(caller, key, roles, {scene.buyer: (scene.b,), scene.reader: (scene.b,)})
        assert [role.business_unit_ids for role in view.roles] == [(scene.b,), (scene.b,)]

    def test_a_key_that_reaches_further_is_neither_rotated_nor_enabled_nor_loosened(
        self, scene: Scene, caller: Actor
    ) -> None:
        world = scene.world
        same, further = scene.key(reader=(scene.a,)).view.id, scene.key(reader=(scene.b,)).view.id
        world.keys.rotate(caller, same)
        refused(lambda: world.keys.rotate(caller, further), world)
        world.keys.update(caller, further, KeyChanges(status="disabled"))
        refused(lambda: world.keys.update(caller, further, KeyChanges(status="enabled")), world)
        bound = scene.key("reader", limits=(scene.a,)).view.id
        refused(lambda: world.keys.update(caller, bound, KeyChanges(business_unit_ids=(scene.a, scene.b))), world)

    def test_a_role_that_gains_keeps_the_units_for_which_it_is_attached(self, scene: Scene) -> None:
        world = scene.world
        editor = world.role(scene.admin, "editor", "access.roles.update").id
        wider = RoleDraft(name="reader", permissions=(READ, CREATE))
        held = world.key(scene.admin)
        scopes = {scene.reader: (scene.a,), scene.buyer: (scene.a,)}
        world.keys.set_roles(scene.admin, held.view.id, (editor, scene.reader, scene.buyer), scopes)
        caller = world.caller(held.key)
        elsewhere = scene.key(reader=(scene.b,)).view.id
        refused(lambda: world.roles.update(caller, scene.reader, wider), world)
        world.keys.set_roles(scene.admin, elsewhere, (scene.reader,), {scene.reader: (scene.a,)})
        world.roles.update(caller, scene.reader, wider)
        view = world.keys.get(scene.admin, elsewhere)
        assert view.roles[0].business_unit_ids == (scene.a,)

    def test_an_issuers_ceiling_must_be_held_tenant_wide(self, scene: Scene) -> None:
        world = scene.world
        truster = world.role(scene.admin, "truster", "auth.issuers.create").id
        key = world.key(scene.admin)
        world.keys.set_roles(scene.admin, key.view.id, (truster, scene.reader), {scene.reader: (scene.a,)})
        caller = world.caller(key.key)
        refused(partial(world.trust, caller, world.issuer(), READ), world)
        world.keys.set_roles(scene.admin, key.view.id, (truster, scene.reader))
        world.trust(caller, world.issuer(), READ)

    def test_a_role_for_users_by_name_must_be_held_tenant_wide(self, scene: Scene) -> None:
        world = scene.world
        maker = world.role(scene.admin, "maker", "access.roles.create").id
        key = world.key(scene.admin)
        world.keys.set_roles(scene.admin, key.view.id, (maker, scene.reader), {scene.reader: (scene.a,)})
        caller = world.caller(key.key)
        world.role(caller, "before", READ)
        world.trust(scene.admin, world.issuer(), READ, claims=ClaimsMapping(roles="roles"))
        refused(lambda: world.role(caller, "after", READ), world)

    def test_a_role_is_made_only_of_what_is_held_somewhere(self, scene: Scene) -> None:
        maker = scene.world.role(scene.admin, "maker", "access.roles.create").id
        key = scene.world.key(scene.admin)
        scene.world.keys.set_roles(scene.admin, key.view.id, (maker, scene.reader), {scene.reader: (scene.a,)})
        caller = scene.world.caller(key.key)
        assert refused(lambda: scene.world.role(caller, "other", READ, CREATE), scene.world).permission == CREATE


class TestManagersOfUnits:
    """A caller who manages keys in unit A only, and reads orders everywhere."""

    @pytest.fixture
    def caller(self, scene: Scene) -> Actor:
        return scene.caller("reader", manager=(scene.a,))

    def test_it_makes_keys_of_its_units_only(self, scene: Scene, caller: Actor) -> None:
        world = scene.world
        assert world.keys.create(caller, NewKey(name="k", business_unit_ids=(scene.a,))).view.status == "enabled"
        for units in (None, (scene.b,), (scene.a, scene.b), (new_id(),)):
            refused(partial(world.keys.create, caller, NewKey(name="k", business_unit_ids=units)), world)

    def test_it_changes_keys_of_its_units_only(self, scene: Scene, caller: Actor) -> None:
        world = scene.world
        mine = world.key(scene.admin, business_unit_ids=(scene.a,)).view.id
        others = [world.key(scene.admin, business_unit_ids=units).view.id for units in (None, (scene.b,))]
        calls: list[Callable[[str], object]] = [
            lambda key: world.keys.update(caller, key, KeyChanges(name="renamed")),
            lambda key: world.keys.set_roles(caller, key, (scene.reader,)),
            lambda key: world.keys.rotate(caller, key),
            lambda key: world.keys.end_grace(caller, key),
            lambda key: world.keys.delete(caller, key),
        ]
        for call in calls:
            for other in others:
                refused(partial(call, other), world)
            call(mine)

    def test_it_takes_no_key_out_of_its_units(self, scene: Scene, caller: Actor) -> None:
        world, key = scene.world, scene.key("reader", limits=(scene.a,)).view.id
        for units in (None, (scene.b,), (scene.a, scene.b)):
            refused(partial(world.keys.update, caller, key, KeyChanges(business_unit_ids=units)), world)

    def test_it_attaches_for_no_other_units_whether_or_not_they_exist(self, scene: Scene, caller: Actor) -> None:
        world, key = scene.world, scene.key(limits=(scene.a,)).view.id
        for unit in (scene.b, new_id()):
            refused(partial(world.keys.set_roles, caller, key, (scene.reader,), {scene.reader: (unit,)}), world)
        world.keys.set_roles(caller, key, (scene.reader,), {scene.reader: (scene.a,)})

    def test_a_permission_beyond_the_limits_of_the_key_is_none(self, scene: Scene) -> None:
        caller = scene.caller("reader", limits=(scene.b,), manager=(scene.a,))
        with pytest.raises(Forbidden) as caught:
            scene.world.keys.create(caller, NewKey(name="k", business_unit_ids=(scene.b,)))
        assert (caught.value.code, caught.value.permission) == ("permission_missing", "api-key.keys.create")

    def test_what_is_the_whole_tenants_is_not_its_to_change(self, scene: Scene) -> None:
        world, admin = scene.world, scene.admin
        trusted = world.trust(admin, world.issuer(), READ)
        role = world.role_id(admin, "admin")
        key = world.key(admin)
        world.keys.set_roles(admin, key.view.id, (role,), {role: (scene.a,)})
        caller = world.caller(key.key)
        refused(partial(world.trust, caller, world.issuer("https://other.test")), world)
        world.keys.set_roles(admin, key.view.id, (role, world.role(admin, "all reads", READ).id), {role: (scene.a,)})
        refused(partial(world.trust, caller, world.issuer("https://other.test"), READ), world)
        refused(lambda: world.issuers.delete(caller, trusted.id), world)
        refused(lambda: world.issuers.update(caller, trusted.id, IssuerChanges(status="disabled")), world)
        refused(lambda: world.units.create(caller, "C", "UTC"), world)

    def test_it_edits_a_role_that_is_attached_in_its_units_only(self, scene: Scene) -> None:
        world, admin = scene.world, scene.admin
        editor = world.role(admin, "editor", "access.roles.update").id
        key = world.key(admin)
        world.keys.set_roles(admin, key.view.id, (editor,), {editor: (scene.a,)})
        caller, narrower = world.caller(key.key), RoleDraft(name="reader")
        target = scene.key(reader=(scene.b,)).view.id
        refused(lambda: world.roles.update(caller, scene.reader, narrower), world)
        world.keys.set_roles(admin, target, (scene.reader,), {scene.reader: (scene.a,)})
        assert world.roles.update(caller, scene.reader, narrower).permissions == ()

    def test_it_revokes_the_tokens_of_keys_of_its_units_only(self, scene: Scene, admin: Actor) -> None:
        world = scene.world
        world.begin_tokens()
        revoker = world.role(admin, "revoker", "auth.tokens.revoke").id
        key = world.key(admin)
        world.keys.set_roles(admin, key.view.id, (revoker,), {revoker: (scene.a,)})
        caller = world.caller(key.key)
        for units, allowed in (((scene.a,), True), ((scene.b,), False), (None, False)):
            token = world.token(scene.key("reader", limits=units).key)
            revoke = partial(world.tokens.revoke, caller, world.token_authenticator.own_claims(token))
            if allowed:
                revoke()
            else:
                refused(revoke, world)


class TestTokens:
    @pytest.fixture(autouse=True)
    def begin(self, world: World) -> None:
        world.begin_tokens()

    def test_a_token_holds_what_its_key_holds_where_it_does(self, scene: Scene) -> None:
        key = scene.key("buyer", reader=(scene.a,))
        principal = scene.world.proven(scene.world.token(key.key)).principal
        assert (dict(principal.grants), {READ: {scene.a: "role:reader"}}) == (
            {CREATE: "role:buyer"},
            {name: dict(units) for name, units in principal.scoped.items()},
        )

    def test_a_narrower_token_holds_less(self, scene: Scene) -> None:
        key = scene.key("buyer", reader=(scene.a,))
        assert scene.world.proven(scene.world.token(key.key, CREATE)).principal.scoped == {}
        narrow = scene.world.proven(scene.world.token(key.key, READ)).principal
        assert (narrow.grants, narrow.held) == ({}, [READ])
        with pytest.raises(InvalidInput):
            scene.world.token(key.key, "shop.customers.read")

    def test_it_follows_its_key(self, scene: Scene) -> None:
        key = scene.key(reader=(scene.a, scene.b))
        token = scene.world.token(key.key)
        scene.world.keys.set_roles(scene.admin, key.view.id, (scene.reader,), {scene.reader: (scene.b,)})
        assert scene.world.proven(token).principal.scoped[READ].keys() == {scene.b}
        scene.world.keys.set_roles(scene.admin, key.view.id, ())
        assert scene.world.proven(token).principal.held == []

    def test_a_token_grants_no_more_than_its_key(self, scene: Scene) -> None:
        world = scene.world
        caller = world.caller(world.token(scene.key("manager", reader=(scene.a,)).key))
        target = world.key(scene.admin).view.id
        refused(lambda: world.keys.set_roles(caller, target, (scene.reader,)), world)
        world.keys.set_roles(caller, target, (scene.reader,), {scene.reader: (scene.a,)})
        narrow = world.caller(world.token(scene.key("manager", reader=(scene.a,)).key, " ".join(MANAGE)))
        other = world.key(scene.admin).view.id
        refused(lambda: world.keys.set_roles(narrow, other, (scene.reader,), {scene.reader: (scene.a,)}), world)

    def test_a_user_through_a_key_is_bounded_by_the_units_of_the_key(self, scene: Scene) -> None:
        world = scene.world
        issuer = self.trusted(scene)
        client = scene.key("buyer", "manager", reader=(scene.a,))
        token = world.exchanged(client.key, issuer.token(permissions=[READ, CREATE, *MANAGE]))
        principal = world.proven(token).principal
        assert principal.scoped == {READ: {scene.a: "claim:permissions"}}
        assert principal.grants.keys() == {CREATE, *MANAGE}
        target = world.key(scene.admin).view.id
        refused(lambda: world.keys.set_roles(world.caller(token), target, (scene.reader,)), world)
        world.keys.set_roles(world.caller(token), target, (scene.reader,), {scene.reader: (scene.a,)})

    def test_what_the_exchanging_key_has_lost_since_the_user_has_lost(self, scene: Scene) -> None:
        world = scene.world
        issuer = self.trusted(scene)
        client = scene.key("reader")
        token = world.exchanged(client.key, issuer.token(permissions=[READ]))
        assert world.proven(token).principal.may(READ)
        world.keys.set_roles(scene.admin, client.view.id, (scene.reader,), {scene.reader: (scene.a,)})
        principal = world.proven(token).principal
        assert (principal.grants, principal.scoped) == ({}, {READ: {scene.a: "claim:permissions"}})

    def trusted(self, scene: Scene) -> FakeIssuer:
        issuer = scene.world.issuer()
        scene.world.trust(scene.admin, issuer, READ, CREATE, *MANAGE)
        return issuer


def test_what_a_caller_has_lost_in_a_unit_since_it_was_let_in_it_cannot_use(scene: Scene) -> None:
    world = scene.world
    created = scene.key(manager=(scene.a, scene.b))
    caller = world.caller(created.key)
    key = world.key(scene.admin, business_unit_ids=(scene.b,)).view.id
    world.keys.set_roles(scene.admin, created.view.id, (scene.manager,), {scene.manager: (scene.a,)})
    with pytest.raises(HatchPayError):
        world.keys.delete(caller, key)
