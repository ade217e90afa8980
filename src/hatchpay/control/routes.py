"""The control API's part of the route table: what each of its calls needs."""

from __future__ import annotations

from typing import Final, Literal

from hatchpay.access.routes import Route, UnitSource

__all__ = ["CONTROL_ROUTES"]

# The use cases keep to the caller's business units themselves.
_UNIT: Final = (UnitSource("handler"),)


def _call(method: str, template: str, permission: str) -> Route:
    return Route(method=method, template=template, permission=permission, unit=_UNIT, control=True)


def _free(method: str, template: str, access: Literal["open", "self_authenticating"]) -> Route:
    return Route(method=method, template=template, access=access, unit=_UNIT, control=True)


CONTROL_ROUTES: Final[tuple[Route, ...]] = (
    _call("POST", "/v1/api-key/keys", "api-key.keys.create"),
    _call("GET", "/v1/api-key/keys", "api-key.keys.read"),
    _call("GET", "/v1/api-key/keys/{id}", "api-key.keys.read"),
    _call("PATCH", "/v1/api-key/keys/{id}", "api-key.keys.update"),
    _call("DELETE", "/v1/api-key/keys/{id}", "api-key.keys.delete"),
    _call("PUT", "/v1/api-key/keys/{id}/roles", "api-key.key-roles.update"),
    _call("POST", "/v1/api-key/keys/{id}/rotate", "api-key.keys.rotate"),
    _call("DELETE", "/v1/api-key/keys/{id}/previous-secrets", "api-key.keys.rotate"),
    _call("GET", "/roles", "access.roles.read"),
    _call("POST", "/roles", "access.roles.create"),
    _call("GET", "/roles/{id}", "access.roles.read"),
    _call("PUT", "/roles/{id}", "access.roles.update"),
    _call("DELETE", "/roles/{id}", "access.roles.delete"),
    _call("GET", "/permissions", "access.permissions.read"),
    _call("POST", "/v1/access/explain", "access.explanations.read"),
    _call("GET", "/v1/access/advice", "access.advice.read"),
    _call("POST", "/v1/access/advice", "access.advice.apply"),
    _call("POST", "/v1/policies", "access.policies.create"),
    _call("GET", "/v1/policies", "access.policies.read"),
    _call("GET", "/v1/policies/{id}", "access.policies.read"),
    _call("PUT", "/v1/policies/{id}", "access.policies.update"),
    _call("DELETE", "/v1/policies/{id}", "access.policies.delete"),
    _call("POST", "/v1/business-unit/business-units", "business-unit.business-units.create"),
    _call("GET", "/v1/business-unit/business-units", "business-unit.business-units.read"),
    _call("GET", "/v1/business-unit/business-units/{id}", "business-unit.business-units.read"),
    _call("PATCH", "/v1/business-unit/business-units/{id}", "business-unit.business-units.update"),
    _call("POST", "/v1/business-unit/business-units/{id}/archive", "business-unit.business-units.update"),
    _call("POST", "/v1/auth/issuers", "auth.issuers.create"),
    _call("GET", "/v1/auth/issuers", "auth.issuers.read"),
    _call("GET", "/v1/auth/issuers/{id}", "auth.issuers.read"),
    _call("PATCH", "/v1/auth/issuers/{id}", "auth.issuers.update"),
    _call("DELETE", "/v1/auth/issuers/{id}", "auth.issuers.delete"),
    _free("POST", "/v1/auth/token", "self_authenticating"),
    _free("POST", "/v1/auth/revoke", "self_authenticating"),
    _free("POST", "/v1/auth/introspect", "self_authenticating"),
    _free("GET", "/.well-known/jwks.json", "open"),
    _free("GET", "/.well-known/oauth-authorization-server", "open"),
    _call("POST", "/v1/tenants", "platform.tenants.create"),
    _call("GET", "/v1/tenants", "platform.tenants.read"),
    _call("GET", "/v1/audit-log/history", "audit-log.history.read"),
    _call("GET", "/v1/audit-log/records/{id}", "audit-log.history.read"),
    _call("GET", "/v1/audit-log/records/{id}/receipt", "audit-log.receipts.read"),
    _call("GET", "/v1/audit-log/log", "audit-log.receipts.read"),
    Route(
        method="POST",
        template="/v1/audit-log/erasures",
        permission="audit-log.erasures.create",
        unit=_UNIT,
        keeps_body=False,
        control=True,
    ),
    _call("GET", "/v1/audit-log/export", "audit-log.exports.read"),
    _call("GET", "/v1/audit-log/exports", "audit-log.exports.read"),
    _call("POST", "/v1/audit-log/streams", "audit-log.streams.create"),
    _call("GET", "/v1/audit-log/streams", "audit-log.streams.read"),
    _call("GET", "/v1/audit-log/streams/{id}", "audit-log.streams.read"),
    _call("PATCH", "/v1/audit-log/streams/{id}", "audit-log.streams.update"),
    _call("DELETE", "/v1/audit-log/streams/{id}", "audit-log.streams.delete"),
    _call("POST", "/v1/audit-log/streams/{id}/test", "audit-log.streams.update"),
    _call("POST", "/v1/audit-log/streams/{id}/rotate-secret", "audit-log.streams.update"),
    _call("POST", "/v1/access/rehearse", "access.rehearsals.read"),
    _free("GET", "/openapi.json", "open"),
)
