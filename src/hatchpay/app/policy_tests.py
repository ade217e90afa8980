"""`hatchpay policies test`: requests that a user expects policies to let through, or not, judged as a server would.

The file is YAML without aliases, tags of its own and doubled keys. Only `true`, `false`, `null` and whole numbers are
no texts in it: `500.00` is a decimal as it is written, and a time needs no quotes.

    policies: .                      # a folder with .cedar files, or a list of such files; beside this file
    routes: routes.toml              # optional: then the policies are checked as a server would check them
    fields: {shop.payments.create: {amount: decimal}}   # optional: fields of bodies, besides those of the routes
    cases:
      - name: a till pays from the shop
        principal: {type: ApiKey, id: till-1, roles: [till]}      # ids, as the policies write them
        action: shop.payments.create
        business_unit: {id: zurich, timezone: Europe/Zurich}      # without it, the whole tenant
        context: {client_ip: 192.0.2.10, time: 2026-11-23T12:00:00Z}
        body: {amount: 500.00}
        expect: deny                 # or allow
        policy: amounts              # optional: the name of the policy that denies
        reason: policy_forbids       # optional
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from hatchpay.access.cedar_schema import BodyFields, body_fields
from hatchpay.access.decision import Decision
from hatchpay.access.directory import PolicyRow
from hatchpay.access.permission import CONTROL_PERMISSIONS, check_name
from hatchpay.access.policy import CompiledPolicies, compile_policies
from hatchpay.access.policy_check import Vocabulary, check
from hatchpay.access.policy_source import read
from hatchpay.access.routes import BodyField, FieldType, Match, Route
from hatchpay.access.rules import Asked, FieldValue, UnitEntry
from hatchpay.admin.checks import timezone
from hatchpay.admin.policies import MAX_POLICY_BYTES
from hatchpay.app.files import read_catalogue
from hatchpay.app.strict_yaml import load_yaml, read_text
from hatchpay.cli.ports import CaseOutcome, PolicyText
from hatchpay.clock import parse_time
from hatchpay.errors import InvalidInput, SettingsError
from hatchpay.identity.networks import parse_address
from hatchpay.identity.principal import Limits, Principal, TokenUse

__all__ = ["run_cases"]

_LARGEST: Final = 1024 * 1024
_TENANT: Final = "tenant"


class _Principal(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["ApiKey", "User"]
    id: str
    roles: list[str] = []


class _Unit(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    timezone: str


class _Context(msgspec.Struct, forbid_unknown_fields=True):
    """`time` is a Monday at noon UTC where a case gives none."""

    client_ip: str | None = None
    time: str = "2026-01-05T12:00:00Z"
    environment: Literal["live", "test"] = "live"
    authentication_method: Literal["api_key", "token"] | None = None
    token_age: int | None = None


class _Case(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    principal: _Principal
    action: str
    business_unit: _Unit | None = None
    context: _Context = msgspec.field(default_factory=_Context)
    body: dict[str, str | int | bool] = {}
    expect: Literal["allow", "deny"]
    policy: str | None = None
    reason: str | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    cases: list[_Case]
    policies: str | list[str] = "."
    routes: str | None = None
    fields: dict[str, dict[str, FieldType]] = {}
    tenant: str = _TENANT


def run_cases(file: Path, policies: Path | None, stored: Sequence[PolicyText] | None) -> list[CaseOutcome]:
    """Raises InvalidInput that names the place in whatever file is wrong.

    Judged are the `stored` policies, or those in the folder `policies`, or those that the file names.
    """
    document = _document(file)
    fields, permissions = _vocabulary(file, document)
    if stored is None:
        named = [policies] if policies is not None else _named(file, document)
        stored = [PolicyText(path.stem, _policy(path, fields, permissions)) for path in _files(named)]
    if permissions is not None:
        for number, case in enumerate(document.cases):
            if case.action not in permissions:
                raise _wrong(f"{file}: no route needs this permission: cases[{number}].action")
    compiled = _compiled(document, stored, fields)
    return [
        _outcome(case, compiled.judge(_asked(file, number, case, fields))) for number, case in enumerate(document.cases)
    ]


def _document(file: Path) -> _Document:
    value = load_yaml(file, _LARGEST)
    try:
        document = msgspec.convert(value, _Document)
    except msgspec.ValidationError as error:
        raise _wrong(f"{file}: {error}") from None
    names = [case.name for case in document.cases]
    if not names or len(set(names)) < len(names):
        raise _wrong(f"{file}: there must be cases, each with a name of its own")
    return document


def _vocabulary(file: Path, document: _Document) -> tuple[BodyFields, frozenset[str] | None]:
    """The fields of bodies by permission, and the permissions where routes say which there are."""
    routes = [
        Route(method="POST", template="/", permission=name, fields=_declared(kinds))
        for name, kinds in document.fields.items()
    ]
    if document.routes is None:
        return body_fields(routes), None
    try:
        catalogue = read_catalogue(file.parent / document.routes)
        fields = body_fields([*catalogue.routes.routes, *routes])
    except SettingsError as error:
        raise _wrong(error.detail) from None
    return fields, frozenset(one.name for one in (*catalogue.permissions, *CONTROL_PERMISSIONS))


def _declared(kinds: dict[str, FieldType]) -> tuple[BodyField, ...]:
    return tuple(BodyField(name, kind, f"/{name}") for name, kind in kinds.items())


def _named(file: Path, document: _Document) -> list[Path]:
    named = [document.policies] if isinstance(document.policies, str) else document.policies
    return [file.parent / name for name in named]


def _files(named: Sequence[Path]) -> list[Path]:
    found = [path for one in named for path in (sorted(one.glob("*.cedar")) if one.is_dir() else [one])]
    if not found or len({path.stem for path in found}) < len(found):
        raise _wrong(f"{', '.join(map(str, named))}: there must be .cedar files, each with a name of its own")
    return found


def _policy(path: Path, fields: BodyFields, permissions: frozenset[str] | None) -> str:
    text = read_text(path, MAX_POLICY_BYTES)
    try:
        if permissions is None:
            read(text)
        else:
            check(text, Vocabulary(permissions, fields))
    except InvalidInput as error:
        place = "" if error.line is None else f", line {error.line}, column {error.column}"
        raise InvalidInput(f"{path}{place}: {error.detail}", code=error.code) from None
    return text


def _compiled(document: _Document, texts: Sequence[PolicyText], fields: BodyFields) -> CompiledPolicies:
    """The oldest of several that forbid is named: here the first by its place in the list."""
    rows = [
        PolicyRow(id=str(number), tenant_id=document.tenant, name=one.name, text=one.text, created_us=0, updated_us=0)
        for number, one in enumerate(texts)
    ]
    roles = {role: role for case in document.cases for role in case.principal.roles}
    return compile_policies(rows, roles, with_body=frozenset(fields))


def _asked(file: Path, number: int, case: _Case, fields: BodyFields) -> Asked:
    place = f"{file}: cases[{number}]"
    try:
        check_name(case.action)
        zone = None if case.business_unit is None else timezone(case.business_unit.timezone)
        now_us = parse_time(case.context.time)
    except (InvalidInput, ValueError, OverflowError) as error:
        raise _wrong(f"{place}: {error}") from None
    if case.context.client_ip is not None and parse_address(case.context.client_ip) is None:
        raise _wrong(f"{place}.context.client_ip is no IP address")
    declared = fields.get(case.action, {})
    unknown = sorted(case.body.keys() - declared.keys())
    if unknown:
        raise _wrong(f"{place}.body.{unknown[0]} is no field that a route of {case.action} declares")
    route = Route(method="POST", template="/", permission=case.action, fields=_declared(dict(declared)))
    unit = None if case.business_unit is None or zone is None else UnitEntry(case.business_unit.id, zone)
    return Asked(
        principal=_principal(case, now_us),
        match=Match(route, ()),
        unit=unit,
        now_us=now_us,
        client_ip=case.context.client_ip,
        body={name: _value(declared[name], value) for name, value in case.body.items()},
    )


def _value(kind: FieldType, value: FieldValue) -> FieldValue:
    """A decimal is text in a request too, `500` as well as `500.00`."""
    return str(value) if kind == "decimal" and isinstance(value, int) and not isinstance(value, bool) else value


def _principal(case: _Case, now_us: int) -> Principal:
    context, is_user = case.context, case.principal.type == "User"
    age = context.token_age
    token = None
    if age is not None or (context.authentication_method or ("token" if is_user else "api_key")) == "token":
        token = TokenUse(id=None, issued_us=None if age is None else now_us - age * 1_000_000)
    return Principal(
        id=f"user:{case.principal.id}" if is_user else case.principal.id,
        kind="user" if is_user else "api_key",
        tenant_id=_TENANT,
        key_id=None if is_user else case.principal.id,
        roles=tuple(case.principal.roles),
        grants={},
        limits=Limits(environment=context.environment),
        token=token,
    )


def _outcome(case: _Case, denial: Decision | None) -> CaseOutcome:
    decision: Literal["allow", "deny"] = "allow" if denial is None else "deny"
    policy = None if denial is None or denial.rule is None else denial.rule.removeprefix("policy:")
    reason = None if denial is None else denial.reason
    passed = decision == case.expect and case.policy in {None, policy} and case.reason in {None, reason}
    return CaseOutcome(
        name=case.name,
        passed=passed,
        expected=" ".join(filter(None, (case.expect, case.policy, case.reason))),
        decision=decision,
        policy=policy,
        reason=reason,
        missing=None if denial is None else denial.missing,
    )


def _wrong(detail: str) -> InvalidInput:
    return InvalidInput(detail, code="policy_tests_invalid")
