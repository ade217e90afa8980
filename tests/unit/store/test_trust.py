"""Whose tokens are believed, compiled from the directory's rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import msgspec
import pytest
from tests.support.directory import MAPPING, SERVED, START, URL, World, fresh_directory

from hatchpay.access.directory import IssuerKeys, SigningKeyRow, signing_key_ends
from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.views import Actor, Onboarded
from hatchpay.identity.ports import IssuerEntry, Trust
from hatchpay.store import trust as store_trust
from hatchpay.tokens.jwks import KeySet

HALF_A_DAY = 12 * 3600 * 1_000_000


@pytest.fixture
def world() -> Iterator[World]:
    world = World(fresh_directory())
    world.begin_tokens()
    yield world
    world.close()


@pytest.fixture
def demo(world: World) -> Onboarded:
    return world.onboard("Demo")


@pytest.fixture
def admin(world: World, demo: Onboarded) -> Actor:
    return world.admin(demo)


def trust(world: World) -> Trust:
    world.snapshots.refresh()
    return world.snapshots.current.trust


def entry(world: World, issuer_id: str) -> IssuerEntry:
    return trust(world).issuers[issuer_id]


def test_nothing_is_trusted_before_anything_is_begun() -> None:
    world = World(fresh_directory())
    assert trust(world) == Trust(roles=world.snapshots.current.trust.roles)
    world.close()


def test_the_urls_are_those_under_which_it_has_served(world: World) -> None:
    assert trust(world).urls == {URL}


def test_a_signing_key_is_there_with_its_public_half_and_its_sealed_one(world: World) -> None:
    (own,) = trust(world).own.values()

    assert own.public_jwk == {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": own.kid,
        "x": own.public_jwk["x"],
    }
    assert (own.key.kid, own.algorithm, own.signs_from_us, own.ends_us) == (own.kid, "EdDSA", START, None)
    assert own.sealed
    assert own.sealed.hex()[:20] not in repr(own)
    with pytest.raises(TypeError):
        own.public_jwk["kid"] = "another"  # type: ignore[index]


def test_a_retired_signing_key_is_trusted_no_more(world: World) -> None:
    (old,) = trust(world).own
    new = world.signing_keys.rotate(world.local(), publish_for_s=0).kid
    world.clock.now += 1

    world.signing_keys.retire(world.local(), old)

    assert set(trust(world).own) == {new}


def test_an_issuer_is_there_with_all_that_judging_its_tokens_needs(world: World, admin: Actor) -> None:
    issuer = world.issuer("https://id.test", "EdDSA", "ES256")
    view = world.trust(admin, issuer, "shop.orders.read")

    found = entry(world, view.id)

    assert found.keys is not None
    assert [key.kid for key in found.keys.keys] == ["EdDSA-1", "ES256-1"]
    assert (found.issuer, found.audience, found.jwks_url) == (issuer.url, issuer.audience, None)
    assert (found.tenant_id, found.algorithms) == (admin.principal.tenant_id, {"EdDSA", "ES256"})
    assert (found.ceiling, found.claims, found.enabled) == ({"shop.orders.read"}, MAPPING, True)
    assert (found.fetched_us, found.tried_us) == (START, START)


def test_a_disabled_issuer_is_known_as_such(world: World, admin: Actor) -> None:
    view = world.trust(admin, world.issuer())
    world.issuers.update(admin, view.id, IssuerChanges(status="disabled"))

    assert not entry(world, view.id).enabled


@pytest.mark.parametrize("document", [None, b"", b"[]", b"\xff", json.dumps({"keys": 1}).encode()])
def test_without_usable_keys_an_issuer_has_none_and_the_others_keep_theirs(
    world: World, admin: Actor, document: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    broken = world.trust(admin, world.issuer())
    whole = world.trust(admin, world.issuer("https://other.test"))
    with world.directory.transaction() as transaction:
        transaction.save_issuer_keys(broken.id, IssuerKeys(document=document, fetched_us=START))

    with caplog.at_level(logging.ERROR, "hatchpay.directory"):
        assert entry(world, broken.id).keys is None

    assert entry(world, whole.id).keys is not None
    assert [record.getMessage() for record in caplog.records] == (
        [] if document is None else [f"the keys of the issuer {broken.id} cannot be used: jwks_invalid"]
    )


def test_a_change_of_one_issuer_reads_no_other_and_parses_no_document_again(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tenant's issuers must not cost the others their revocations' quarter of a second."""
    one = world.trust(admin, world.issuer("https://one.test"), SERVED[0].name)
    world.trust(admin, world.issuer("https://two.test"), SERVED[0].name)
    before = world.snapshots.current.trust.issuers
    loaded: list[bytes] = []
    load = KeySet.load
    monkeypatch.setattr(
        store_trust, "KeySet", SimpleNamespace(load=lambda document: loaded.append(document) or load(document))
    )

    world.issuers.update(admin, one.id, IssuerChanges(status="disabled"))
    world.snapshots.refresh()

    after = world.snapshots.current.trust.issuers
    assert [after[issuer_id] is before[issuer_id] for issuer_id in before] == [
        issuer_id != one.id for issuer_id in before
    ]
    assert after[one.id].keys is before[one.id].keys
    assert loaded == []


