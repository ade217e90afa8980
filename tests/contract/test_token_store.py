"""What every directory store must do for tokens: signing keys, trusted issuers, revoked tokens, own URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select
from tests.support.directory import SERVED, START

from hatchpay.access.directory import IssuerKeys, IssuerRow, SigningKeyRow, TenantRow
from hatchpay.errors import Conflict, DirectoryUnavailable
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.ids import new_id
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.directory_transaction import SqlTransaction
from hatchpay.store.schema import feed

STORES: dict[str, Callable[[Path], SqlDirectory]] = {"sqlite": lambda folder: SqlDirectory(folder / "directory.db")}


@pytest.fixture(params=STORES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlDirectory]:
    directory = STORES[request.param](tmp_path)
    directory.sync_permissions(SERVED)
    yield directory
    directory.close()


@pytest.fixture
def tenant_id(directory: SqlDirectory) -> str:
    return tenant(directory, "Demo")


def tenant(directory: SqlDirectory, name: str) -> str:
    row = TenantRow(id=new_id(), name=name, created_us=START)
    with directory.transaction() as transaction:
        transaction.add_tenant(row)
    return row.id


def signing_key(kid: str, signs_from_us: int = START, **changes: object) -> SigningKeyRow:
    row = SigningKeyRow(
        kid=kid,
        algorithm="EdDSA",
        public_jwk='{"kty":"OKP"}',
        sealed=b"\x00\xff sealed",
        created_us=START,
        signs_from_us=signs_from_us,
    )
    return msgspec.structs.replace(row, **changes)


def issuer(tenant_id: str, audience: str = "https://api.test", **changes: object) -> IssuerRow:
    row = IssuerRow(
        id=new_id(),
        tenant_id=tenant_id,
        issuer="https://id.test",
        audience=audience,
        jwks_url=None,
        algorithms=("ES256",),
        ceiling=frozenset({"shop.orders.read"}),
        claims=ClaimsMapping(),
        created_us=START,
        updated_us=START,
    )
    return msgspec.structs.replace(row, **changes)


def add(directory: SqlDirectory, *rows: IssuerRow | SigningKeyRow) -> None:
    with directory.transaction() as transaction:
        for row in rows:
            if isinstance(row, IssuerRow):
                transaction.add_issuer(row)
            else:
                transaction.add_signing_key(row)


def told(directory: SqlDirectory, after: int) -> list[tuple[str, str, str | None]]:
    """The feed's entries since that position."""
    with directory.connection() as connection:
        query = select(feed.c.kind, feed.c.subject_id, feed.c.tenant_id).where(feed.c.seq > after)
        return [tuple(row) for row in connection.execute(query)]


def test_every_field_of_a_signing_key_comes_back_as_it_went_in(directory: SqlDirectory) -> None:
    row = signing_key("kid", algorithm="RS256", created_us=1, signs_from_us=2**52, retired_us=3)
    add(directory, row)

    with directory.read() as view:
        assert view.signing_keys() == [row]


def test_signing_keys_come_in_the_order_in_which_they_sign(directory: SqlDirectory) -> None:
    """Of two that sign from the same moment on, the one made last signs."""
    late, early = signing_key("a", START + 2), signing_key("b", START + 1)
    later_made, sooner_made = signing_key("c", START, created_us=8), signing_key("d", START, created_us=7)
    add(directory, late, early, later_made, sooner_made)

    with directory.read() as view:
        assert [row.kid for row in view.signing_keys()] == ["d", "c", "b", "a"]


def test_saving_a_signing_key_replaces_that_one_only(directory: SqlDirectory) -> None:
    first, second = signing_key("a"), signing_key("b", START + 1)
    add(directory, first, second)
    retired = msgspec.structs.replace(first, retired_us=START + 5)

    with directory.transaction() as transaction:
        transaction.save_signing_key(retired)

    with directory.read() as view:
        assert view.signing_keys() == [retired, second]


