"""`/.well-known/…`: open to everybody, cacheable, with an entity tag."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from hatchpay.control import examples
from hatchpay.control.calls import CurrentServices, NoParameters
from hatchpay.control.documentation import open_documented
from hatchpay.control.published import CACHE_S, JWKS, METADATA

__all__ = ["router"]

router: Final = APIRouter(tags=["Tokens"], default_response_class=Response)


@router.get(JWKS, **open_documented("getJwks", "The keys that verify our tokens", examples.JWKS))
async def jwks(request: Request, services: CurrentServices, _: NoParameters) -> Response:
    return _cacheable(request, services.published.jwks(), "application/jwk-set+json")


@router.get(METADATA, **open_documented("getOAuthMetadata", "What an OAuth client needs to know", examples.METADATA))
async def metadata(request: Request, services: CurrentServices, _: NoParameters) -> Response:
    return _cacheable(request, services.published.metadata(), "application/json")


def _cacheable(request: Request, document: dict[str, object], media_type: str) -> Response:
    body = msgspec.json.encode(document)
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={CACHE_S}"}
    if not {etag, "*"}.isdisjoint(_tags(request.headers.getlist("if-none-match"))):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _tags(values: list[str]) -> set[str]:
    """RFC 9110, section 13.1.2: weakly compared."""
    return {part.strip().removeprefix("W/") for value in values for part in value.split(",")}
