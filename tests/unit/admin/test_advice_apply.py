"""Applying advice takes away what was not used, nothing that was, and gives nobody anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.directory import SERVED, START, World, fresh_directory
from tests.support.observed import DAY, Observed

from hatchpay.access.directory import KeyRow, PolicyRow, RoleRow
from hatchpay.access.permission import CONTROL_PERMISSIONS
from hatchpay.admin.advice_views import AdviceWish, AppliedAdvice
from hatchpay.admin.views import Actor, KeyView, Onboarded
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput, NotFound, Unauthenticated
from hatchpay.identity.principal import RateLimit
from hatchpay.ids import new_id

READ = "shop.orders.read"
CREATE = "shop.orders.create"
CUSTOMERS = "shop.customers.read"
ROLES = "access.roles.read"
NEEDED = ("access.advice.apply", "access.roles.create", "access.roles.update", "api-key.key-roles.update")
AGE = 100


class Scene(Observed):
    """A tenant of a hundred days with a key that holds the roles `viewer` and `admin`, and has used two calls."""

    def __init__(self, world: World, demo: Onboarded, folder: Path) -> None:
        super().__init__(world, demo.tenant.id, folder)
        self.admin = world.admin(demo)
        self.first_id = demo.api_key.view.id
        self.key = self.holding("viewer", "admin")
        world.clock.now = START + AGE * DAY
        self.begin(AGE)
        self.use_often(self.key.id, READ, 20)
        self.use_often(self.key.id, CREATE, 5)

    def holding(self, *names: str) -> KeyView:
        return self.world.key(self.admin, *(self.world.role_id(self.admin, name) for name in names)).view

    def apply(self, actor: Actor | None = None, **wish: Any) -> AppliedAdvice:
        return self.advice.apply(actor or self.admin, AdviceWish(**wish))

    def refused(self, actor: Actor | None = None, **wish: Any) -> HatchPayError:
        """The refusal, which must have changed nothing."""
        before = self.state()
        with pytest.raises(HatchPayError) as caught:
            self.apply(actor, **wish)
        assert self.state() == before
        return caught.value

    def row(self, key_id: str) -> KeyRow:
        with self.world.directory.read() as view:
            row = view.key(self.tenant_id, key_id)
        assert row is not None
        return row

    def role_row(self, role_id: str) -> RoleRow:
        with self.world.directory.read() as view:
            row = view.role(self.tenant_id, role_id)
        assert row is not None
        return row

    def held(self, key_id: str) -> set[str]:
        return {name for role_id in self.row(key_id).role_ids for name in self.role_row(role_id).permissions}

    def save_role(self, role_id: str, **changes: Any) -> None:
        with self.world.directory.transaction() as transaction:
            transaction.save_role(msgspec.structs.replace(self.role_row(role_id), **changes))

    def attach(self, key_id: str, role_units: dict[str, frozenset[str]]) -> None:
        """Attach these roles for these business units, and keep the others for the whole tenant."""
        row = self.row(key_id)
        with self.world.directory.transaction() as transaction:
            transaction.save_key(
                msgspec.structs.replace(row, role_ids=row.role_ids | role_units.keys(), role_units=role_units)
            )

    def state(self) -> list[str]:
        with self.world.directory.connection() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            return list(driver.iterdump())


@pytest.fixture
def scene(world: World, demo: Onboarded, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(world, demo, tmp_path)
    yield scene
    scene.close()


class TestBeforeTheWalk:
    @pytest.mark.parametrize("lacking", NEEDED[0:1] + NEEDED[2:])
    def test_who_may_not_apply_is_refused(self, scene: Scene, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
        def never(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr("hatchpay.admin.advice.observe", never)
        held = [one.name for one in scene.world.permissions.list(scene.admin, 200).data]
        role = scene.world.role(scene.admin, "nearly all", *(name for name in held if name != lacking))
        caller = scene.world.actor(scene.world.key(scene.admin, role.id), scene.tenant_id)
        wish = {"role_id": role.id} if lacking == "access.roles.update" else {"key_id": scene.key.id}
        refusal = scene.refused(caller, **wish)
        assert isinstance(refusal, Forbidden)
        assert refusal.permission == lacking


class TestOnAKey:
    def test_a_role_with_exactly_what_was_used_takes_the_place_of_all_others(self, scene: Scene) -> None:
        done = scene.apply(key_id=scene.key.id)
        assert scene.held(scene.key.id) == {READ, CREATE}
        assert [role.name for role in scene.world.keys.get(scene.admin, scene.key.id).roles] == [
            "some key (least privilege)"
        ]
        everything = len(CONTROL_PERMISSIONS) + len(SERVED)
        assert (done.created, done.permissions_before, done.permissions_after) == (True, everything, 2)
        assert done.role.permissions == (CREATE, READ)
        assert CUSTOMERS in done.removed
        assert len(done.removed) == everything - 2

    def test_it_is_recorded_as_a_role_made_and_the_roles_of_a_key_set(self, scene: Scene) -> None:
        done = scene.apply(key_id=scene.key.id)
        made, attached = scene.world.changes()[-2:]
        assert (made.event, made.subject_id) == ("access.roles.created", done.role.id)
        assert (attached.event, attached.subject_id) == ("api-key.keys.roles_set", scene.key.id)
        detail = json.loads(attached.detail)
        assert [role["name"] for role in detail["before"]["roles"]] == ["admin", "viewer"]
        assert [role["id"] for role in detail["after"]["roles"]] == [done.role.id]

    def test_an_existing_role_that_fits_exactly_is_used(self, scene: Scene) -> None:
        till = scene.world.role(scene.admin, "till", READ, CREATE)
        done = scene.apply(key_id=scene.key.id)
        assert (done.created, done.role.id) == (False, till.id)
        assert scene.row(scene.key.id).role_ids == {till.id}

    def test_a_role_that_was_chosen_is_used_though_it_holds_more(self, scene: Scene) -> None:
        more = scene.world.role(scene.admin, "more", READ, CREATE, CUSTOMERS)
        assert scene.apply(key_id=scene.key.id, role_id=more.id).permissions_after == 3
        assert scene.held(scene.key.id) == {READ, CREATE, CUSTOMERS}

    def test_a_second_time_there_is_nothing_left(self, scene: Scene) -> None:
        scene.apply(key_id=scene.key.id)
        assert scene.refused(key_id=scene.key.id).code == "nothing_to_apply"

    def test_a_key_that_did_nothing_gets_no_empty_role_but_may_get_one_that_is_named(self, scene: Scene) -> None:
        idle = scene.holding("gl")
        scene.world.clock.now += 40 * DAY
        assert scene.refused(key_id=idle.id).code == "nothing_to_apply"
        viewer = scene.world.role_id(scene.admin, "viewer")
        assert scene.apply(key_id=idle.id, role_id=viewer).role.name == "viewer"

    def test_what_is_used_while_the_record_is_read_is_not_taken_away(self, scene: Scene) -> None:
        """The second look finds what came after the first: here a slow request, recorded only then."""
        first = scene.advice._changes.by

        begun = 0

        def by(*arguments: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun == 2:
                # The first transaction only asks whether the caller may; the walk comes after it.
                scene.use(scene.key.id, CUSTOMERS, 0.0003)
            return first(*arguments)

        scene.advice._changes.by = by  # type: ignore[method-assign]
        refusal = scene.refused(key_id=scene.key.id)
        assert (refusal.code, refusal.permission) == ("advice_breaks_use", CUSTOMERS)
        scene.advice._changes.by = first  # type: ignore[method-assign]
        assert scene.apply(key_id=scene.key.id).role.permissions == (CUSTOMERS, CREATE, READ)

    def test_a_chosen_role_without_something_that_was_used_is_refused_by_its_name(self, scene: Scene) -> None:
        viewer = scene.world.role_id(scene.admin, "viewer")
        refusal = scene.refused(key_id=scene.key.id, role_id=viewer, force=True)
        assert (refusal.code, refusal.permission, refusal.status) == ("advice_breaks_use", CREATE, 409)

    def test_a_chosen_role_with_more_than_the_key_holds_is_refused(self, scene: Scene) -> None:
        narrow = scene.world.key(scene.admin, scene.world.role(scene.admin, "two", READ, CREATE).id).view
        other = scene.world.role(scene.admin, "other", READ, CUSTOMERS)
        scene.use_often(narrow.id, READ, 20)
        refusal = scene.refused(key_id=narrow.id, role_id=other.id, force=True)
        assert (refusal.code, refusal.permission) == ("advice_grants_more", CUSTOMERS)

    def test_little_observation_is_refused_unless_forced(self, scene: Scene) -> None:
        fresh = scene.holding("admin")
        scene.use_often(fresh.id, READ, 20, 0.001)
        assert scene.refused(key_id=fresh.id).code == "observation_too_short"
        assert scene.refused(key_id=scene.key.id, days=6).code == "observation_too_short"
        assert scene.apply(key_id=fresh.id, force=True).confidence == "low"
        assert scene.held(fresh.id) == {READ}

    def test_the_last_administrator_stays_one(self, scene: Scene) -> None:
        scene.apply(key_id=scene.key.id)
        scene.use_often(scene.first_id, READ, 20)
        assert scene.refused(key_id=scene.first_id).code == "last_administrator"


class TestScopes:
    def test_the_units_for_which_all_roles_were_attached_are_kept(self, scene: Scene) -> None:
        unit = scene.world.units.create(scene.admin, "here", "UTC").id
        both = {role_id: frozenset({unit}) for role_id in scene.row(scene.key.id).role_ids}
        scene.attach(scene.key.id, both)
        done = scene.apply(key_id=scene.key.id)
        assert scene.row(scene.key.id).role_units == {done.role.id: frozenset({unit})}

    def test_roles_for_different_units_are_left_alone(self, scene: Scene) -> None:
        unit = scene.world.units.create(scene.admin, "here", "UTC").id
        scene.attach(scene.key.id, {scene.world.role_id(scene.admin, "admin"): frozenset({unit})})
        assert scene.refused(key_id=scene.key.id).code == "advice_scopes_differ"


class TestLimitsAndPolicies:
    LIMIT = RateLimit(10, 60)

    def test_the_rate_limits_of_the_roles_come_along(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "limited", READ, CREATE, CUSTOMERS)
        scene.save_role(role.id, rate_limits=(self.LIMIT,))
        key = scene.world.key(scene.admin, role.id).view
        scene.world.clock.now += 8 * DAY
        scene.use_often(key.id, READ, 20)
        done = scene.apply(key_id=key.id)
        assert scene.role_row(done.role.id).rate_limits == (self.LIMIT,)

    def test_a_chosen_role_without_them_is_refused(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "limited", READ, CREATE)
        scene.save_role(role.id, rate_limits=(self.LIMIT,))
        free = scene.world.role(scene.admin, "free", READ)
        key = scene.world.key(scene.admin, role.id).view
        scene.use_often(key.id, READ, 20)
        assert scene.refused(key_id=key.id, role_id=free.id, force=True).code == "advice_grants_more"

    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            ((RateLimit(5, 60),), "advice_limits_more"),
            ((RateLimit(10, 60), RateLimit(100, 3600)), "advice_limits_more"),
            ((RateLimit(11, 60),), "advice_grants_more"),
            ((RateLimit(1, 3600),), "advice_grants_more"),
        ],
    )
    def test_a_chosen_role_with_other_ones_is_refused(
        self, scene: Scene, limits: tuple[RateLimit, ...], code: str
    ) -> None:
        role = scene.world.role(scene.admin, "limited", READ, CREATE)
        scene.save_role(role.id, rate_limits=(self.LIMIT,))
        other = scene.world.role(scene.admin, "other", READ)
        scene.save_role(other.id, rate_limits=limits)
        key = scene.world.key(scene.admin, role.id).view
        scene.use_often(key.id, READ, 20)
        assert scene.refused(key_id=key.id, role_id=other.id, force=True).code == code

    def test_what_was_not_limited_stays_so(self, scene: Scene) -> None:
        fitting = scene.world.role(scene.admin, "fitting", READ, CREATE)
        scene.save_role(fitting.id, rate_limits=(self.LIMIT,))
        assert scene.refused(key_id=scene.key.id, role_id=fitting.id).code == "advice_limits_more"
        done = scene.apply(key_id=scene.key.id)
        assert (done.created, done.role.rate_limits) == (True, ())

    def test_of_two_limits_for_one_window_the_stricter_counts(self, scene: Scene) -> None:
        names = {"loose": (RateLimit(20, 60), READ, CUSTOMERS), "strict": (self.LIMIT, CREATE)}
        roles = []
        for name, (limit, *permissions) in names.items():
            roles.append(scene.world.role(scene.admin, name, *permissions).id)
            scene.save_role(roles[-1], rate_limits=(limit,))
        fitting = scene.world.role(scene.admin, "fitting", READ)
        scene.save_role(fitting.id, rate_limits=(self.LIMIT,))
        key = scene.world.key(scene.admin, *roles).view
        scene.use_often(key.id, READ, 20)
        done = scene.apply(key_id=key.id, force=True)
        assert (done.created, done.role.id) == (False, fitting.id)

    def test_a_reduced_role_keeps_its_own(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "limited", READ, CREATE)
        scene.save_role(role.id, rate_limits=(self.LIMIT,))
        key = scene.world.key(scene.admin, role.id).view
        scene.use_often(key.id, READ, 20)
        scene.apply(role_id=role.id, force=True)
        assert scene.role_row(role.id).rate_limits == (self.LIMIT,)

    @pytest.mark.parametrize("name", ["viewer", "till"])
    def test_a_role_that_a_policy_names_is_neither_lost_nor_got(self, scene: Scene, name: str) -> None:
        till = scene.world.role(scene.admin, "till", READ, CREATE)
        named = till.id if name == "till" else scene.world.role_id(scene.admin, name)
        text = f'forbid (principal in Role::"{named}", action, resource);'
        with scene.world.directory.transaction() as transaction:
            transaction.add_policy(
                PolicyRow(id=new_id(), tenant_id=scene.tenant_id, name="p", text=text, created_us=0, updated_us=0)
            )
        assert scene.refused(key_id=scene.key.id).code == "advice_changes_policy"

    @pytest.mark.parametrize(
        ("text", "refused"),
        [
            ('forbid (principal in Role::"{escaped}", action, resource);', True),
            ('forbid (principal, action, resource) when {{ principal in Role::"{escaped}" }};', True),
            ("this cannot be read", True),
            ('forbid (principal == ApiKey::"{plain}", action, resource); // {plain}', False),
        ],
    )
    def test_a_role_is_named_by_what_a_policy_means_not_by_how_it_is_written(
        self, scene: Scene, text: str, refused: bool
    ) -> None:
        viewer = scene.world.role_id(scene.admin, "viewer")
        written = text.format(plain=viewer, escaped="".join(f"\\u{{{ord(letter):x}}}" for letter in viewer))
        with scene.world.directory.transaction() as transaction:
            transaction.add_policy(
                PolicyRow(id=new_id(), tenant_id=scene.tenant_id, name="p", text=written, created_us=0, updated_us=0)
            )
        if refused:
            assert scene.refused(key_id=scene.key.id).code == "advice_changes_policy"
        else:
            assert scene.apply(key_id=scene.key.id).created


class TestOnARole:
    def test_a_custom_role_is_reduced_to_what_its_holders_used(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "shop", READ, CREATE, CUSTOMERS, ROLES)
        first, second = (scene.world.key(scene.admin, role.id).view for _ in range(2))
        scene.world.clock.now += 8 * DAY
        scene.use_often(first.id, READ, 10)
        scene.use_often(second.id, CREATE, 10)
        done = scene.apply(role_id=role.id)
        assert (done.key_id, done.created, done.removed) == (None, False, (ROLES, CUSTOMERS))
        assert scene.held(first.id) == scene.held(second.id) == {READ, CREATE}
        assert scene.role_row(role.id).name == "shop"
        assert scene.world.last_change().event == "access.roles.updated"
        assert scene.refused(role_id=role.id).code == "nothing_to_apply"

    def test_what_users_of_issuers_used_stays(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "shop", READ, CREATE, CUSTOMERS)
        at = scene.world.clock.now - DAY
        scene.write(at, CUSTOMERS, issuer_id=new_id(), principal_id="user:ann", roles=("shop",))
        assert scene.apply(role_id=role.id, force=True).role.permissions == (CUSTOMERS,)

    def test_little_observation_and_no_use_and_built_in_roles_are_refused(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "shop", READ, CREATE)
        assert scene.refused(role_id=role.id, force=True).code == "nothing_to_apply"
        key = scene.world.key(scene.admin, role.id).view
        scene.use_often(key.id, READ, 20)
        assert scene.refused(role_id=role.id).code == "observation_too_short"
        builtin = scene.world.role_id(scene.admin, "viewer")
        assert scene.refused(role_id=builtin, force=True).code == "builtin_role"

    def test_what_is_used_while_the_record_is_read_is_not_taken_away(self, scene: Scene) -> None:
        role = scene.world.role(scene.admin, "shop", READ, CREATE)
        key = scene.world.key(scene.admin, role.id).view
        scene.use_often(key.id, READ, 20)
        first = scene.advice._changes.by

        def by(*arguments: Any) -> Any:
            scene.use(key.id, CREATE, 0)
            return first(*arguments)

        scene.advice._changes.by = by  # type: ignore[method-assign]
        refusal = scene.refused(role_id=role.id, force=True)
        assert (refusal.code, refusal.permission) == ("advice_breaks_use", CREATE)


class TestWhoMay:
    def test_nobody_applies_without_all_that_it_does(self, scene: Scene) -> None:
        world, holds = scene.world, {*NEEDED, READ, CREATE}
        role = world.role(scene.admin, "shop", READ, CREATE, CUSTOMERS)
        user = world.key(scene.admin, role.id).view
        scene.use_often(user.id, READ, 20)
        for missing in NEEDED:
            actor = world.caller(world.key(scene.admin, world.role(scene.admin, missing, *(holds - {missing})).id).key)
            wish = {"role_id": role.id} if missing == "access.roles.update" else {"key_id": scene.key.id}
            refusal = scene.refused(actor, **wish, force=True)
            assert (type(refusal), refusal.permission) == (Forbidden, missing)

    def test_attaching_an_existing_role_does_not_need_to_make_one(self, scene: Scene) -> None:
        scene.world.role(scene.admin, "till", READ, CREATE)
        holds = {"access.advice.apply", "api-key.key-roles.update", READ, CREATE}
        actor = scene.world.caller(scene.world.key(scene.admin, scene.world.role(scene.admin, "helper", *holds).id).key)
        assert scene.apply(actor, key_id=scene.key.id).role.name == "till"

    def test_nobody_gives_with_it_what_they_do_not_hold(self, scene: Scene) -> None:
        actor = scene.world.caller(
            scene.world.key(scene.admin, scene.world.role(scene.admin, "helper", *NEEDED, READ).id).key
        )
        refusal = scene.refused(actor, key_id=scene.key.id)
        assert (refusal.code, refusal.permission) == ("grant_exceeds_caller", CREATE)
        scene.world.role(scene.admin, "till", READ, CREATE)
        refusal = scene.refused(actor, key_id=scene.key.id)
        assert (refusal.code, refusal.permission) == ("grant_exceeds_caller", CREATE)

    def test_a_caller_of_chosen_units_applies_it_to_keys_of_those(self, scene: Scene) -> None:
        world = scene.world
        here = world.units.create(scene.admin, "here", "UTC").id
        everything = world.role_id(scene.admin, "admin")
        mine = world.key(scene.admin, everything, business_unit_ids=(here,)).view
        manager = world.caller(world.key(scene.admin, everything, business_unit_ids=(here,)).key)
        scene.use_often(mine.id, READ, 20)
        assert scene.refused(manager, key_id=scene.key.id).code == "grant_exceeds_caller"
        role = world.role(scene.admin, "shop", READ, CREATE)
        key = world.key(scene.admin, role.id).view
        scene.use_often(key.id, READ, 20)
        assert scene.refused(manager, role_id=role.id, force=True).code == "grant_exceeds_caller"
        assert scene.apply(manager, key_id=mine.id, force=True).role.permissions == (READ,)

    def test_a_role_that_users_of_an_issuer_could_name_takes_a_caller_of_the_whole_tenant(self, scene: Scene) -> None:
        world = scene.world
        here = world.units.create(scene.admin, "here", "UTC").id
        everything = world.role_id(scene.admin, "admin")
        mine = world.key(scene.admin, everything, business_unit_ids=(here,)).view
        manager = world.caller(world.key(scene.admin, everything, business_unit_ids=(here,)).key)
        scene.use_often(mine.id, READ, 20)
        world.trust(scene.admin, world.issuer(), READ)
        assert scene.refused(manager, key_id=mine.id, force=True).code == "grant_exceeds_caller"
        assert scene.apply(key_id=mine.id, force=True).role.permissions == (READ,)

    def test_a_caller_whose_key_was_disabled_changes_nothing(self, scene: Scene) -> None:
        helper = scene.world.key(scene.admin, scene.world.role_id(scene.admin, "admin"))
        actor = scene.world.caller(helper.key)
        scene.world.keys.delete(scene.admin, helper.view.id)
        with pytest.raises(Unauthenticated):
            scene.apply(actor, key_id=scene.key.id)

    def test_what_is_not_there_or_not_said_is_refused(self, scene: Scene, stranger: Actor) -> None:
        assert isinstance(scene.refused(stranger, key_id=scene.key.id), NotFound)
        assert isinstance(scene.refused(key_id=new_id()), NotFound)
        assert isinstance(scene.refused(role_id=new_id()), NotFound)
        unknown = scene.refused(key_id=scene.key.id, role_id=new_id())
        assert (unknown.code, unknown.field) == ("unknown_role", "role_id")
        for wish in ({}, {"key_id": "x"}, {"role_id": "x"}, {"key_id": scene.key.id, "days": 366}):
            assert isinstance(scene.refused(**wish), InvalidInput)


EVERY = [READ, CREATE, CUSTOMERS, ROLES, "api-key.keys.update"]
some = st.sets(st.sampled_from(EVERY))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(held=st.lists(some, min_size=1, max_size=3), used=some, others=st.lists(some, max_size=3), chosen=st.booleans())
def test_nobody_gains_anything_and_nobody_loses_what_was_used(
    tmp_path_factory: pytest.TempPathFactory, held: list[set[str]], used: set[str], others: list[set[str]], chosen: bool
) -> None:
    world = World(fresh_directory())
    scene = Scene(world, world.onboard("Demo"), tmp_path_factory.mktemp("ledger"))
    mine = [world.role(scene.admin, f"mine {number}", *permissions) for number, permissions in enumerate(held)]
    more = [world.role(scene.admin, f"other {number}", *permissions) for number, permissions in enumerate(others)]
    key = world.key(scene.admin, *(role.id for role in mine)).view
    for permission in sorted(used):
        scene.use(key.id, permission, 1)
    before = scene.held(key.id)
    try:
        scene.apply(key_id=key.id, role_id=more[0].id if chosen and more else None, force=True)
    except Conflict:
        assert scene.held(key.id) == before
    else:
        assert used & before <= scene.held(key.id) < before
        if not (chosen and more):
            assert scene.held(key.id) == used & before
    scene.close()
    world.close()
