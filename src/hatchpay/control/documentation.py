"""The OpenAPI 3.1 document: FastAPI's skeleton, filled from the models, the views and the route table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from hatchpay.control.examples import KEY_ID, problem_example
from hatchpay.control.json_body import Body
from hatchpay.control.published import ACCESS_TOKEN, CLIENT_CREDENTIALS, JWT, TOKEN_EXCHANGE
from hatchpay.control.query import Query
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.identity.own_token import MAX_LIFE_S

__all__ = ["TOKEN_FORM", "TOKEN_ONLY_FORM", "document", "documented", "oauth_documented", "open_documented"]

Json = dict[str, Any]
_REF: Final = "#/components/schemas/{name}"
_PROBLEM_REF: Final = {"$ref": _REF.format(name="Problem")}
_DESCRIPTION: Final = """Keys, roles, permissions, business units, tenants and the record of every request.

Every call needs one credential: an API key in `X-API-Key`, or a key or token as `Authorization: Bearer`. Nobody
grants what they do not hold. Errors are RFC 9457 problem details; compare `code`, never `detail`."""

_PROBLEM_SCHEMA: Final[Json] = {
    "title": "Problem",
    "description": "RFC 9457. `field` names the input that is wrong, `line` and `column` where in a text of several "
    "lines, `permission` the missing grant.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "field": {"type": "string"},
        "permission": {"type": "string"},
        "line": {"type": "integer", "minimum": 1},
        "column": {"type": "integer", "minimum": 1},
    },
}
_SECURITY: Final[Json] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT, or hp_live_… or hp_test_…"},
    "basic": {"type": "http", "scheme": "basic", "description": "An API key's id and text, at OAuth endpoints only"},
}
_FORM: Final = "application/x-www-form-urlencoded"
_OAUTH_ERROR: Final[Json] = {
    "title": "OAuthError",
    "description": "RFC 6749, section 5.2",
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_NO_CLIENT: Final[Json] = {"error": "invalid_client", "error_description": "the client is not known"}
_TOO_LARGE: Final[Json] = {"error": "invalid_request", "error_description": "the form is too large"}
_OAUTH_DESCRIPTION: Final = """The client is an API key, sent in one way only: in `X-API-Key`; its id and text by HTTP
Basic; the same two as `client_id` and `client_secret` in the form; or the key as `Authorization: Bearer`. A token is no
client credential. All parameters stand in the form, none in the URL; one without a value counts as left out."""
_EXCHANGE_DESCRIPTION: Final = """
A key or a token of this server may be exchanged without a client; the token of another issuer may not."""
_TOKEN_TYPES: Final = [ACCESS_TOKEN, JWT]
_CLIENT_FIELDS: Final[Json] = {
    "client_id": {"type": "string", "format": "uuid", "description": "The key's id"},
    "client_secret": {"type": "string", "format": "password", "description": "The key's text"},
}
TOKEN_FORM: Final[Json] = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {
            "type": "string",
            "enum": [CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        },
        "scope": {"type": "string", "description": "Permissions, separated by spaces; all without it"},
        "expires_in": {"type": "integer", "minimum": 1, "maximum": MAX_LIFE_S, "description": "Seconds"},
        **_CLIENT_FIELDS,
        "subject_token": {"type": "string", "description": "For an exchange: a key, or a token"},
        "subject_token_type": {"type": "string", "enum": _TOKEN_TYPES, "description": "Goes with subject_token"},
        "requested_token_type": {"type": "string", "enum": _TOKEN_TYPES, "default": ACCESS_TOKEN},
        "resource": {"type": "string", "format": "uri", "description": "This server; anything else is invalid_target"},
        "audience": {"type": "string", "description": "This server; anything else is invalid_target"},
    },
}
"""What the token endpoint takes."""
TOKEN_ONLY_FORM: Final[Json] = {
    "type": "object",
    "required": ["token"],
    "properties": {
        "token": {"type": "string"},
        "token_type_hint": {"type": "string", "description": "Makes no difference"},
        **_CLIENT_FIELDS,
    },
}
"""What the endpoints take that revoke and inspect a token."""
_TAG_EXAMPLE: Final = '"8f14e45fceea167a5a36dedd4bea2543"'
_ETAG: Final[Json] = {
    "description": "Its version, for `If-Match`; mere use of it is none (RFC 9110, section 8.8.3)",
    "schema": {"type": "string"},
    "example": _TAG_EXAMPLE,
}
_IF_MATCH: Final[Json] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Only if it still is of this version: `ETag` of an earlier answer, several of them, or `*`",
    "schema": {"type": "string"},
    "example": _TAG_EXAMPLE,
}
_PROBLEMS: Final[dict[int, tuple[str, Json]]] = {
    400: (
        "The request cannot be read, or is ambiguous",
        problem_example(400, "duplicate_json_key", "a key stands twice in one object", field="name"),
    ),
    401: (
        "No credential, or one that is not valid",
        problem_example(401, "credential_invalid", "the credential is not valid"),
    ),
    403: (
        "The caller lacks the permission, or would grant what they do not hold",
        problem_example(
            403,
            "permission_missing",
            "the key lacks the permission api-key.keys.read",
            permission="api-key.keys.read",
        ),
    ),
    404: (
        "There is no such object in the caller's tenant",
        problem_example(404, "not_found", "there is no such object"),
    ),
    409: (
        "The state forbids it; nothing has changed",
        problem_example(409, "last_administrator", "the tenant must keep a key that can administer it"),
    ),
    412: (
        "It is not what `If-Match` expects any more; nothing has changed",
        problem_example(412, "precondition_failed", "it has changed since it was read; read it again"),
    ),
    413: (
        "The body is too large",
        problem_example(413, "body_too_large", "the body is too large"),
    ),
    415: (
        "The body is not sent as JSON",
        problem_example(415, "unsupported_media_type", "send the body as application/json"),
    ),
    422: (
        "A field is wrong; nothing has changed",
        problem_example(422, "invalid_field", "must be a valid string", field="name"),
    ),
    429: (
        "Too much at once; `Retry-After` says when to come again",
        problem_example(429, "too_many_exports", "two exports of this tenant are running already"),
    ),
    503: (
        "It cannot be decided or recorded; nothing was done unless `code` says otherwise",
        problem_example(503, "directory_unavailable", "a part of the service is out of order"),
    ),
}


def documented(
    operation_id: str,
    summary: str,
    *,
    status: int = 200,
    answer: Any = None,
    example: Json | str | None = None,
    body: tuple[type[Body], Json] | None = None,
    body_optional: bool = False,
    query: type[Query] | None = None,
    path_id: str | None = None,
    problems: tuple[int, ...] = (),
    etag: bool = False,
    if_match: bool = False,
    media_type: str = "application/json",
    files: tuple[str, ...] = (),
) -> Json:
    """Keyword arguments for a route's decorator.

    `answer` is the type of the answer, of `media_type`, and `example` one of its values; `path_id` says what `{id}`
    names; `problems` are those that this call may give besides the ones that follow from the rest. `etag` is
    for an answer with an entity tag, `if_match` for a call that heeds one; `files` are media types that it may answer
    with as well, as texts or bytes.
    """
    expected = {400, 401, 403, 422, 503, *problems}
    responses: Json = {str(status): {"description": summary}}
    if answer is not None:
        schema = msgspec.json.schema_components([answer], ref_template=_REF)[0][0]
        responses[str(status)]["content"] = {media_type: {"schema": schema, "example": example}}
        for name in files:
            responses[str(status)]["content"][name] = {"schema": {"type": "string", "format": "binary"}}
    if etag:
        responses[str(status)]["headers"] = {"ETag": _ETAG}
    extra: Json = {"responses": responses}
    parameters = _parameters(query, path_id)
    if if_match:
        parameters.append(_IF_MATCH)
        expected.add(412)
    if parameters:
        extra["parameters"] = parameters
    if path_id is not None:
        expected.add(404)
    if body is not None:
        expected |= {413, 415}
        model, sample = body
        content = {"schema": {"$ref": _REF.format(name=model.__name__)}, "example": sample}
        extra["requestBody"] = {"required": not body_optional, "content": {"application/json": content}}
    responses |= {str(code): _problem(code) for code in sorted(expected)}
    return {"operation_id": operation_id, "summary": summary, "status_code": status, "openapi_extra": extra}


def oauth_documented(
    operation_id: str, summary: str, form: tuple[Json, Json], example: Json | None, refusal: Json
) -> Json:
    """As `documented`, for an OAuth endpoint: it takes a form, and answers refusals in OAuth's own shape.

    `form` is its schema and an example of it; `refusal` is an answer with status 400.
    """
    schema, sent = form
    success: Json = {"description": summary}
    if example is not None:
        success["content"] = {"application/json": {"schema": {"type": "object"}, "example": example}}
    refused = {
        status: {
            "description": description,
            "content": {"application/json": {"schema": _OAUTH_ERROR, "example": sample}},
        }
        for status, description, sample in (
            ("400", "The request is wrong", refusal),
            ("401", "No client, or none that is known", _NO_CLIENT),
            ("413", "The form is too large", _TOO_LARGE),
        )
    }
    exchanges = "subject_token" in schema["properties"]
    extra: Json = {
        "description": _OAUTH_DESCRIPTION + (_EXCHANGE_DESCRIPTION if exchanges else ""),
        "requestBody": {"required": True, "content": {_FORM: {"schema": schema, "example": sent}}},
        "responses": {"200": success, **refused, "503": _problem(503)},
        "security": [{"apiKey": []}, {"basic": []}, {"bearer": []}, {}],
    }
    return {"operation_id": operation_id, "summary": summary, "openapi_extra": extra}


def open_documented(operation_id: str, summary: str, example: Json) -> Json:
    """As `documented`, for a document that is open to everybody."""
    success = {
        "description": summary,
        "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
    }
    extra: Json = {
        "responses": {"200": success, "304": {"description": "Unchanged"}, "400": _problem(400), "503": _problem(503)},
        "security": [{}],
    }
    return {"operation_id": operation_id, "summary": summary, "openapi_extra": extra}


def document(routers: Sequence[APIRouter], bodies: Sequence[type[Body]], answers: Sequence[Any]) -> Json:
    """The whole document. `bodies` and `answers` become its components."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    built: Json = get_openapi(
        title="HatchPay control API",
        version=version("hatchpay"),
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        routes=routes,
    )
    permissions = {(route.method, route.template): route.permission for route in CONTROL_ROUTES}
    for route in routes:
        for method in route.methods or ():
            operation = built["paths"][route.path][method.lower()]
            # Once more, whole: FastAPI drops every null, and an example's nulls belong to it.
            operation |= route.openapi_extra or {}
            permission = permissions[method, route.path]
            if permission is not None:
                operation["x-hatchpay-permission"] = permission
    _, schemas = msgspec.json.schema_components(answers, ref_template=_REF)
    for body in bodies:
        schema = body.model_json_schema(ref_template=_REF.replace("{name}", "{model}"))
        schemas |= schema.pop("$defs", {})
        schemas[body.__name__] = schema
    built["components"] = {"schemas": {**schemas, "Problem": _PROBLEM_SCHEMA}, "securitySchemes": _SECURITY}
    built["security"] = [{"apiKey": []}, {"bearer": []}]
    return built


def _problem(status: int) -> Json:
    description, example = _PROBLEMS[status]
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": _PROBLEM_REF, "example": example}},
    }


def _parameters(query: type[Query] | None, path_id: str | None) -> list[Json]:
    parameters: list[Json] = []
    if path_id is not None:
        schema = {"type": "string", "format": "uuid"}
        parameters.append(
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": path_id,
                "schema": schema,
                "example": KEY_ID,
            }
        )
    model = query.model_json_schema() if query is not None else {}
    fields, required = model.get("properties", {}), model.get("required", ())
    for name, field in fields.items():
        schema = next((option for option in field.get("anyOf", ()) if option.get("type") != "null"), field)
        schema = {word: value for word, value in schema.items() if word not in {"title", "description"}}
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": field["description"],
                "schema": schema,
            }
        )
    return parameters
