"""The bodies that the calls take. What a model cannot say, the use cases check."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from hatchpay.access.rate_limit import MAX_REQUESTS, MAX_WINDOW_S
from hatchpay.admin.advice_views import AdviceWish
from hatchpay.admin.checks import MAX_RATE_LIMITS
from hatchpay.admin.explain_views import Circumstances, Question
from hatchpay.admin.policies import MAX_POLICY_BYTES
from hatchpay.admin.token_views import IssuerChanges, NewIssuer
from hatchpay.admin.views import KeyChanges, NewKey, RoleDraft, UnitChanges
from hatchpay.control.fields import Ip, Moment, Uuid, time_us
from hatchpay.control.json_body import Body
from hatchpay.control.rehearse_models import Rehearse
from hatchpay.errors import InvalidInput
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.principal import RateLimit

__all__ = [
    "MAX_GRACE_SECONDS",
    "ApplyAdvice",
    "ChangeBusinessUnit",
    "ChangeIssuer",
    "ChangeKey",
    "CreateBusinessUnit",
    "CreateKey",
    "CreateTenant",
    "DefinePolicy",
    "DefineRole",
    "ExplainAccess",
    "LimitRate",
    "MapClaims",
    "Rehearse",
    "RotateKey",
    "SetKeyRoles",
    "TrustIssuer",
]

MAX_GRACE_SECONDS = 30 * 24 * 3600
MAX_AGE_SECONDS = 366 * 24 * 3600

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Description = Annotated[str, StringConstraints(max_length=1000)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Owner = Annotated[str, StringConstraints(min_length=1, max_length=200)]
UnitIds = Annotated[list[Uuid], Field(min_length=1, max_length=200)]
RoleUnits = Annotated[list[Uuid], Field(min_length=1, max_length=50)]
Cidrs = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=50)]], Field(min_length=1, max_length=50)
]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(max_length=20),
]


class LimitRate(Body):
    """At most that many requests in any window that follows a rest; a quota is one with a long window."""

    requests: int = Field(ge=1, le=MAX_REQUESTS)
    window_seconds: int = Field(ge=1, le=MAX_WINDOW_S, description="At most 31 days")


RateLimits = Annotated[list[LimitRate], Field(max_length=MAX_RATE_LIMITS)]


class CreateKey(Body):
    """A new API key. It holds no role, and may do nothing until one is attached."""

    name: Name
    description: Description = ""
    environment: Literal["live", "test"] = "live"
    owner: Owner | None = Field(default=None, description="Who answers for the key")
    expires_at: Moment | None = Field(default=None, description="In the future; null for never")
    business_unit_ids: UnitIds | None = Field(default=None, description="The only units it acts for; null for all")
    allowed_cidrs: Cidrs | None = Field(default=None, description="The only networks it works from; null for all")
    metadata: Metadata = Field(default={}, description="Free labels")
    rate_limits: RateLimits = Field(default=[], description="Each of another window; none for no limit")

    def new_key(self) -> NewKey:
        return NewKey(
            name=self.name,
            description=self.description,
            environment=self.environment,
            owner=self.owner,
            expires_at_us=_us(self.expires_at),
            business_unit_ids=_tuple(self.business_unit_ids),
            allowed_cidrs=_tuple(self.allowed_cidrs),
            metadata=dict(self.metadata),
            rate_limits=_limits(self.rate_limits),
        )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _kept(description: str) -> Any:
    """A field that stays as it is where the body lacks it; null is refused unless the type allows it."""
    return Field(default=None, description=description, json_schema_extra=_without_default)


class ChangeKey(Body):
    """Changes to an API key. What is absent stays as it is; null lifts a limit."""

    name: Name = _kept("A new name")
    description: Description = _kept("A new description")
    status: Literal["enabled", "disabled"] = _kept("A disabled key is refused at once, and can be enabled again")
    owner: Owner | None = _kept("Who answers for the key; null for nobody")
    expires_at: Moment | None = _kept("In the future; null for never")
    business_unit_ids: UnitIds | None = _kept("The only units it acts for; null for all")
    allowed_cidrs: Cidrs | None = _kept("The only networks it works from; null for all")
    metadata: Metadata = _kept("Free labels; replaces all of them")
    rate_limits: RateLimits = _kept("Each of another window; replaces all of them")

    def changes(self) -> KeyChanges:
        """Raises InvalidInput where there are none."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if not given:
            raise InvalidInput(f"the body must hold at least one of {', '.join(type(self).model_fields)}")
        if "expires_at" in given:
            given["expires_at_us"] = _us(given.pop("expires_at"))
        if "rate_limits" in given:
            given["rate_limits"] = _limits(given["rate_limits"])
        return msgspec.convert(given, KeyChanges)


