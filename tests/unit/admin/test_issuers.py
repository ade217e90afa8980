"""Trusting other issuers: what may be entered, who may do it, and what it grants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest
from tests.support.directory import HOUR, MAPPING, SECOND, START, URL, World
from tests.support.issuer import AUDIENCE

from hatchpay.access.permission import CONTROL_PERMISSIONS
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.ports import DirectoryView
from hatchpay.admin.token_views import IssuerChanges, IssuerView, NewIssuer
from hatchpay.admin.views import Actor, KeyChanges, Onboarded, RoleDraft
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput, NotFound, Unauthenticated
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.ids import new_id

READ, CREATE, CUSTOMERS = "shop.orders.read", "shop.orders.create", "shop.customers.read"
ISSUERS = ("auth.issuers.create", "auth.issuers.read", "auth.issuers.update", "auth.issuers.delete")

WANTED = NewIssuer(
    issuer="https://id.test",
    audience=AUDIENCE,
    jwks_url=None,
    algorithms=("EdDSA",),
    ceiling=(READ,),
    claims=MAPPING,
)


@pytest.fixture(autouse=True)
def published(world: World) -> None:
    """What `WANTED` names can be fetched."""
    world.begin_tokens()
    world.internet.publish(world.issuer())
    world.internet.published["https://keys.test/jwks?a=b"] = world.issuer()


@pytest.fixture
def trusted(world: World, admin: Actor) -> IssuerView:
    return world.issuers.create(admin, WANTED)


@pytest.fixture
def manager(world: World, admin: Actor) -> Actor:
    """A caller who may manage issuers and read orders, and nothing else."""
    role = world.role(admin, "manager", *ISSUERS, READ)
    return world.actor(world.key(admin, role.id), admin.principal.tenant_id)


def wanted(**changes: object) -> NewIssuer:
    return msgspec.structs.replace(WANTED, **changes)


def refusal(call: Callable[[], object], world: World) -> HatchPayError:
    """The error of `call`, which has changed nothing."""
    before, position = world.changes(), world.directory.position()
    with pytest.raises(HatchPayError) as caught:
        call()
    assert (world.changes(), world.directory.position()) == (before, position)
    return caught.value


class TestCreating:
    def test_an_issuer_is_trusted_with_all_that_was_said_and_its_keys(self, world: World, admin: Actor) -> None:
        issuer = world.issuer("https://id.test", "EdDSA", "ES256")
        world.internet.publish(issuer)
        mapping = ClaimsMapping(user_id="uid", roles="/a/b", permissions="scope", business_units="units")

        view = world.issuers.create(
            admin, wanted(algorithms=("ES256", "EdDSA"), ceiling=(READ, CREATE), claims=mapping)
        )

        assert (view.issuer, view.audience, view.jwks_url) == ("https://id.test", AUDIENCE, None)
        assert (view.algorithms, view.ceiling, view.claims) == (("ES256", "EdDSA"), (CREATE, READ), mapping)
        assert view.status == "enabled"
        assert [(key.kid, key.algorithms, key.problem) for key in view.keys] == [
            ("EdDSA-1", ("EdDSA",), None),
            ("ES256-1", ("ES256",), None),
        ]
        assert view.keys_fetched_at == view.created_at == view.updated_at == "2026-09-21T14:13:20.000000Z"
        assert view.keys_failure is None
        assert world.issuers.get(admin, view.id) == view
        assert world.issuers.list(admin).data == (view,)

    def test_its_keys_are_fetched_once(self, world: World, admin: Actor) -> None:
        world.issuers.create(admin, WANTED)
        assert world.internet.asked == [("https://id.test", None)]

    def test_its_keys_come_from_the_url_that_was_given(self, world: World, admin: Actor) -> None:
        world.issuers.create(admin, wanted(jwks_url="https://keys.test/jwks?a=b"))
        assert world.internet.asked == [("https://id.test", "https://keys.test/jwks?a=b")]

    def test_an_empty_ceiling_is_trust_in_names_alone(self, world: World, admin: Actor) -> None:
        assert world.issuers.create(admin, wanted(ceiling=())).ceiling == ()

    def test_keys_that_cannot_be_used_are_shown_with_the_reason(self, world: World, admin: Actor) -> None:
        keys = [
            *world.issuer().jwks()["keys"],
            {"kty": "oct", "kid": "secret", "k": "AA"},
            {"kty": "RSA", "kid": "small"},
        ]
        world.internet.published["https://id.test"] = json.dumps({"keys": keys}).encode()
        view = world.issuers.create(admin, WANTED)
        assert [(key.kid, key.problem) for key in view.keys] == [
            ("EdDSA-1", None),
            ("secret", "jwk_symmetric"),
            ("small", "jwk_member_missing"),
        ]

    def test_it_is_recorded_without_its_keys(self, world: World, admin: Actor) -> None:
        view = world.issuers.create(admin, WANTED)
        change = world.last_change()
        assert (change.event, change.subject_id, change.actor) == (
            "auth.issuers.created",
            view.id,
            admin.principal.id,
        )
        assert json.loads(change.detail) == {
            "before": {},
            "after": {
                "issuer": "https://id.test",
                "audience": AUDIENCE,
                "algorithms": ["EdDSA"],
                "ceiling": [READ],
                "claims": {"user_id": "sub", "roles": "roles", "permissions": "permissions", "business_units": None},
                "status": "enabled",
            },
        }

    def test_what_is_recorded_is_redacted(self, world: World, admin: Actor) -> None:
        world.issuers.create(admin, wanted(audience="card 4111 1111 1111 1111"))
        assert b"4111 1111 1111 1111" not in world.last_change().detail

    def test_an_issuer_and_audience_that_somebody_trusts_is_taken(
        self, world: World, admin: Actor, stranger: Actor, trusted: IssuerView
    ) -> None:
        for actor in (admin, stranger):
            error = refusal(partial(world.issuers.create, actor, WANTED), world)
            assert (type(error), error.code, error.field) == (Conflict, "issuer_exists", "audience")
        assert world.issuers.create(stranger, wanted(audience="another")).audience == "another"

    def test_a_tenant_trusts_fifty_at_most(self, world: World, admin: Actor, stranger: Actor) -> None:
        views = [world.issuers.create(admin, wanted(audience=f"audience {number}")) for number in range(50)]
        world.internet.asked.clear()

        error = refusal(lambda: world.issuers.create(admin, WANTED), world)

        assert (type(error), error.code) == (Conflict, "too_many_issuers")
        assert world.internet.asked == []
        assert world.issuers.create(stranger, WANTED)
        world.issuers.delete(admin, views[0].id)
        assert world.issuers.create(admin, wanted(audience="room"))

    def test_the_last_place_is_not_given_twice(self, world: World, admin: Actor) -> None:
        """Somebody else takes it while the keys are fetched."""
        for number in range(49):
            world.issuers.create(admin, wanted(audience=f"audience {number}"))

        def fetch(issuer: str, jwks_url: str | None) -> bytes:
            world.issuers.create(admin, wanted(audience="the other one"))
            return world.issuer().document()

        slow = Issuers(world.directory, world.clock, new_id, fetch, frozenset)
        with pytest.raises(Conflict) as caught:
            slow.create(admin, WANTED)
        assert caught.value.code == "too_many_issuers"
        assert len(world.issuers.list(admin, 200).data) == 50


class TestInput:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "id.test",
            "http://id.test",
            "ftp://id.test",
            "https:id.test",
            "https://",
            "https:///path",
            "https://user@id.test",
            "https://user:pw@id.test",
            "https://@id.test",
            "https://id.test?a=b",
            "https://id.test?",
            "https://id.test#a",
            "https://id.test#",
            "https://id.test/a b",
            " https://id.test",
            "https://id.test\n",
            "https://id.test\t",
            "https://id\\.test",
            "https://id.test/{a}",
            "https://schlüssel.test",
            "https://id.test:0",
            "https://id.test:99999",
            "https://id.test:x",
            "https://[::1",
            "https://" + "a" * 2041,
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://id.test/\ud800",
        ],
    )
    def test_an_issuer_is_an_absolute_https_url_without_query(self, world: World, admin: Actor, url: str) -> None:
        error = refusal(lambda: world.issuers.create(admin, wanted(issuer=url)), world)
        assert (type(error), error.code, error.field) == (InvalidInput, "invalid_url", "issuer")
        assert world.internet.asked == []
        assert not url or url not in error.detail

    @pytest.mark.parametrize("url", ["", "http://keys.test", "https://u@keys.test", "https://keys.test#a", "keys.test"])
    def test_a_jwks_url_is_an_absolute_https_url(
        self, world: World, admin: Actor, trusted: IssuerView, url: str
    ) -> None:
        world.internet.asked.clear()
        for call in (
            lambda: world.issuers.create(admin, wanted(jwks_url=url)),
            lambda: world.issuers.update(admin, trusted.id, IssuerChanges(jwks_url=url)),
        ):
            error = refusal(call, world)
            assert (type(error), error.code, error.field) == (InvalidInput, "invalid_url", "jwks_url")
        assert world.internet.asked == []

    def test_only_tests_may_trust_an_issuer_on_plain_http(self, world: World, admin: Actor) -> None:
        insecure = Issuers(world.directory, world.clock, new_id, world.internet, frozenset, insecure=True)
        world.internet.publish(world.issuer("http://127.0.0.1:8080"))
        assert insecure.create(admin, wanted(issuer="http://127.0.0.1:8080")).issuer == "http://127.0.0.1:8080"

    @pytest.mark.parametrize("url", [URL, URL + "/"])
    def test_nobody_trusts_this_installation_as_if_it_were_another(self, world: World, admin: Actor, url: str) -> None:
        error = refusal(lambda: world.issuers.create(admin, wanted(issuer=url)), world)
        assert (type(error), error.field) == (InvalidInput, "issuer")
        assert world.internet.asked == []

    @pytest.mark.parametrize(
        ("changes", "code", "field"),
        [
            ({"audience": ""}, "invalid_field", "audience"),
            ({"audience": " "}, "invalid_field", "audience"),
            ({"audience": "a\nb"}, "invalid_field", "audience"),
            ({"audience": "x" * 2049}, "invalid_field", "audience"),
            ({"algorithms": ()}, "invalid_field", "algorithms"),
            ({"algorithms": ("HS256",)}, "invalid_field", "algorithms"),
            ({"algorithms": ("none",)}, "invalid_field", "algorithms"),
            ({"algorithms": ("EdDSA", "HS256")}, "invalid_field", "algorithms"),
            ({"algorithms": ("eddsa",)}, "invalid_field", "algorithms"),
            ({"algorithms": ("EdDSA", "EdDSA")}, "duplicate_algorithm", "algorithms"),
            ({"ceiling": (READ, READ)}, "duplicate_permission", "ceiling"),
            ({"ceiling": ("shop.orders.eat",)}, "unknown_permission", "ceiling"),
            ({"ceiling": ("platform.tenants.create",)}, "unknown_permission", "ceiling"),
            ({"ceiling": ("admin",)}, "unknown_permission", "ceiling"),
            ({"claims": ClaimsMapping(user_id="")}, "invalid_field", "claims.user_id"),
            ({"claims": ClaimsMapping(roles="x" * 201)}, "invalid_field", "claims.roles"),
            ({"claims": ClaimsMapping(permissions="a\x00")}, "invalid_field", "claims.permissions"),
            ({"claims": ClaimsMapping(business_units=" ")}, "invalid_field", "claims.business_units"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, world: World, admin: Actor, trusted: IssuerView, changes: dict[str, object], code: str, field: str
    ) -> None:
        world.internet.asked.clear()
        for call in (
            lambda: world.issuers.create(admin, wanted(**{"audience": "new", **changes})),
            lambda: world.issuers.update(admin, trusted.id, IssuerChanges(**changes)),  # type: ignore[arg-type]
        ):
            error = refusal(call, world)
            assert (type(error), error.code, error.field) == (InvalidInput, code, field)
        assert world.internet.asked == []

    @pytest.mark.parametrize(("jwks_url", "field"), [(None, "issuer"), ("https://elsewhere.test/keys", "jwks_url")])
    @pytest.mark.parametrize("code", ["fetch_unreachable", "fetch_address_forbidden", "issuer_mismatch"])
    def test_an_issuer_whose_keys_cannot_be_fetched_is_not_trusted(
        self, world: World, admin: Actor, jwks_url: str | None, field: str, code: str
    ) -> None:
        world.internet.failing = code
        error = refusal(lambda: world.issuers.create(admin, wanted(jwks_url=jwks_url)), world)
        assert (type(error), error.code, error.field) == (InvalidInput, code, field)
        assert error.__suppress_context__
        assert world.issuers.list(admin).data == ()

    @pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b'{"keys":{}}', b'{"keys":[],"keys":[]}'])
    def test_an_issuer_that_publishes_something_else_is_not_trusted(
        self, world: World, admin: Actor, document: bytes
    ) -> None:
        world.internet.published["https://id.test"] = document
        error = refusal(lambda: world.issuers.create(admin, WANTED), world)
        assert (type(error), error.code, error.field) == (InvalidInput, "jwks_invalid", "issuer")

    @pytest.mark.parametrize("issuer_id", ["", "x", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "\ud800"])
    def test_an_id_is_a_uuid(self, world: World, admin: Actor, issuer_id: str) -> None:
        for call in (
            lambda: world.issuers.get(admin, issuer_id),
            lambda: world.issuers.update(admin, issuer_id, IssuerChanges()),
            lambda: world.issuers.delete(admin, issuer_id),
        ):
            assert refusal(call, world).code == "invalid_uuid"


class TestWhoMay:
    def test_a_caller_without_the_permission_causes_no_fetch(self, world: World, admin: Actor) -> None:
        caller = world.actor(
            world.key(admin, world.role(admin, "others", *ISSUERS[1:], READ).id), admin.principal.tenant_id
        )
        error = refusal(lambda: world.issuers.create(caller, WANTED), world)
        assert (type(error), error.code, error.permission) == (Forbidden, "permission_missing", "auth.issuers.create")
        assert world.internet.asked == []

    def test_a_caller_who_may_not_change_it_causes_no_fetch(
        self, world: World, admin: Actor, trusted: IssuerView
    ) -> None:
        world.internet.asked.clear()
        caller = world.actor(
            world.key(admin, world.role(admin, "creator", "auth.issuers.create", READ).id), admin.principal.tenant_id
        )
        moved = IssuerChanges(jwks_url="https://keys.test/jwks?a=b")
        error = refusal(lambda: world.issuers.update(caller, trusted.id, moved), world)
        assert (error.code, error.permission) == ("permission_missing", "auth.issuers.update")
        error = refusal(lambda: world.issuers.delete(caller, trusted.id), world)
        assert (error.code, error.permission) == ("permission_missing", "auth.issuers.delete")
        assert world.internet.asked == []

    def test_a_caller_who_has_ended_causes_no_fetch(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "admin"))
        world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
        caller = world.actor(key, admin.principal.tenant_id)
        assert isinstance(refusal(lambda: world.issuers.create(caller, WANTED), world), Unauthenticated)
        assert world.internet.asked == []

    def test_the_whole_ceiling_must_be_the_callers(self, world: World, manager: Actor) -> None:
        error = refusal(lambda: world.issuers.create(manager, wanted(ceiling=(READ, CREATE))), world)
        assert (type(error), error.code, error.permission) == (Forbidden, "grant_exceeds_caller", CREATE)
        assert world.internet.asked == []
        assert world.issuers.create(manager, WANTED).ceiling == (READ,)

    @pytest.mark.parametrize("limit", ["environment", "units", "networks", "expiry"])
    def test_the_ceiling_must_be_the_callers_without_limits(self, world: World, admin: Actor, limit: str) -> None:
        unit = world.units.create(admin, "unit", "UTC").id
        limits: dict[str, dict[str, object]] = {
            "environment": {"environment": "test"},
            "units": {"business_unit_ids": (unit,)},
            "networks": {"allowed_cidrs": ("0.0.0.0/0", "::/0")},
            "expiry": {"expires_at_us": START + HOUR},
        }
        key = world.key(admin, world.role_id(admin, "admin"), **limits[limit])
        caller = world.actor(key, admin.principal.tenant_id)
        assert refusal(lambda: world.issuers.create(caller, WANTED), world).code == "grant_exceeds_caller"
        assert refusal(lambda: world.issuers.create(caller, wanted(ceiling=())), world).code == "grant_exceeds_caller"
        assert world.internet.asked == []

    def test_what_a_caller_has_lost_while_the_keys_were_fetched_counts(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "admin"))

        def fetch(issuer: str, jwks_url: str | None) -> bytes:
            world.keys.set_roles(admin, key.view.id, ())
            return world.issuer().document()

        slow = Issuers(world.directory, world.clock, new_id, fetch, frozenset)
        with pytest.raises(Forbidden):
            slow.create(world.actor(key, admin.principal.tenant_id), WANTED)
        assert world.issuers.list(admin).data == ()

    def test_a_narrowed_token_trusts_nobody_beyond_itself(self, world: World, demo: Onboarded) -> None:
        caller = world.caller(world.token(demo.api_key.key, f"auth.issuers.create {READ}"))
        error = refusal(lambda: world.issuers.create(caller, wanted(ceiling=(READ, CREATE))), world)
        assert (error.code, error.permission) == ("grant_exceeds_caller", CREATE)
        assert world.issuers.create(caller, WANTED).ceiling == (READ,)

    def test_issuers_of_other_tenants_do_not_exist(self, world: World, stranger: Actor, trusted: IssuerView) -> None:
        world.internet.asked.clear()
        texts = set()
        for issuer_id in (trusted.id, new_id()):
            for call in (
                lambda issuer_id=issuer_id: world.issuers.get(stranger, issuer_id),
                lambda issuer_id=issuer_id: world.issuers.update(stranger, issuer_id, IssuerChanges(status="disabled")),
                lambda issuer_id=issuer_id: world.issuers.update(
                    stranger, issuer_id, IssuerChanges(jwks_url="https://keys.test/jwks?a=b")
                ),
                lambda issuer_id=issuer_id: world.issuers.delete(stranger, issuer_id),
            ):
                error = refusal(call, world)
                assert isinstance(error, NotFound)
                texts.add((error.code, error.detail))
        assert len(texts) == 1
        assert world.issuers.list(stranger).data == ()
        assert world.internet.asked == []


GRANTING = [
    IssuerChanges(audience="https://else.test"),
    IssuerChanges(jwks_url="https://keys.test/jwks?a=b"),
    IssuerChanges(algorithms=("EdDSA", "ES256")),
    IssuerChanges(algorithms=("ES256",)),
    IssuerChanges(ceiling=(READ, CREATE, CUSTOMERS)),
    IssuerChanges(claims=ClaimsMapping(roles="groups", permissions="permissions")),
    IssuerChanges(claims=ClaimsMapping(user_id="email", roles="roles", permissions="permissions")),
    IssuerChanges(audience="https://else.test", status="disabled"),
    IssuerChanges(ceiling=(READ, CREATE), audience="https://else.test"),
]
TAKING = [
    IssuerChanges(status="disabled"),
    IssuerChanges(ceiling=(READ,)),
    IssuerChanges(ceiling=()),
    IssuerChanges(algorithms=("RS256",)),
    IssuerChanges(ceiling=(CREATE,), algorithms=("EdDSA",), status="disabled"),
]


class TestChanging:
    @pytest.fixture
    def strong(self, world: World, admin: Actor) -> IssuerView:
        """An issuer whose users may more than the manager."""
        return world.issuers.create(admin, wanted(ceiling=(READ, CREATE), algorithms=("EdDSA", "RS256")))

    @pytest.mark.parametrize("changes", GRANTING)
    def test_whatever_could_let_a_token_do_more_demands_the_whole_ceiling(
        self, world: World, admin: Actor, manager: Actor, strong: IssuerView, changes: IssuerChanges
    ) -> None:
        assert refusal(lambda: world.issuers.update(manager, strong.id, changes), world).code == "grant_exceeds_caller"
        assert world.issuers.get(admin, strong.id) == strong
        assert world.issuers.update(admin, strong.id, changes) != strong

    @pytest.mark.parametrize("changes", TAKING)
    def test_what_only_takes_away_is_free(
        self, world: World, manager: Actor, strong: IssuerView, changes: IssuerChanges
    ) -> None:
        view = world.issuers.update(manager, strong.id, changes)
        for name in changes.__struct_fields__:
            value = getattr(changes, name)
            assert value is msgspec.UNSET or getattr(view, name) == value

    def test_enabling_grants(self, world: World, admin: Actor, manager: Actor, strong: IssuerView) -> None:
        world.issuers.update(manager, strong.id, IssuerChanges(status="disabled"))
        enabling = IssuerChanges(status="enabled")
        assert refusal(lambda: world.issuers.update(manager, strong.id, enabling), world).code == "grant_exceeds_caller"
        assert world.issuers.update(admin, strong.id, enabling).status == "enabled"

    def test_a_lower_ceiling_and_more_of_something_else_demands_the_new_ceiling_only(
        self, world: World, manager: Actor, strong: IssuerView
    ) -> None:
        changes = IssuerChanges(ceiling=(READ,), audience="https://else.test")
        assert world.issuers.update(manager, strong.id, changes).audience == "https://else.test"

    def test_deleting_is_free(self, world: World, manager: Actor, strong: IssuerView) -> None:
        world.issuers.delete(manager, strong.id)
        change = world.last_change()
        assert (change.event, change.subject_id) == ("auth.issuers.deleted", strong.id)
        assert json.loads(change.detail)["before"]["ceiling"] == [CREATE, READ]
        assert json.loads(change.detail)["after"] == {}
        with pytest.raises(NotFound):
            world.issuers.delete(manager, strong.id)

    def test_only_what_has_changed_is_recorded(self, world: World, admin: Actor, strong: IssuerView) -> None:
        world.clock.now += SECOND
        view = world.issuers.update(admin, strong.id, IssuerChanges(status="disabled", ceiling=(READ, CREATE)))
        change = world.last_change()
        assert (change.event, change.subject_id) == ("auth.issuers.updated", strong.id)
        assert json.loads(change.detail) == {"before": {"status": "enabled"}, "after": {"status": "disabled"}}
        assert (view.created_at, view.updated_at) == (strong.created_at, "2026-09-21T14:13:21.000000Z")

    @pytest.mark.parametrize(
        "changes",
        [
            IssuerChanges(),
            IssuerChanges(audience=AUDIENCE, jwks_url=None, ceiling=(CREATE, READ), claims=MAPPING, status="enabled"),
        ],
    )
    def test_a_change_that_changes_nothing_leaves_no_trace(
        self, world: World, manager: Actor, strong: IssuerView, changes: IssuerChanges
    ) -> None:
        before, position, asked = world.changes(), world.directory.position(), len(world.internet.asked)
        assert world.issuers.update(manager, strong.id, changes) == strong
        assert (world.changes(), world.directory.position()) == (before, position)
        assert len(world.internet.asked) == asked

    def test_a_new_url_brings_the_keys_that_are_there(self, world: World, admin: Actor, strong: IssuerView) -> None:
        elsewhere = world.issuer("https://id.test", "ES256")
        world.internet.published["https://elsewhere.test/keys"] = elsewhere
        world.clock.now += SECOND
        view = world.issuers.update(admin, strong.id, IssuerChanges(jwks_url="https://elsewhere.test/keys"))
        assert [key.kid for key in view.keys] == ["ES256-1"]
        assert view.keys_fetched_at == "2026-09-21T14:13:21.000000Z"
        view = world.issuers.update(admin, strong.id, IssuerChanges(jwks_url=None))
        assert [key.kid for key in view.keys] == ["EdDSA-1"]
        assert world.internet.asked[-2:] == [
            ("https://id.test", "https://elsewhere.test/keys"),
            ("https://id.test", None),
        ]

    def test_a_new_url_whose_keys_cannot_be_fetched_is_not_taken(
        self, world: World, admin: Actor, strong: IssuerView
    ) -> None:
        error = refusal(
            lambda: world.issuers.update(admin, strong.id, IssuerChanges(jwks_url="https://elsewhere.test")), world
        )
        assert (type(error), error.code, error.field) == (InvalidInput, "fetch_unreachable", "jwks_url")

    def test_any_other_change_keeps_the_keys(self, world: World, admin: Actor, strong: IssuerView) -> None:
        asked = len(world.internet.asked)
        assert world.issuers.update(admin, strong.id, IssuerChanges(audience="new")).keys == strong.keys
        assert len(world.internet.asked) == asked

    def test_the_audience_of_another_entry_is_taken(self, world: World, admin: Actor, strong: IssuerView) -> None:
        world.issuers.create(admin, wanted(audience="another"))
        error = refusal(lambda: world.issuers.update(admin, strong.id, IssuerChanges(audience="another")), world)
        assert (type(error), error.code) == (Conflict, "issuer_exists")

    def test_keys_of_a_place_to_which_somebody_has_just_moved_it_do_not_count_for_another(
        self, world: World, admin: Actor, strong: IssuerView
    ) -> None:
        """One caller confirms discovery while another moves it to a URL: nobody fetched from where it is then."""
        directory = world.directory

        class Raced:
            transaction = directory.transaction

            @contextmanager
            def read(self) -> Iterator[DirectoryView]:
                with directory.read() as view:
                    yield view
                world.issuers.update(admin, strong.id, IssuerChanges(jwks_url="https://keys.test/jwks?a=b"))

        raced = Issuers(Raced(), world.clock, new_id, world.internet, frozenset)
        view = raced.update(admin, strong.id, IssuerChanges(jwks_url=None))

        assert view.jwks_url is None
        assert (view.keys, view.keys_fetched_at) == ((), None)
        world.snapshots.refresh()
        assert world.issuer_keys.due(world.snapshots.current.trust) == [strong.id]


class TestListing:
    def test_the_newest_comes_first_page_by_page(self, world: World, admin: Actor, stranger: Actor) -> None:
        world.issuers.create(stranger, wanted(audience="theirs"))
        views = [world.issuers.create(admin, wanted(audience=f"audience {number}")) for number in range(3)]
        page = world.issuers.list(admin, 2)
        assert page.data == (views[2], views[1])
        assert world.issuers.list(admin, 2, page.next_cursor).data == (views[0],)


class TestRolesThatUsersHold:
    """Whoever makes, renames or widens a role that an issuer's tokens may name grants it to that issuer's users."""

    @pytest.fixture
    def roles_manager(self, world: World, admin: Actor) -> Actor:
        """Holds all that roles are managed with, and reads orders, but may not create any; as a whole or in a unit."""
        names = [name.name for name in CONTROL_PERMISSIONS]
        return world.actor(
            world.key(admin, world.role(admin, "roles manager", *names, READ).id), admin.principal.tenant_id
        )

    @pytest.fixture
    def limited(self, world: World, admin: Actor) -> Actor:
        """An admin of one unit."""
        unit = world.units.create(admin, "unit", "UTC").id
        key = world.key(admin, world.role_id(admin, "admin"), business_unit_ids=(unit,))
        return world.actor(key, admin.principal.tenant_id)

    def test_a_role_that_users_could_name_demands_what_they_would_gain(
        self, world: World, admin: Actor, limited: Actor, trusted: IssuerView
    ) -> None:
        error = refusal(lambda: world.role(limited, "buyer", READ, CREATE), world)
        assert error.code == "grant_exceeds_caller"
        assert world.role(limited, "seller", CREATE).permissions == (CREATE,)
        assert world.role(admin, "buyer", READ, CREATE)

    def test_without_a_mapping_of_roles_nobody_gains_by_one(self, world: World, admin: Actor, limited: Actor) -> None:
        world.issuers.create(admin, wanted(claims=ClaimsMapping(permissions="permissions")))
        assert world.role(limited, "buyer", READ)

    def test_another_tenants_issuer_has_nothing_to_do_with_it(
        self, world: World, limited: Actor, stranger: Actor
    ) -> None:
        world.issuers.create(stranger, WANTED)
        assert world.role(limited, "buyer", READ)

    def test_renaming_demands_it_too(self, world: World, admin: Actor, limited: Actor, trusted: IssuerView) -> None:
        role = world.role(admin, "buyer", READ)
        error = refusal(
            lambda: world.roles.update(limited, role.id, RoleDraft(name="named in tokens", permissions=(READ,))), world
        )
        assert error.code == "grant_exceeds_caller"

    def test_widening_demands_it_too(self, world: World, admin: Actor, limited: Actor, trusted: IssuerView) -> None:
        role = world.role(admin, "buyer", CREATE)
        wider = RoleDraft(name="buyer", permissions=(CREATE, READ))
        assert refusal(lambda: world.roles.update(limited, role.id, wider), world).code == "grant_exceeds_caller"
        assert world.roles.update(admin, role.id, wider).permissions == (CREATE, READ)

    def test_a_caller_of_chosen_units_takes_nothing_from_users_of_the_whole_tenant(
        self, world: World, admin: Actor, limited: Actor, trusted: IssuerView
    ) -> None:
        role = world.role(admin, "buyer", READ, CREATE)
        less = RoleDraft(name="buyer", permissions=(READ,))
        assert refusal(lambda: world.roles.update(limited, role.id, less), world).code == "grant_exceeds_caller"
        assert refusal(lambda: world.roles.delete(limited, role.id), world).code == "grant_exceeds_caller"
        assert world.roles.update(admin, role.id, less).permissions == (READ,)
        world.roles.delete(admin, role.id)

    def test_renaming_a_role_to_a_name_that_tokens_carry_demands_what_the_caller_lacks(
        self, world: World, admin: Actor, roles_manager: Actor
    ) -> None:
        world.issuers.create(admin, wanted(ceiling=(CREATE,)))
        role = world.role(admin, "buyer", CREATE)
        error = refusal(
            lambda: world.roles.update(roles_manager, role.id, RoleDraft(name="staff", permissions=(CREATE,))), world
        )
        assert (error.code, error.permission) == ("grant_exceeds_caller", CREATE)

    def test_a_disabled_issuer_counts_as_it_may_be_enabled_again(
        self, world: World, admin: Actor, limited: Actor, trusted: IssuerView
    ) -> None:
        world.issuers.update(admin, trusted.id, IssuerChanges(status="disabled"))
        assert refusal(lambda: world.role(limited, "buyer", READ), world).code == "grant_exceeds_caller"
