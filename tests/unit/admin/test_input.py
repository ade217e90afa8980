"""Bad input is refused by the name of its field, and changes nothing."""

from __future__ import annotations

import base64

import pytest
from tests.support.directory import START, World

from hatchpay.admin import checks
from hatchpay.admin.views import Actor, KeyChanges, RoleDraft
from hatchpay.errors import InvalidInput

BAD_NAMES = ["", " ", "\t", "\u2003", "x" * 121, "a\0b", "a\nb", "a\x7fb", "a\x85b", "\ud800"]
BAD_KEYS: list[tuple[str, object]] = [
    *(("name", name) for name in BAD_NAMES),
    ("description", "x" * 1001),
    ("description", "a\0b"),
    ("owner", ""),
    ("owner", "x" * 201),
    ("expires_at_us", START),
    ("expires_at_us", START - 1),
    ("expires_at_us", 10**18),
    ("metadata", {f"key {number}": "" for number in range(21)}),
    ("metadata", {"": "x"}),
    ("metadata", {"x" * 65: ""}),
    ("metadata", {"a": "x" * 501}),
    ("metadata", {"a": "\0"}),
    ("allowed_cidrs", ()),
    ("allowed_cidrs", tuple(f"10.0.0.{number}" for number in range(51))),
    ("allowed_cidrs", ("192.0.2.1/24",)),
    ("allowed_cidrs", ("192.0.2.0/33",)),
    ("allowed_cidrs", ("192.0.2.0/255.255.255.0",)),
    ("allowed_cidrs", ("192.0.2.0/",)),
    ("allowed_cidrs", ("192.0.2",)),
    ("allowed_cidrs", ("fe80::1%eth0",)),
    ("allowed_cidrs", ("example.com",)),
    ("allowed_cidrs", ("\u0661\u0662.0.0.1",)),
    ("allowed_cidrs", ("192.0.2.0/24", "192.0.2.0/24")),
]


@pytest.mark.parametrize(("field", "value"), BAD_KEYS)
def test_a_bad_field_of_a_key_is_named(world: World, admin: Actor, field: str, value: object) -> None:
    key = world.key(admin)
    before = (world.keys.list(admin), world.changes())

    for call in (
        lambda: world.key(admin, **{field: value}),
        lambda: world.keys.update(admin, key.view.id, KeyChanges(**{"description": "x", field: value})),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field.removesuffix("_us")

    assert (world.keys.list(admin), world.changes()) == before


def test_the_greatest_values_allowed_are_accepted(world: World, admin: Actor) -> None:
    metadata = {f"{number:064}": "v" * 500 for number in range(20)}
    key = world.key(
        admin,
        name="n" * 120,
        description="d" * 1000,
        owner="o" * 200,
        metadata=metadata,
        allowed_cidrs=tuple(f"10.0.0.{number}" for number in range(50)),
    )

    assert world.keys.get(admin, key.view.id) == key.view


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_of_a_role_a_unit_or_a_tenant_is_refused(world: World, admin: Actor, name: str) -> None:
    for call in (
        lambda: world.roles.create(admin, RoleDraft(name=name)),
        lambda: world.units.create(admin, name, "UTC"),
        lambda: world.onboard(name),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "name"


@pytest.mark.parametrize("seconds", [-1, checks.MAX_GRACE_SECONDS + 1])
def test_grace_is_0_seconds_to_30_days(world: World, admin: Actor, seconds: int) -> None:
    key = world.key(admin)

    with pytest.raises(InvalidInput) as caught:
        world.keys.rotate(admin, key.view.id, seconds)

    assert caught.value.field == "grace_seconds"
    assert world.keys.rotate(admin, key.view.id, checks.MAX_GRACE_SECONDS).view.previous_secrets


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_limit_is_1_to_200(world: World, admin: Actor, limit: int) -> None:
    for call in (world.keys.list, world.roles.list, world.permissions.list, world.units.list):
        with pytest.raises(InvalidInput) as caught:
            call(admin, limit)
        assert caught.value.field == "limit"


SOME_ID = "01a20d22-288f-7309-99a5-3bea8222f64e"


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    ["", "nonsense", "\0", "\u00e9", encoded("1 OR 1=1"), encoded(SOME_ID) + "=", encoded(SOME_ID)[:-1], "====", "A"],
)
def test_a_cursor_that_no_page_gave_is_refused(world: World, admin: Actor, cursor: str) -> None:
    for call in (world.keys.list, world.roles.list, world.permissions.list, world.units.list):
        with pytest.raises(InvalidInput) as caught:
            call(admin, 50, cursor)
        assert (caught.value.code, caught.value.field, caught.value.status) == ("invalid_cursor", "cursor", 400)