def test_the_store_says_whether_it_holds_signing_keys_that_count(directory: SqlDirectory) -> None:
    assert not directory.holds_signing_keys()
    add(directory, signing_key("a", retired_us=START))
    assert not directory.holds_signing_keys()
    add(directory, signing_key("b"))
    assert directory.holds_signing_keys()


def test_no_text_of_a_signing_key_shows_its_sealed_half() -> None:
    assert "sealed" not in repr(signing_key("kid")).lower()
    assert "\\xff" not in repr(signing_key("kid"))


def test_every_field_of_an_issuer_comes_back_as_it_went_in(directory: SqlDirectory, tenant_id: str) -> None:
    row = issuer(
        tenant_id,
        issuer="https://id.test/realms/schlüssel-🗝",
        jwks_url="https://keys.test/jwks?a=b",
        algorithms=("RS256", "EdDSA"),
        ceiling=frozenset({"shop.orders.read", "shop.orders.create"}),
        claims=ClaimsMapping(user_id="/a~1b/c", roles="roles", permissions="scope", business_units="/x/units"),
        enabled=False,
        created_us=1,
        updated_us=2**52,
        keys=IssuerKeys(document=b'{"keys":[]}\xff', fetched_us=1, tried_us=2, asked_us=3, failure="fetch_status"),
    )
    add(directory, row)

    with directory.read() as view:
        assert view.issuer(tenant_id, row.id) == row
        assert view.issuers(tenant_id) == view.load_issuers([row.id]) == view.load_issuers(None) == [row]


def test_an_issuer_needs_no_ceiling_no_url_and_no_keys(directory: SqlDirectory, tenant_id: str) -> None:
    row = issuer(tenant_id, ceiling=frozenset())
    add(directory, row)

    with directory.read() as view:
        assert view.issuer(tenant_id, row.id) == row


def test_one_tenant_sees_nothing_of_the_issuers_of_another(directory: SqlDirectory, tenant_id: str) -> None:
    other = tenant(directory, "Other")
    mine, theirs = issuer(tenant_id, "mine"), issuer(other, "theirs")
    add(directory, mine, theirs)

    with directory.read() as view:
        assert view.issuers(tenant_id) == [mine]
        assert view.issuers(other) == [theirs]
        assert view.issuer(tenant_id, theirs.id) is None
        assert view.issuer(tenant_id, new_id()) is None
        assert {row.id for row in view.load_issuers(None)} == {mine.id, theirs.id}
        assert view.load_issuers([theirs.id, new_id()]) == [theirs]
        assert view.load_issuers([]) == []


def test_issuers_are_listed_newest_first_from_an_id_on(directory: SqlDirectory, tenant_id: str) -> None:
    rows = [issuer(tenant_id, f"audience {number}") for number in range(5)]
    add(directory, *rows)
    newest = [row.audience for row in reversed(rows)]

    with directory.read() as view:
        assert [row.audience for row in view.issuers(tenant_id)] == newest
        assert [row.audience for row in view.issuers(tenant_id, 2)] == newest[:2]
        assert [row.audience for row in view.issuers(tenant_id, 2, rows[3].id)] == newest[2:4]
        assert view.issuers(tenant_id, 2, rows[0].id) == []


@pytest.mark.parametrize("whose", ["the same tenant", "another tenant"])
def test_an_issuer_is_trusted_for_an_audience_once_among_all_tenants(
    directory: SqlDirectory, tenant_id: str, whose: str
) -> None:
    row = issuer(tenant_id)
    add(directory, row)
    second = issuer(tenant_id if whose == "the same tenant" else tenant(directory, "Other"))
    position = directory.position()

    with pytest.raises(Conflict) as caught:
        add(directory, second)

    assert (caught.value.code, caught.value.field) == ("issuer_exists", "audience")
    assert directory.position() == position
    with directory.read() as view:
        assert view.load_issuers(None) == [row]


def test_no_issuer_moves_to_the_audience_of_another(directory: SqlDirectory, tenant_id: str) -> None:
    first = issuer(tenant_id, "first")
    second = issuer(tenant(directory, "Other"), "second")
    add(directory, first, second)

    with pytest.raises(Conflict) as caught, directory.transaction() as transaction:
        transaction.save_issuer(msgspec.structs.replace(second, audience="first"))

    assert caught.value.code == "issuer_exists"
    with directory.read() as view:
        assert view.issuer(second.tenant_id, second.id) == second