def test_roles_are_found_by_tenant_and_name(world: World, admin: Actor) -> None:
    other = world.admin(world.onboard("Other"))
    world.role(admin, "buyer", "shop.orders.read")
    world.role(other, "buyer", "shop.orders.create")

    roles = trust(world).roles

    assert roles[admin.principal.tenant_id, "buyer"] == {"shop.orders.read"}
    assert roles[other.principal.tenant_id, "buyer"] == {"shop.orders.create"}
    assert "shop.customers.read" in roles[admin.principal.tenant_id, "admin"]


def key(kid: str, signs_from_us: int, retired_us: int | None = None) -> SigningKeyRow:
    row = SigningKeyRow(
        kid=kid, algorithm="EdDSA", public_jwk="{}", sealed=b"", created_us=0, signs_from_us=signs_from_us
    )
    return msgspec.structs.replace(row, retired_us=retired_us)


@pytest.mark.parametrize(
    ("keys", "stops"),
    [
        ([], {}),
        ([key("a", 10)], {}),
        ([key("a", 10), key("b", 20)], {"a": 20}),
        ([key("a", 10), key("b", 20), key("c", 30)], {"a": 20, "b": 30}),
        # Retired after its successor had taken over: what came before it had long stopped by then.
        ([key("a", 10), key("b", 20, 35), key("c", 30)], {"a": 20, "b": 30}),
        # Retired before it signed: it has replaced nobody.
        ([key("a", 10), key("b", 20, 15)], {}),
        ([key("a", 10), key("b", 20, 15), key("c", 30)], {"a": 30, "b": 30}),
        # Retired while it signed: the one before it signs again, until the next one does.
        ([key("a", 10), key("b", 20, 25)], {}),
        ([key("a", 10), key("b", 20, 25), key("c", 30)], {"a": 30, "b": 30}),
        ([key("a", 10), key("b", 20, 25), key("c", 25)], {"a": 20, "b": 25}),
        ([key("a", 10), key("b", 20, 50), key("c", 30, 40), key("d", 50)], {"a": 20, "b": 30, "c": 50}),
        ([key("a", 10), key("b", 10)], {"a": 10}),
    ],
)
def test_a_signing_key_ends_half_a_day_after_it_has_signed_for_the_last_time(
    keys: list[SigningKeyRow], stops: dict[str, int]
) -> None:
    living = {row.kid for row in keys if row.retired_us is None}

    ends = signing_key_ends(keys)

    assert {kid: end for kid, end in ends.items() if kid in living} == {
        kid: stop + HALF_A_DAY for kid, stop in stops.items() if kid in living
    }
