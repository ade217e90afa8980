"""The life of the keys that sign our own tokens."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.directory import HOUR, SECOND, START, World

from hatchpay.admin.signing_keys import SigningKeys
from hatchpay.admin.token_views import SigningKeyView
from hatchpay.admin.views import Actor
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput, Unavailable
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.tokens import signing


@pytest.fixture
def local(world: World) -> Actor:
    return world.local()


def statuses(world: World) -> dict[str, str]:
    """By kid, the newest signer first."""
    return {view.kid: view.status for view in world.signing_keys.list()}


def refusal(call: Callable[[], object], world: World) -> HatchPayError:
    before, position = world.changes(), world.directory.position()
    with pytest.raises(HatchPayError) as caught:
        call()
    assert (world.changes(), world.directory.position()) == (before, position)
    return caught.value


def begun(world: World) -> str:
    world.signing_keys.begin(world.local())
    return world.signing_keys.list()[0].kid


def later(world: World, us: int) -> None:
    world.clock.now = START + us


def signer(world: World) -> str:
    """The kid of the key that signs now."""
    world.snapshots.refresh()
    return world.signer.key().kid


def secret_of(private: object) -> bytes:
    """The number that is the whole secret of an Ed25519 or P-256 key."""
    if isinstance(private, Ed25519PrivateKey):
        return private.private_bytes_raw()
    assert isinstance(private, EllipticCurvePrivateKey)
    return private.private_numbers().private_value.to_bytes(32)


class TestBeginning:
    def test_the_first_key_signs_at_once(self, world: World, local: Actor) -> None:
        assert not world.signing_keys.exists()
        kid = begun(world)
        (view,) = world.signing_keys.list()
        assert view == SigningKeyView(
            kid=kid,
            algorithm="EdDSA",
            status="signing",
            created_at="2026-09-21T14:13:20.000000Z",
            signs_from="2026-09-21T14:13:20.000000Z",
            ends_at=None,
        )
        assert world.signing_keys.exists()
        assert signer(world) == kid

    def test_there_is_one_beginning(self, world: World, local: Actor) -> None:
        begun(world)
        before, keys = world.changes(), world.signing_keys.list()
        world.signing_keys.begin(local)
        assert (world.changes(), world.signing_keys.list()) == (before, keys)

    def test_it_is_recorded(self, world: World, local: Actor) -> None:
        kid = begun(world)
        change = world.last_change()
        assert (change.event, change.tenant_id, change.actor) == (
            "platform.signing_keys.added",
            PLATFORM_TENANT_ID,
            "local:1000",
        )
        assert json.loads(change.detail) == {
            "before": {},
            "after": {"algorithm": "EdDSA", "kid": kid, "signs_from": "2026-09-21T14:13:20.000000Z"},
        }


class TestRotating:
    def test_a_new_key_is_published_before_it_signs(self, world: World, local: Actor) -> None:
        old = begun(world)
        view = world.signing_keys.rotate(local)
        assert (view.status, view.signs_from) == ("next", "2026-09-21T14:23:20.000000Z")
        assert statuses(world) == {view.kid: "next", old: "signing"}
        world.snapshots.refresh()
        assert set(world.snapshots.current.trust.own) == {old, view.kid}
        later(world, 600 * SECOND - 1)
        assert signer(world) == old
        later(world, 600 * SECOND)
        assert signer(world) == view.kid

    def test_what_a_key_is_follows_from_the_clock_alone(self, world: World, local: Actor) -> None:
        old = begun(world)
        new = world.signing_keys.rotate(local).kid
        ends = 600 * SECOND + 12 * HOUR
        for us, expected in (
            (0, {new: "next", old: "signing"}),
            (600 * SECOND - 1, {new: "next", old: "signing"}),
            (600 * SECOND, {new: "signing", old: "published"}),
            (ends - 1, {new: "signing", old: "published"}),
            (ends, {new: "signing", old: "ended"}),
            (ends + 1000 * HOUR, {new: "signing", old: "ended"}),
        ):
            later(world, us)
            assert statuses(world) == expected

    def test_a_key_ends_half_a_day_after_the_next_one_signed(self, world: World, local: Actor) -> None:
        """No token lives longer, so the last one that it can have signed has ended by then."""
        begun(world)
        world.signing_keys.rotate(local, publish_for_s=60)
        assert world.signing_keys.list()[1].ends_at == "2026-09-22T02:14:20.000000Z"
        world.snapshots.refresh()
        ends = {key.kid: key.ends_us for key in world.snapshots.current.trust.own.values()}
        assert list(ends.values()) == [START + 60 * SECOND + 12 * HOUR, None]

    @pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
    def test_the_next_key_may_be_of_another_algorithm(self, world: World, local: Actor, algorithm: str) -> None:
        begun(world)
        world.clock.now += 1
        view = world.signing_keys.rotate(local, algorithm, 0)  # type: ignore[arg-type]
        assert view.algorithm == algorithm
        assert signer(world) == view.kid

    def test_where_nothing_signs_the_new_key_does_at_once(self, world: World, local: Actor) -> None:
        assert world.signing_keys.rotate(local).status == "signing"

    @pytest.mark.parametrize("seconds", [-1, 30 * 24 * 3600 + 1])
    def test_it_is_published_for_a_month_at_most(self, world: World, local: Actor, seconds: int) -> None:
        error = refusal(lambda: world.signing_keys.rotate(local, publish_for_s=seconds), world)
        assert (type(error), error.field) == (InvalidInput, "publish_for")

    def test_two_that_wait_sign_one_after_the_other(self, world: World, local: Actor) -> None:
        first = begun(world)
        late = world.signing_keys.rotate(local, publish_for_s=600).kid
        early = world.signing_keys.rotate(local, publish_for_s=60).kid
        assert list(statuses(world)) == [late, early, first]
        later(world, 60 * SECOND)
        assert signer(world) == early
        later(world, 600 * SECOND)
        assert signer(world) == late
        assert statuses(world) == {late: "signing", early: "published", first: "published"}


class TestRetiring:
    def test_the_key_that_signs_cannot_be_retired(self, world: World, local: Actor) -> None:
        kid = begun(world)
        error = refusal(lambda: world.signing_keys.retire(local, kid), world)
        assert (type(error), error.code) == (Conflict, "signing_key_current")

    def test_a_replaced_key_ends_at_once(self, world: World, local: Actor) -> None:
        old = begun(world)
        new = world.signing_keys.rotate(local, publish_for_s=0).kid
        later(world, SECOND)
        view = world.signing_keys.retire(local, old)
        assert (view.status, view.ends_at) == ("retired", "2026-09-21T14:13:21.000000Z")
        change = world.last_change()
        assert change.event == "platform.signing_keys.retired"
        assert json.loads(change.detail)["after"] == {"kid": old}
        world.snapshots.refresh()
        assert set(world.snapshots.current.trust.own) == {new}

    def test_a_key_that_waits_may_be_retired_and_never_signs(self, world: World, local: Actor) -> None:
        old = begun(world)
        new = world.signing_keys.rotate(local).kid
        world.signing_keys.retire(local, new)
        later(world, HOUR)
        assert signer(world) == old
        assert statuses(world) == {new: "retired", old: "signing"}
        later(world, 1000 * HOUR)
        assert statuses(world) == {new: "retired", old: "signing"}

    def test_retiring_twice_changes_nothing(self, world: World, local: Actor) -> None:
        old = begun(world)
        world.signing_keys.rotate(local, publish_for_s=0)
        later(world, SECOND)
        first = world.signing_keys.retire(local, old)
        before = world.changes()
        later(world, 2 * SECOND)
        assert world.signing_keys.retire(local, old) == first
        assert world.changes() == before

    @pytest.mark.parametrize("kid", ["", "x", "\ud800"])
    def test_an_unknown_key_is_none(self, world: World, local: Actor, kid: str) -> None:
        begun(world)
        error = refusal(lambda: world.signing_keys.retire(local, kid), world)
        assert (type(error), error.field) == (InvalidInput, "kid")

    def test_where_the_signer_is_retired_by_force_the_one_before_it_signs_again(
        self, world: World, local: Actor
    ) -> None:
        old = begun(world)
        new = world.signing_keys.rotate(local, publish_for_s=60).kid
        later(world, 60 * SECOND)
        assert signer(world) == new
        later(world, 120 * SECOND)
        world.signing_keys.retire(local, new, force=True)
        assert signer(world) == old
        assert statuses(world) == {new: "retired", old: "signing"}
        # As long as it signs, its tokens count.
        later(world, 1000 * HOUR)
        world.snapshots.refresh()
        assert world.snapshots.current.trust.own[old].ends_us is None

    def test_after_the_last_one_was_retired_there_is_a_new_beginning(self, world: World, local: Actor) -> None:
        first = begun(world)
        second = world.signing_keys.rotate(local, publish_for_s=0).kid
        later(world, SECOND)
        world.signing_keys.retire(local, first)
        with world.directory.transaction() as transaction:
            row = next(row for row in transaction.signing_keys() if row.kid == second)
            transaction.save_signing_key(msgspec.structs.replace(row, retired_us=world.clock.now))
        assert not world.signing_keys.exists()
        with pytest.raises(Unavailable) as caught:
            signer(world)
        assert caught.value.code == "signing_key_missing"
        world.signing_keys.begin(local)
        assert world.signing_keys.exists()
        assert signer(world) not in {first, second}


class TestWhoMay:
    @pytest.mark.parametrize("call", ["begin", "rotate", "retire"])
    def test_only_somebody_at_the_machine_who_acts_for_the_platform(
        self, world: World, admin: Actor, local: Actor, call: str
    ) -> None:
        kid = begun(world)
        calls: dict[str, Callable[[Actor], object]] = {
            "begin": world.signing_keys.begin,
            "rotate": world.signing_keys.rotate,
            "retire": lambda actor: world.signing_keys.retire(actor, kid),
        }
        for actor in (admin, world.local(admin.principal.tenant_id)):
            assert isinstance(refusal(lambda actor=actor: calls[call](actor), world), Forbidden)

    def test_not_even_the_platforms_operator_from_afar(self, world: World, local: Actor) -> None:
        operator = world.actor(world.tenants.operator_key(local), PLATFORM_TENANT_ID)
        error = refusal(lambda: world.signing_keys.rotate(operator), world)
        assert (type(error), error.code) == (Forbidden, "local_only")


class TestThePrivateHalf:
    def test_it_is_in_no_byte_of_the_database(self, world: World, local: Actor) -> None:
        begun(world)
        world.signing_keys.rotate(local, "ES256", 0)
        world.clock.now += 1
        world.snapshots.refresh()
        trust = world.snapshots.current.trust
        opened = [signing.unseal(own.sealed, world.kek, own.algorithm, own.kid).private for own in trust.own.values()]
        secrets = [*map(secret_of, opened), world.kek]
        world.directory.close()
        path = world.directory.path
        files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
        held = b"".join(file.read_bytes() for file in files if file.exists())
        assert len(secrets) == 3
        assert all(own.sealed in held for own in trust.own.values())
        for secret in secrets:
            assert len(secret) == 32
            for form in (secret, secret.hex().encode(), b64encode(secret)[:40], urlsafe_b64encode(secret)[:40]):
                assert form not in held

    def test_each_is_sealed_with_a_nonce_of_its_own(self, world: World, local: Actor) -> None:
        begun(world)
        world.signing_keys.rotate(local)
        with world.directory.read() as view:
            nonces = [row.sealed[1:13] for row in view.signing_keys()]
        assert len(set(nonces)) == 2

    def test_without_the_right_key_encryption_key_nothing_is_signed(self, world: World, local: Actor) -> None:
        begun(world)
        world.kek = b"\x04" * 32
        with pytest.raises(Unavailable) as caught:
            signer(world)
        assert caught.value.code == "signing_key_unreadable"
        assert caught.value.__suppress_context__

    def test_it_is_opened_once(self, world: World, local: Actor) -> None:
        begun(world)
        signer(world)
        world.kek = b"\x04" * 32
        assert signer(world)

    def test_where_no_key_encryption_key_is_to_be_had_none_is_made(self, world: World, local: Actor) -> None:
        def lost() -> bytes:
            raise Unavailable("it is lost")

        keys = SigningKeys(world.directory, world.clock, new_id, lost)
        refusal(lambda: keys.begin(local), world)
        assert keys.list() == []