def test_the_same_audience_of_another_issuer_is_another_matter(directory: SqlDirectory, tenant_id: str) -> None:
    rows = [issuer(tenant_id), issuer(tenant_id, issuer="https://id.test/")]
    add(directory, *rows)

    with directory.read() as view:
        assert view.issuers(tenant_id) == rows[::-1]


def test_saving_an_issuer_replaces_everything_of_it_keys_included(directory: SqlDirectory, tenant_id: str) -> None:
    row = issuer(tenant_id, keys=IssuerKeys(document=b"old", fetched_us=1, tried_us=1))
    other = issuer(tenant_id, "other", keys=IssuerKeys(document=b"other", fetched_us=1))
    add(directory, row, other)
    changed = msgspec.structs.replace(
        row, audience="changed", jwks_url="https://keys.test/", enabled=False, keys=IssuerKeys(document=b"new")
    )

    with directory.transaction() as transaction:
        transaction.save_issuer(changed)
        assert transaction.issuer(tenant_id, row.id) == changed

    with directory.read() as view:
        assert view.issuer(tenant_id, row.id) == changed
        assert view.issuer(tenant_id, other.id) == other


def test_saving_an_issuers_keys_leaves_all_else_as_it_is(directory: SqlDirectory, tenant_id: str) -> None:
    row, other = issuer(tenant_id), issuer(tenant_id, "other")
    add(directory, row, other)
    keys = IssuerKeys(document=b"{}", fetched_us=5, tried_us=6, asked_us=7, failure="jwks_invalid")

    with directory.transaction() as transaction:
        transaction.save_issuer_keys(row.id, keys)

    with directory.read() as view:
        assert view.issuer(tenant_id, row.id) == msgspec.structs.replace(row, keys=keys)
        assert view.issuer(tenant_id, other.id) == other


def test_keys_of_an_issuer_that_is_gone_bring_nothing_back(directory: SqlDirectory, tenant_id: str) -> None:
    row = issuer(tenant_id)
    add(directory, row)
    with directory.transaction() as transaction:
        transaction.remove_issuer(row)
        transaction.save_issuer_keys(row.id, IssuerKeys(document=b"{}"))

    with directory.read() as view:
        assert view.load_issuers(None) == []


def test_a_removed_issuer_makes_room_for_its_audience(directory: SqlDirectory, tenant_id: str) -> None:
    row, again = issuer(tenant_id), issuer(tenant_id)
    add(directory, row)
    with directory.transaction() as transaction:
        transaction.remove_issuer(row)
        transaction.add_issuer(again)

    with directory.read() as view:
        assert view.issuers(tenant_id) == [again]


def test_a_token_is_revoked_until_its_end_and_for_good(directory: SqlDirectory, tenant_id: str) -> None:
    token_id = new_id()
    with directory.transaction() as transaction:
        assert not transaction.is_revoked(token_id)
        transaction.revoke_token(token_id, tenant_id, START + 10, START)
        assert transaction.is_revoked(token_id)

    with directory.read() as view:
        assert view.is_revoked(token_id)
        assert not view.is_revoked(new_id())
        assert view.revoked([token_id, new_id()]) == {token_id: START + 10}
        assert view.revoked([new_id()]) == {}


def test_revoking_twice_changes_nothing(directory: SqlDirectory, tenant_id: str) -> None:
    token_id = new_id()
    with directory.transaction() as transaction:
        transaction.revoke_token(token_id, tenant_id, START + 10, START)
    position = directory.position()

    with directory.transaction() as transaction:
        transaction.revoke_token(token_id, tenant_id, START + 99, START + 1)

    assert directory.position() == position
    with directory.read() as view:
        assert view.revoked(None) == {token_id: START + 10}


