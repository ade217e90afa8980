"""Who is explained to whom: keys and users of the caller's tenant, as the directory knows them now."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.directory import HOUR, SECOND, START, World

from hatchpay.access.explain import Step
from hatchpay.access.routes import Route, RouteTable, UnitSource
from hatchpay.admin.explain import Explanations
from hatchpay.admin.explain_views import Circumstances, ExplanationView, Question
from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.views import Actor, CreatedKey, KeyChanges
from hatchpay.audit.ports import HistoryFilter, HistoryPage
from hatchpay.errors import InvalidInput, NotFound
from hatchpay.gate.reading import GateReading
from hatchpay.ids import new_id

READ, CREATE, CUSTOMERS = "shop.orders.read", "shop.orders.create", "shop.customers.read"
HANDLER = (UnitSource("handler"),)
ROUTES = RouteTable(
    [
        Route(method="GET", template="/orders", permission=READ, unit=HANDLER),
        Route(method="POST", template="/orders", permission=CREATE, unit=(UnitSource.parse("body:unit"),)),
        Route(method="GET", template="/customers", permission=CUSTOMERS, unit=HANDLER),
    ]
)


class FakeHistory:
    """Has `records`, whatever is asked; `asked` are the conditions so far."""

    def __init__(self) -> None:
        self.records: list[dict[str, object]] = []
        self.asked: list[HistoryFilter] = []

    def page(self, wanted: HistoryFilter, limit: int) -> HistoryPage:
        self.asked.append(wanted)
        return HistoryPage(self.records[:limit], None)


class Shop:
    def __init__(self, world: World) -> None:
        self.world = world
        self.history = FakeHistory()
        self.explanations = Explanations(
            world.directory,
            lambda: world.snapshots.current,
            lambda: world.snapshots.rules,
            ROUTES,
            GateReading(),
            self.history,
            world.clock,
        )

    def ask(
        self, actor: Actor, principal: str, call: str = "GET /orders", body: bytes | None = None, **context: Any
    ) -> ExplanationView:
        self.world.snapshots.refresh()
        method, _, path = call.partition(" ")
        question = Question(principal=principal, method=method, path=path, body=body, context=Circumstances(**context))
        return self.explanations.ask(actor, question)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


@pytest.fixture
def clerk(world: World, admin: Actor) -> CreatedKey:
    """Reads orders, and nothing else."""
    return world.key(admin, world.role(admin, "clerk", READ).id)


def credential(found: ExplanationView) -> Step:
    return found.trace[1]


def test_a_key_is_explained_by_its_roles(shop: Shop, admin: Actor, clerk: CreatedKey) -> None:
    found = shop.ask(admin, clerk.view.id)
    assert (found.decision, found.reason, found.rule) == ("allow", "role_grants", "role:clerk")
    assert (found.missing, found.roles_that_grant) == (None, ())


def test_head_is_explained_as_its_get(shop: Shop, admin: Actor, clerk: CreatedKey) -> None:
    assert shop.ask(admin, clerk.view.id, "HEAD /orders").rule == "role:clerk"


def test_a_method_that_nobody_lists_is_a_route_that_is_not_listed(shop: Shop, admin: Actor, clerk: CreatedKey) -> None:
    assert shop.ask(admin, clerk.view.id, "PURGE /orders").reason == "route_not_listed"


def test_what_is_missing_comes_with_the_roles_that_hold_it_by_how_much_more_they_give(
    world: World, shop: Shop, admin: Actor, clerk: CreatedKey
) -> None:
    both = world.role(admin, "both", READ, CREATE)
    three = world.role(admin, "three", CREATE, READ, CUSTOMERS)
    found = shop.ask(admin, clerk.view.id, "POST /orders")
    assert (found.reason, found.missing) == ("permission_missing", CREATE)
    # `both` gives nothing that the clerk has not but the missing one, `three` customers besides.
    named = [(role.id, role.name, role.more_permissions) for role in found.roles_that_grant]
    assert named[:2] == [(both.id, "both", 0), (three.id, "three", 1)]
    assert {name for _, name, _ in named[2:]} == {"gl", "admin"}
    assert [more for *_, more in named] == sorted(more for *_, more in named)


def test_a_tenant_of_many_roles_has_all_of_them_looked_at(
    world: World, shop: Shop, admin: Actor, clerk: CreatedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hatchpay.admin.paging._AT_ONCE", 2)
    world.role(admin, "the last", CREATE)
    assert shop.ask(admin, clerk.view.id, "POST /orders").roles_that_grant[0].name == "the last"


def test_the_unit_is_read_from_the_body_that_would_be_sent(world: World, shop: Shop, admin: Actor) -> None:
    units = [world.units.create(admin, name, "Europe/Zurich").id for name in ("Zurich", "Basel")]
    key = world.key(admin, world.role(admin, "till", CREATE).id, business_unit_ids=(units[0],))
    bodies = {None: "business_unit_missing", units[0]: "role_grants", units[1]: "business_unit_not_allowed"}
    for unit, reason in bodies.items():
        body = None if unit is None else f'{{"unit": "{unit}"}}'.encode()
        found = shop.ask(admin, key.view.id, "POST /orders", body)
        assert (found.reason, found.roles_that_grant) == (reason, ())


def test_to_whoever_holds_it_for_another_unit_no_role_is_recommended(world: World, shop: Shop, admin: Actor) -> None:
    units = [world.units.create(admin, name, "Europe/Zurich").id for name in ("Zurich", "Basel")]
    till = world.role(admin, "till", CREATE).id
    key = world.key(admin).view
    world.keys.set_roles(admin, key.id, (till,), {till: (units[0],)})
    found = shop.ask(admin, key.id, "POST /orders", f'{{"unit": "{units[1]}"}}'.encode())
    assert (found.reason, found.missing, found.roles_that_grant) == ("business_unit_not_allowed", CREATE, ())


class TestKeys:
    def test_that_of_another_tenant_is_not_there(self, shop: Shop, stranger: Actor, clerk: CreatedKey) -> None:
        with pytest.raises(NotFound) as foreign:
            shop.ask(stranger, clerk.view.id)
        with pytest.raises(NotFound) as nobodys:
            shop.ask(stranger, new_id())
        assert foreign.value.detail == nobodys.value.detail

    def test_a_caller_of_chosen_units_sees_the_keys_of_those_alone(
        self, world: World, shop: Shop, admin: Actor, clerk: CreatedKey
    ) -> None:
        units = [world.units.create(admin, name, "Europe/Zurich").id for name in ("Zurich", "Basel")]
        mine, other = (world.key(admin, business_unit_ids=(unit,)) for unit in units)
        me = world.caller(world.key(admin, business_unit_ids=(units[0],)).key)
        assert shop.ask(me, mine.view.id).reason == "permission_missing"
        for key in (other, clerk):
            with pytest.raises(NotFound):
                shop.ask(me, key.view.id)

    def test_one_that_is_disabled_deleted_or_expired_is_denied_as_the_gate_would(
        self, world: World, shop: Shop, admin: Actor, clerk: CreatedKey
    ) -> None:
        world.keys.update(admin, clerk.view.id, KeyChanges(status="disabled"))
        assert shop.ask(admin, clerk.view.id).reason == "key_disabled"
        assert shop.ask(admin, clerk.view.id, authentication_method="token").reason == "token_key_disabled"
        world.keys.delete(admin, clerk.view.id)
        assert shop.ask(admin, clerk.view.id).reason == "key_deleted"
        assert shop.ask(admin, clerk.view.id, authentication_method="token").reason == "token_key_deleted"

    def test_the_time_that_is_asked_for_is_when_a_key_expires_or_not(
        self, world: World, shop: Shop, admin: Actor
    ) -> None:
        key = world.key(admin, world.role(admin, "clerk", READ).id, expires_at_us=START + HOUR)
        for at, reason, of_token in (
            (None, "role_grants", "role_grants"),
            (START + HOUR - 1, "role_grants", "role_grants"),
            (START + HOUR, "key_expired", "token_key_ended"),
        ):
            assert shop.ask(admin, key.view.id, time_us=at).reason == reason
            assert shop.ask(admin, key.view.id, time_us=at, authentication_method="token").reason == of_token

    def test_the_token_of_a_key_from_before_it_was_disabled_is_over(
        self, world: World, shop: Shop, admin: Actor, clerk: CreatedKey
    ) -> None:
        for status in ("disabled", "enabled"):
            world.keys.update(admin, clerk.view.id, KeyChanges(status=status))  # type: ignore[arg-type]
        world.clock.now += 10 * SECOND
        for age, reason in ((10, "role_grants"), (11, "token_key_disabled")):
            found = shop.ask(admin, clerk.view.id, authentication_method="token", token_age_s=age)
            assert found.reason == reason

    def test_no_token_of_ours_is_twelve_hours_old(self, shop: Shop, admin: Actor, clerk: CreatedKey) -> None:
        for age, reason in ((12 * 3600 - 1, "role_grants"), (12 * 3600, "token_expired")):
            found = shop.ask(admin, clerk.view.id, authentication_method="token", token_age_s=age)
            assert found.reason == reason

    def test_a_key_bound_to_networks_needs_an_address(self, world: World, shop: Shop, admin: Actor) -> None:
        role = world.role(admin, "clerk", READ)
        key = world.key(admin, role.id, allowed_cidrs=("192.0.2.0/24",))
        assert shop.ask(admin, key.view.id).reason == "network_not_allowed"
        assert shop.ask(admin, key.view.id, client_ip="192.0.2.1").reason == "role_grants"

    @pytest.mark.parametrize(("field", "value"), [("roles", ("clerk",)), ("issuer_id", "x"), ("token_age_s", 1)])
    def test_what_belongs_to_tokens_and_users_is_refused(
        self, shop: Shop, admin: Actor, clerk: CreatedKey, field: str, value: Any
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            shop.ask(admin, clerk.view.id, **{field: value})
        assert refused.value.field == f"context.{field.removesuffix('_s')}"


class TestUsers:
    @pytest.fixture
    def issuer_id(self, world: World, admin: Actor) -> str:
        """Trusted for reading and creating orders."""
        world.begin_tokens()
        return world.trust(admin, world.issuer(), READ, CREATE).id

    def test_one_has_the_named_roles_within_the_issuers_ceiling(
        self, world: World, shop: Shop, admin: Actor, issuer_id: str
    ) -> None:
        world.role(admin, "all", READ, CREATE, CUSTOMERS)
        context: dict[str, Any] = {"roles": ("all", "no such role"), "issuer_id": issuer_id}
        for name in ("ann", "user:ann"):
            found = shop.ask(admin, name, **context)
            assert (found.decision, found.rule) == ("allow", "role:all")
            assert found.trace[2].roles == ("all",)
        beyond = shop.ask(admin, "ann", "GET /customers", **context)
        assert (beyond.reason, beyond.missing) == ("permission_missing", CUSTOMERS)
        # No role can give what the ceiling excludes.
        assert beyond.roles_that_grant == ()
        assert shop.history.asked == []

    def test_the_roles_that_would_grant_count_what_the_ceiling_lets_through(
        self, world: World, shop: Shop, admin: Actor, issuer_id: str
    ) -> None:
        world.role(admin, "all", READ, CREATE, CUSTOMERS)
        found = shop.ask(admin, "ann", "POST /orders", roles=(), issuer_id=issuer_id)
        assert ("all", 1) in {(role.name, role.more_permissions) for role in found.roles_that_grant}

    def test_without_roles_the_most_recent_request_tells(
        self, world: World, shop: Shop, admin: Actor, issuer_id: str
    ) -> None:
        world.role(admin, "buyer", READ)
        shop.history.records = [{"roles": ["buyer"], "issuer_id": issuer_id}]
        assert shop.ask(admin, "user:ann").rule == "role:buyer"
        (wanted,) = shop.history.asked
        assert (wanted.tenant_id, wanted.principal_id) == (admin.principal.tenant_id, "user:ann")
        assert shop.ask(admin, "user:ann", roles=()).reason == "permission_missing"

    def test_a_caller_of_chosen_units_learns_from_the_records_of_those_alone(
        self, world: World, shop: Shop, admin: Actor
    ) -> None:
        unit = world.units.create(admin, "Zurich", "Europe/Zurich").id
        me = world.caller(world.key(admin, business_unit_ids=(unit,)).key)
        with pytest.raises(NotFound):
            shop.ask(me, "ann")
        assert shop.history.asked[0].business_unit_ids == {unit}

    def test_a_caller_of_chosen_units_learns_of_no_other_unit_whether_it_is_there(
        self, world: World, shop: Shop, admin: Actor, issuer_id: str
    ) -> None:
        mine, theirs = (world.units.create(admin, name, "Europe/Zurich").id for name in ("Zurich", "Bern"))
        world.role(admin, "buyer", CREATE)
        me = world.caller(world.key(admin, business_unit_ids=(mine,)).key)

        def reason(actor: Actor, unit: str | None) -> str:
            body = msgspec.json.encode({} if unit is None else {"unit": unit})
            return shop.ask(actor, "ann", "POST /orders", body, roles=("buyer",), issuer_id=issuer_id).reason

        assert [reason(me, unit) for unit in (mine, None)] == ["role_grants"] * 2
        assert [reason(me, unit) for unit in (theirs, new_id())] == ["business_unit_not_allowed"] * 2
        assert [reason(admin, unit) for unit in (theirs, new_id())] == ["role_grants", "business_unit_unknown"]

    def test_of_whom_nothing_is_recorded_nothing_can_be_said(self, shop: Shop, admin: Actor) -> None:
        with pytest.raises(NotFound) as unknown:
            shop.ask(admin, "ann", roles=("viewer",))
        assert unknown.value.code == "principal_unknown"
        assert "context.issuer_id" in unknown.value.detail

    def test_a_disabled_or_former_issuer_denies_as_the_gate_would(
        self, world: World, shop: Shop, admin: Actor, issuer_id: str
    ) -> None:
        shop.history.records = [{"roles": ["viewer"], "issuer_id": issuer_id}]
        world.issuers.update(admin, issuer_id, IssuerChanges(status="disabled"))
        assert shop.ask(admin, "ann").reason == credential(shop.ask(admin, "ann")).reason == "token_issuer_disabled"
        world.issuers.delete(admin, issuer_id)
        assert shop.ask(admin, "ann").reason == "token_issuer_unknown"

    def test_an_issuer_that_another_tenant_trusts_is_unknown(self, shop: Shop, stranger: Actor, issuer_id: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            shop.ask(stranger, "ann", roles=(), issuer_id=issuer_id)
        assert (refused.value.code, refused.value.field) == ("unknown_issuer", "context.issuer_id")

    def test_a_user_has_no_key(self, shop: Shop, admin: Actor, issuer_id: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            shop.ask(admin, "ann", roles=(), issuer_id=issuer_id, authentication_method="api_key")
        assert refused.value.field == "context.authentication_method"


@pytest.mark.parametrize("principal", ["", "user:", "user:\n", "a\0b", "x" * 256])
def test_what_can_be_nobody_is_refused(shop: Shop, admin: Actor, principal: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        shop.ask(admin, principal)
    assert refused.value.field == "principal"


def test_the_id_of_a_key_in_capitals_is_no_user(shop: Shop, admin: Actor, clerk: CreatedKey) -> None:
    with pytest.raises(InvalidInput) as refused:
        shop.ask(admin, clerk.view.id.upper())
    assert refused.value.code == "invalid_uuid"


@pytest.mark.parametrize("method", ["", "get", "GET ", "A" * 17, "GÉT"])
def test_what_is_no_method_is_refused(shop: Shop, admin: Actor, clerk: CreatedKey, method: str) -> None:
    question = Question(principal=clerk.view.id, method=method, path="/orders")
    with pytest.raises(InvalidInput) as refused:
        shop.explanations.ask(admin, question)
    assert refused.value.field == "method"


def test_a_path_that_the_gate_would_refuse_is_refused(shop: Shop, admin: Actor, clerk: CreatedKey) -> None:
    with pytest.raises(InvalidInput) as refused:
        shop.ask(admin, clerk.view.id, "GET /orders/../customers")
    assert refused.value.field == "path"


@pytest.mark.parametrize("age", [-1, 366 * 24 * 3600 + 1])
def test_an_age_is_within_bounds(shop: Shop, admin: Actor, clerk: CreatedKey, age: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        shop.ask(admin, clerk.view.id, authentication_method="token", token_age_s=age)
    assert refused.value.field == "context.token_age"


def test_a_question_shows_nothing_of_what_it_holds() -> None:
    question = Question(principal="ann", method="GET", path="/orders", body=b'"secret"')
    assert "secret" not in repr(question) and "ann" not in repr(question)
