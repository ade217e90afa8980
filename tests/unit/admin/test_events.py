"""One change, one event, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.support.directory import START, World

from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RoleDraft
from hatchpay.audit.record import Change
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.ids import PLATFORM_TENANT_ID
from hatchpay.store.directory_transaction import SqlTransaction


def only_event(world: World, call: Callable[[], object]) -> Change:
    """The one event that `call` leaves."""
    before = len(world.changes())
    call()
    (change,) = world.changes()[before:]
    return change


def detail(change: Change) -> dict[str, dict[str, object]]:
    decoded: dict[str, dict[str, object]] = msgspec.json.decode(change.detail)
    return decoded


def test_an_event_tells_who_changed_what_in_which_request(world: World, admin: Actor) -> None:
    change = only_event(world, lambda: world.keys.create(admin, NewKey(name="k")))

    assert change.event == "api-key.keys.created"
    assert change.actor == admin.principal.id
    assert change.request_id == admin.request_id
    assert change.tenant_id == admin.principal.tenant_id
    assert change.at_us == START
    assert change.subject_id == world.keys.list(admin).data[0].id


@pytest.mark.parametrize(
    ("changes", "event", "before", "after"),
    [
        (KeyChanges(name="new"), "updated", {"name": "some key"}, {"name": "new"}),
        (KeyChanges(status="disabled"), "disabled", {"status": "enabled"}, {"status": "disabled"}),
        (
            KeyChanges(status="disabled", name="new"),
            "disabled",
            {"name": "some key", "status": "enabled"},
            {"name": "new", "status": "disabled"},
        ),
        (
            KeyChanges(allowed_cidrs=("192.0.2.0/24",)),
            "updated",
            {"allowed_cidrs": None},
            {"allowed_cidrs": ["192.0.2.0/24"]},
        ),
    ],
)
def test_an_event_holds_what_changed_before_and_after(
    world: World, admin: Actor, changes: KeyChanges, event: str, before: object, after: object
) -> None:
    key = world.key(admin)

    change = only_event(world, lambda: world.keys.update(admin, key.view.id, changes))

    assert change.event == f"api-key.keys.{event}"
    assert detail(change) == {"before": before, "after": after}


def test_every_change_has_its_event(world: World, admin: Actor) -> None:
    key, role = world.key(admin), world.role(admin, "role")
    viewer = world.role_id(admin, "viewer")
    calls: dict[str, Callable[[], object]] = {
        "api-key.keys.roles_set": lambda: world.keys.set_roles(admin, key.view.id, (viewer,)),
        "api-key.keys.rotated": lambda: world.keys.rotate(admin, key.view.id, 60),
        "api-key.keys.grace_ended": lambda: world.keys.end_grace(admin, key.view.id),
        "api-key.keys.disabled": lambda: world.keys.update(admin, key.view.id, KeyChanges(status="disabled")),
        "api-key.keys.enabled": lambda: world.keys.update(admin, key.view.id, KeyChanges(status="enabled")),
        "api-key.keys.deleted": lambda: world.keys.delete(admin, key.view.id),
        "access.roles.created": lambda: world.role(admin, "new"),
        "access.roles.updated": lambda: world.roles.update(admin, role.id, RoleDraft(name="changed")),
        "access.roles.deleted": lambda: world.roles.delete(admin, role.id),
        "business-unit.business-units.created": lambda: world.units.create(admin, "unit", "UTC"),
    }
    for event, call in calls.items():
        assert only_event(world, call).event == event


def test_roles_are_told_by_id_and_name(world: World, admin: Actor) -> None:
    viewer = world.role_id(admin, "viewer")
    key = world.key(admin)

    change = only_event(world, lambda: world.keys.set_roles(admin, key.view.id, (viewer,)))

    assert detail(change) == {"before": {"roles": []}, "after": {"roles": [{"id": viewer, "name": "viewer"}]}}


def test_onboarding_is_told_to_the_platform_and_the_first_key_to_the_tenant(world: World) -> None:
    onboarded: Onboarded = world.onboard("Demo")

    told = [(change.event, change.tenant_id, change.subject_id) for change in world.changes()]
    assert told == [
        ("platform.tenants.onboarded", PLATFORM_TENANT_ID, onboarded.tenant.id),
        ("api-key.keys.created", onboarded.tenant.id, onboarded.api_key.view.id),
    ]


def test_no_event_holds_a_secret_or_a_card_number(world: World, admin: Actor) -> None:
    canary = world.keys.create(admin, NewKey(name="k")).key
    card = "4111 1111 1111 1111"
    key = world.key(admin, name=f"for {card}", description=canary, owner=canary, metadata={card: canary, "b": card})
    world.keys.update(admin, key.view.id, KeyChanges(description=f"x {canary}", metadata={"c": canary}))
    rotated = world.keys.rotate(admin, key.view.id, 60)
    world.role(admin, f"role {card}")
    world.units.create(admin, f"unit {card}", "UTC")

    kept = b"".join(change.detail for change in world.changes()).decode()

    assert card not in kept
    for text in (canary, key.key, rotated.key):
        assert text not in kept
        assert text[30:63] not in kept


def test_a_change_whose_event_cannot_be_stored_does_not_happen(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.key(admin)
    generation = world.directory.position()

    def fail(self: SqlTransaction, change: Change) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(SqlTransaction, "record", fail)
    for call in (
        lambda: world.keys.create(admin, NewKey(name="k")),
        lambda: world.keys.delete(admin, key.view.id),
        lambda: world.roles.create(admin, RoleDraft(name="r")),
    ):
        with pytest.raises(RuntimeError):
            call()

    assert world.keys.get(admin, key.view.id) == key.view
    assert world.directory.position() == generation
    assert len(world.keys.list(admin).data) == 2


def test_what_an_issuer_calls_its_user_is_redacted_in_the_event(world: World, admin: Actor) -> None:
    world.begin_tokens()
    issuer = world.issuer()
    world.trust(admin, issuer, "access.roles.create", claims=ClaimsMapping(permissions="scope"))
    key = world.key(admin).key

    for secret in (key, "4111111111111111"):
        user = world.caller(issuer.token(sub=secret, scope="access.roles.create"))
        world.role(user, f"made by {len(secret)}")
        assert world.last_change().actor.startswith("user:")
        assert secret not in world.last_change().actor