class SetKeyRoles(Body):
    """The whole set of a key's roles, in place of those that it holds."""

    role_ids: list[Uuid] = Field(max_length=200)
    business_unit_ids: dict[Uuid, RoleUnits] = Field(
        default={},
        max_length=200,
        description="By the id of a role, the only units that it is attached for; without, it is for the whole tenant",
    )

    def scopes(self) -> dict[str, tuple[str, ...]]:
        return {role_id: tuple(units) for role_id, units in self.business_unit_ids.items()}


class RotateKey(Body):
    """A new secret for a key."""

    grace_seconds: int = Field(default=0, ge=0, le=MAX_GRACE_SECONDS, description="How long the old one still works")


class DefineRole(Body):
    """A custom role, whole."""

    name: Name
    description: Description = ""
    permissions: list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] = Field(max_length=1000)
    rate_limits: RateLimits = Field(default=[], description="For each key or user that holds the role, apart")

    def draft(self) -> RoleDraft:
        return RoleDraft(
            name=self.name,
            description=self.description,
            permissions=tuple(self.permissions),
            rate_limits=_limits(self.rate_limits),
        )


class DefinePolicy(Body):
    """A policy, whole: what it forbids, whatever roles say."""

    name: Name
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_POLICY_BYTES)] = Field(
        description="Cedar: one or more `forbid` statements; at most 1 MiB for all policies of the tenant together"
    )


class CreateBusinessUnit(Body):
    """A department, branch or company inside the tenant."""

    name: Name
    timezone_name: Zone = Field(description="IANA name, such as Europe/Berlin")


class ChangeBusinessUnit(Body):
    """Changes to a business unit. What is absent stays as it is."""

    name: Name = _kept("A new name")
    timezone_name: Zone = _kept("IANA name, such as Europe/Berlin")
    status: Literal["active", "archived"] = _kept("Nothing can be done for an archived one until it is active again")

    def changes(self) -> UnitChanges:
        """Raises InvalidInput where there are none."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if not given:
            raise InvalidInput(f"the body must hold at least one of {', '.join(type(self).model_fields)}")
        return msgspec.convert(given, UnitChanges)


Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Permissions = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=200)]], Field(min_length=1, max_length=1000)
]
Algorithms = Annotated[list[Literal["EdDSA", "ES256", "PS256", "RS256"]], Field(min_length=1, max_length=4)]
Claim = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class MapClaims(Body):
    """Which claim says what: a claim's name, or a JSON Pointer such as `/realm_access/roles`."""

    user_id: Claim = "sub"
    roles: Claim | None = Field(default=None, description="Names of the tenant's roles")
    permissions: Claim | None = Field(default=None, description="Permissions, as a list or by spaces apart")
    business_units: Claim | None = Field(default=None, description="Ids; a token without them is refused then")

    def mapping(self) -> ClaimsMapping:
        return ClaimsMapping(
            user_id=self.user_id, roles=self.roles, permissions=self.permissions, business_units=self.business_units
        )


class TrustIssuer(Body):
    """An issuer of tokens, whose users may do in the tenant what their tokens say, up to the ceiling."""

    issuer: Url = Field(description="Exactly as in the tokens' `iss`")
    audience: Url = Field(description="What the tokens' `aud` must hold")
    jwks_url: Url | None = Field(default=None, description="Where its keys are; null to find them by discovery")
    algorithms: Algorithms = Field(default=["EdDSA", "ES256", "PS256", "RS256"], description="Accepted ones")
    ceiling: Permissions = Field(description="What its users may at most; no more than the caller may")
    claims: MapClaims = MapClaims()

    def wanted(self) -> NewIssuer:
        return NewIssuer(
            issuer=self.issuer,
            audience=self.audience,
            jwks_url=self.jwks_url,
            algorithms=tuple(self.algorithms),
            ceiling=tuple(self.ceiling),
            claims=self.claims.mapping(),
        )


