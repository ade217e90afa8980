"""The control API, put together. It never stands alone: the gate in front proves, decides and records."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware

from hatchpay.admin.advice_views import AdviceOverview, AppliedAdvice, KeyAdvice, RoleAdvice
from hatchpay.admin.erasures import ErasureView
from hatchpay.admin.explain_views import ExplanationView
from hatchpay.admin.rehearsal_views import RehearsalView
from hatchpay.admin.stream_views import StreamTestView, StreamView
from hatchpay.admin.token_views import IssuerView
from hatchpay.admin.views import BusinessUnitView, KeyView, Page, PermissionView, PolicyView, RoleView, TenantView
from hatchpay.audit.export.ports import ExportView
from hatchpay.control import (
    access,
    advice,
    audit_log,
    business_units,
    erasures,
    exports,
    issuers,
    keys,
    models,
    permissions,
    policies,
    problems,
    receipts,
    rehearse,
    roles,
    stream_models,
    streams,
    tenants,
    tokens,
    well_known,
)
from hatchpay.control.answers import ExportedRecord, HistoryPageAnswer, IssuedKey, OnboardedAnswer
from hatchpay.control.boundary import Boundary
from hatchpay.control.caller import actor
from hatchpay.control.documentation import document
from hatchpay.control.services import Services

__all__ = ["Services", "create_control_app"]

_ROUTERS: Final[tuple[APIRouter, ...]] = (
    keys.router,
    roles.router,
    permissions.router,
    access.router,
    policies.router,
    business_units.router,
    advice.router,
    tenants.router,
    audit_log.router,
    erasures.router,
    receipts.router,
    issuers.router,
    exports.router,
    rehearse.router,
    streams.router,
)
_FREE: Final[tuple[APIRouter, ...]] = (tokens.router, well_known.router)
"""Open to everybody, or authenticating their callers themselves; what they serve is listed in `routes` one by one."""

_BODIES: Final = (
    models.CreateKey,
    models.ChangeKey,
    models.SetKeyRoles,
    models.RotateKey,
    models.DefineRole,
    models.DefinePolicy,
    models.ChangeBusinessUnit,
    models.CreateBusinessUnit,
    models.CreateTenant,
    models.EraseRecords,
    models.ApplyAdvice,
    models.TrustIssuer,
    models.ChangeIssuer,
    models.Rehearse,
    models.ExplainAccess,
    stream_models.CreateStream,
    stream_models.ChangeStream,
    stream_models.RotateStreamSecret,
)
_ANSWERS: Final = (
    IssuedKey,
    Page[KeyView],
    Page[RoleView],
    Page[PermissionView],
    Page[PolicyView],
    Page[BusinessUnitView],
    Page[TenantView],
    OnboardedAnswer,
    HistoryPageAnswer,
    ErasureView,
    receipts.RecordAnswer,
    receipts.TenantLogAnswer,
    ExportedRecord,
    Page[ExportView],
    Page[IssuerView],
    RehearsalView,
    ExplanationView,
    KeyAdvice,
    RoleAdvice,
    AdviceOverview,
    AppliedAdvice,
    streams.IssuedStream,
    Page[StreamView],
    StreamTestView,
)


class _ControlApp(FastAPI):
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document((*_ROUTERS, *_FREE), _BODIES, _ANSWERS)
        return self.openapi_schema


def create_control_app(services: Services) -> FastAPI:
    """An ASGI application for exactly the calls of `routes.CONTROL_ROUTES`."""
    app = _ControlApp(docs_url=None, redoc_url=None, redirect_slashes=False, middleware=[Middleware(Boundary)])
    app.state.services = services
    problems.install(app)
    for router in _FREE:
        app.include_router(router)
    for router in _ROUTERS:
        # Each endpoint asks for its actor as well; here, so that one that forgets is not thereby open.
        app.include_router(router, dependencies=[Depends(actor)])
    return app