def test_revocations_that_have_ended_are_forgotten_with_the_next_one(directory: SqlDirectory, tenant_id: str) -> None:
    ended, ending, living, new = (new_id() for _ in range(4))
    with directory.transaction() as transaction:
        for token_id, ends in ((ended, START + 9), (ending, START + 10), (living, START + 11)):
            transaction.revoke_token(token_id, tenant_id, ends, START)
    with directory.transaction() as transaction:
        transaction.revoke_token(new, tenant_id, START + 50, START + 10)

    with directory.read() as view:
        assert view.revoked(None) == {living: START + 11, new: START + 50}


def test_the_url_that_was_served_last_comes_first(directory: SqlDirectory) -> None:
    for now, url in enumerate(["https://a.test", "https://b.test", "https://c.test", "https://a.test"]):
        with directory.transaction() as transaction:
            transaction.serve_url(url, START + now)

    with directory.read() as view:
        assert view.served_urls() == ["https://a.test", "https://c.test", "https://b.test"]


def test_the_last_64_urls_are_kept(directory: SqlDirectory) -> None:
    urls = [f"https://{number}.test" for number in range(66)]
    with directory.transaction() as transaction:
        for now, url in enumerate(urls[:64]):
            transaction.serve_url(url, START + now)
        transaction.serve_url(urls[0], START + 64)
        for now, url in enumerate(urls[64:], 65):
            transaction.serve_url(url, START + now)

    with directory.read() as view:
        assert view.served_urls() == [urls[65], urls[64], urls[0], *urls[63:2:-1]]


def test_serving_under_a_known_url_again_is_news_to_nobody(directory: SqlDirectory) -> None:
    with directory.transaction() as transaction:
        transaction.serve_url("https://a.test", START)
    position = directory.position()

    with directory.transaction() as transaction:
        transaction.serve_url("https://a.test", START + 1)

    assert directory.position() == position


def test_every_write_is_named_in_the_feed(directory: SqlDirectory, tenant_id: str) -> None:
    row, key, token_id = issuer(tenant_id), signing_key("kid"), new_id()
    long = "https://a.test/" + "x" * 2000
    writes: list[tuple[Callable[[SqlTransaction], object], tuple[str, str, str | None]]] = [
        (lambda transaction: transaction.add_signing_key(key), ("signing_key", "kid", None)),
        (lambda transaction: transaction.save_signing_key(key), ("signing_key", "kid", None)),
        (lambda transaction: transaction.add_issuer(row), ("issuer", row.id, tenant_id)),
        (lambda transaction: transaction.save_issuer(row), ("issuer", row.id, tenant_id)),
        (lambda transaction: transaction.save_issuer_keys(row.id, row.keys), ("issuer", row.id, None)),
        (lambda transaction: transaction.remove_issuer(row), ("issuer", row.id, tenant_id)),
        (
            lambda transaction: transaction.revoke_token(token_id, tenant_id, START + 1, START),
            ("revocation", token_id, tenant_id),
        ),
        (lambda transaction: transaction.serve_url(long, START), ("url", long[:200], None)),
    ]
    for write, entry in writes:
        position = directory.position()
        with directory.transaction() as transaction:
            write(transaction)
        assert told(directory, position) == [entry]


def test_a_transaction_that_raises_leaves_nothing_of_what_concerns_tokens(
    directory: SqlDirectory, tenant_id: str
) -> None:
    position = directory.position()
    with pytest.raises(ZeroDivisionError), directory.transaction() as transaction:
        transaction.add_signing_key(signing_key("kid"))
        transaction.add_issuer(issuer(tenant_id))
        transaction.revoke_token(new_id(), tenant_id, START + 1, START)
        transaction.serve_url("https://a.test", START)
        raise ZeroDivisionError

    with directory.read() as view:
        assert (view.signing_keys(), view.issuers(tenant_id), view.revoked(None), view.served_urls()) == (
            [],
            [],
            {},
            [],
        )
    assert directory.position() == position


def test_an_issuer_of_no_tenant_is_not_kept(directory: SqlDirectory) -> None:
    with pytest.raises((Conflict, DirectoryUnavailable)):
        add(directory, issuer(new_id()))

    with directory.read() as view:
        assert view.load_issuers(None) == []