class ChangeIssuer(Body):
    """Changes to a trusted issuer. What is absent stays as it is."""

    audience: Url = _kept("What the tokens' `aud` must hold")
    jwks_url: Url | None = _kept("Where its keys are; null to find them by discovery")
    algorithms: Algorithms = _kept("Accepted ones")
    ceiling: Permissions = _kept("What its users may at most")
    claims: MapClaims = _kept("Replaces the whole mapping")
    status: Literal["enabled", "disabled"] = _kept("The tokens of a disabled issuer are refused at once")

    def changes(self) -> IssuerChanges:
        """Raises InvalidInput where there are none."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if not given:
            raise InvalidInput(f"the body must hold at least one of {', '.join(type(self).model_fields)}")
        if "claims" in given:
            given["claims"] = given["claims"].mapping()
        return msgspec.convert(given, IssuerChanges)


class Surroundings(Body):
    """What is around a request, besides what it says itself."""

    client_ip: Ip | None = Field(default=None, description="Where it comes from; null for nowhere that is known")
    time: Moment | None = Field(default=None, description="When it comes; null for now")
    authentication_method: Literal["api_key", "token"] | None = Field(
        default=None, description="null for a key itself, and for the token of a user"
    )
    token_age: int | None = Field(default=None, ge=0, le=MAX_AGE_SECONDS, description="Seconds since it was issued")
    roles: list[Name] | None = Field(
        default=None, max_length=200, description="Names that a user's token claims; null for those last recorded"
    )
    issuer_id: Uuid | None = Field(default=None, description="Of a user's token; null for that last recorded")

    def circumstances(self) -> Circumstances:
        return Circumstances(
            client_ip=self.client_ip,
            time_us=_us(self.time),
            authentication_method=self.authentication_method,
            token_age_s=self.token_age,
            roles=_tuple(self.roles),
            issuer_id=self.issuer_id,
        )


class ExplainAccess(Body):
    """A request that is not sent: what would the gate say to it?"""

    principal: Annotated[str, StringConstraints(min_length=1, max_length=300)] = Field(
        description="A key's id, or a user's, as in `principal_id` of the history"
    )
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,16}$")]
    path: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] = Field(
        description="As in the request line, with the query"
    )
    body: Any = Field(default=None, description="The JSON body that would be sent; absent for none")
    context: Surroundings = Surroundings()

    def question(self) -> Question:
        sent = json.dumps(self.body, ensure_ascii=False).encode() if "body" in self.model_fields_set else None
        return Question(
            principal=self.principal,
            method=self.method,
            path=self.path,
            body=sent,
            context=self.context.circumstances(),
        )


class ApplyAdvice(Body):
    """Whose advice to apply: a key's, or a custom role's."""

    key_id: Uuid | None = Field(default=None, description="The key that gets one role in place of all of its own")
    role_id: Uuid | None = Field(
        default=None, description="With key_id, an existing role to use; alone, the custom role to reduce"
    )
    days: int = Field(default=30, ge=1, le=365, description="How many days to look at")
    force: bool = Field(default=False, description="Even where the confidence is low")

    def wish(self) -> AdviceWish:
        return AdviceWish(key_id=self.key_id, role_id=self.role_id, days=self.days, force=self.force)


class EraseRecords(Body):
    """Whose records, or which. The text of a subject is recorded nowhere."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = Field(
        default=None, description="As it stands in the fields that routes declare as their subject"
    )
    request_ids: list[Uuid] | None = Field(
        default=None, min_length=1, max_length=10_000, description="The HatchPay-Request-Ids of single requests"
    )


class CreateTenant(Body):
    """A new tenant, to be onboarded with its built-in roles and its first admin key."""

    name: Name


def _limits(values: list[LimitRate]) -> tuple[RateLimit, ...]:
    return tuple(RateLimit(value.requests, value.window_seconds) for value in values)


def _us(text: str | None) -> int | None:
    return None if text is None else time_us(text)


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
