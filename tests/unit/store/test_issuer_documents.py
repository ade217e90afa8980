"""The key set of an issuer, given or discovered, from a real server on a loopback port."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hatchpay.errors import FetchFailed
from hatchpay.store.guarded_http import GuardedHttp
from hatchpay.store.issuer_documents import IssuerDocuments

KEYS = b'{"keys": [ {"kty":"OKP"} ]}\n'
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


class Site:
    """Answers what stands in `pages` under a path, with 200 or the status given; 404 for all else."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | int] = {"/keys": KEYS}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = site.pages.get(self.path, 404)
                self.send_response(page if isinstance(page, int) else 200)
                self.end_headers()
                self.wfile.write(b"" if isinstance(page, int) else page)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def publish(self, path: str, issuer: str, **members: object) -> None:
        self.pages[path] = json.dumps({"issuer": issuer, "jwks_uri": f"{self.url}/keys", **members}).encode()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.end()


@pytest.fixture
def documents() -> IssuerDocuments:
    return IssuerDocuments(GuardedHttp(insecure=True))


def refusal(documents: IssuerDocuments, issuer: str, jwks_url: str | None = None) -> str:
    """The code that `keys` raises, in an error that repeats nothing of the issuer."""
    with pytest.raises(FetchFailed) as caught:
        documents.keys(issuer, jwks_url)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert issuer not in str(caught.value)
    return caught.value.code


def test_a_key_set_of_a_known_address_is_fetched_from_there_alone(site: Site, documents: IssuerDocuments) -> None:
    assert documents.keys("https://issuer.test", f"{site.url}/keys") == KEYS
    assert site.asked == ["/keys"]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("", OPENID),
        ("/", OPENID),
        ("/tenant", f"/tenant{OPENID}"),
        ("/tenant/", f"/tenant{OPENID}"),
        ("/a/b", f"/a/b{OPENID}"),
    ],
)
def test_openid_discovery_appends_its_path_to_the_issuer(
    site: Site, documents: IssuerDocuments, path: str, document: str
) -> None:
    issuer = site.url + path
    site.publish(document, issuer)
    assert documents.keys(issuer, None) == KEYS
    assert site.asked == [document, "/keys"]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("", OAUTH),
        ("/", OAUTH),
        ("/tenant", f"{OAUTH}/tenant"),
        ("/tenant/", f"{OAUTH}/tenant"),
        ("/a/b", f"{OAUTH}/a/b"),
    ],
)
def test_where_that_is_missing_the_oauth_path_is_put_between_host_and_path(
    site: Site, documents: IssuerDocuments, path: str, document: str
) -> None:
    issuer = site.url + path
    site.publish(document, issuer)
    assert documents.keys(issuer, None) == KEYS
    assert site.asked[1:] == [document, "/keys"]


@pytest.mark.parametrize("status", [401, 403, 410, 500, 503])
def test_an_openid_document_that_fails_otherwise_is_not_replaced_by_another(
    site: Site, documents: IssuerDocuments, status: int
) -> None:
    site.pages[OPENID] = status
    site.publish(OAUTH, site.url)
    assert refusal(documents, site.url) == "fetch_status"
    assert site.asked == [OPENID]


def test_an_issuer_without_any_document_is_refused(site: Site, documents: IssuerDocuments) -> None:
    assert refusal(documents, site.url) == "fetch_status"
    assert site.asked == [OPENID, OAUTH]


@pytest.mark.parametrize(
    "named", ["{0}/", "{0}/other", "{0} ", "https://issuer.test", "", "HTTP://127.0.0.1", None, 1, True, ["{0}"], {}]
)
def test_a_document_that_names_another_issuer_is_refused_before_its_keys_are_fetched(
    site: Site, documents: IssuerDocuments, named: object
) -> None:
    named = named.format(site.url) if isinstance(named, str) else named
    named = [site.url] if isinstance(named, list) else named
    site.pages[OPENID] = json.dumps({"issuer": named, "jwks_uri": f"{site.url}/keys"}).encode()
    assert refusal(documents, site.url) == "issuer_mismatch"
    assert site.asked == [OPENID]


def test_a_final_slash_of_the_issuer_counts_when_names_are_compared(site: Site, documents: IssuerDocuments) -> None:
    site.publish(OPENID, site.url)
    assert refusal(documents, f"{site.url}/") == "issuer_mismatch"


def test_a_document_that_names_no_issuer_is_refused(site: Site, documents: IssuerDocuments) -> None:
    site.pages[OPENID] = json.dumps({"jwks_uri": f"{site.url}/keys"}).encode()
    assert refusal(documents, site.url) == "issuer_mismatch"


@pytest.mark.parametrize("address", [None, 1, True, ["{0}/keys"], {"a": "b"}])
def test_a_jwks_uri_that_is_not_a_string_is_refused(site: Site, documents: IssuerDocuments, address: object) -> None:
    site.publish(OPENID, site.url, jwks_uri=address)
    assert refusal(documents, site.url) == "issuer_document_invalid"


def test_a_document_without_a_jwks_uri_is_refused(site: Site, documents: IssuerDocuments) -> None:
    site.pages[OPENID] = json.dumps({"issuer": site.url}).encode()
    assert refusal(documents, site.url) == "issuer_document_invalid"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b'"issuer"',
        b"null",
        b"\xff",
        b'\xef\xbb\xbf{"issuer": "ISSUER", "jwks_uri": "ISSUER/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "ISSUER/keys"',
        b'{"issuer": "ISSUER", "jwks_uri": "ISSUER/keys"} {}',
        b'{"issuer": "https://issuer.test", "issuer": "ISSUER", "jwks_uri": "ISSUER/keys"}',
        b'{"issuer": "ISSUER", "jwks_uri": "ISSUER/keys", "a": NaN}',
        b'{"issuer": "ISSUER", "jwks_uri": "ISSUER/keys", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_not_one_strict_json_object_is_refused(site: Site, documents: IssuerDocuments, text: bytes) -> None:
    site.pages[OPENID] = text.replace(b"ISSUER", site.url.encode())
    assert refusal(documents, site.url) == "issuer_document_invalid"
    assert site.asked == [OPENID]


def test_the_keys_may_be_on_another_host_and_port(site: Site, documents: IssuerDocuments) -> None:
    other = Site()
    try:
        site.publish(OPENID, site.url, jwks_uri=other.url.replace("127.0.0.1", "localhost") + "/keys")
        assert documents.keys(site.url, None) == KEYS
        assert other.asked == ["/keys"]
    finally:
        other.end()


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://224.0.0.1/keys", "fetch_address_forbidden"),
        ("http://0.0.0.0/keys", "fetch_address_forbidden"),
        ("file:///etc/passwd", "fetch_url_invalid"),
        ("/keys", "fetch_url_invalid"),
        ("", "fetch_url_invalid"),
        ("http://127.0.0.1/\r\nX: x", "fetch_url_invalid"),
    ],
)
def test_the_address_of_the_keys_is_checked_like_any_other(
    site: Site, documents: IssuerDocuments, address: str, code: str
) -> None:
    site.publish(OPENID, site.url, jwks_uri=address)
    assert refusal(documents, site.url) == code


def test_by_default_neither_issuer_nor_keys_may_be_on_plain_http_or_an_inner_address(site: Site) -> None:
    documents = IssuerDocuments(GuardedHttp())
    assert refusal(documents, site.url) == "fetch_insecure"
    assert refusal(documents, "https://issuer.test", f"{site.url}/keys") == "fetch_insecure"
    assert refusal(documents, site.url.replace("http", "https")) == "fetch_address_forbidden"
    assert site.asked == []


@pytest.mark.parametrize(
    "issuer",
    [
        "urn:issuer",
        "//",
        "issuer.test",
        "accounts",
        "https://",
        "https://issuer.test?a=b",
        "https://issuer.test/#a",
        "\ud800",
    ],
)
def test_an_issuer_that_is_no_address_cannot_be_discovered(documents: IssuerDocuments, issuer: str) -> None:
    assert refusal(documents, issuer) == "fetch_url_invalid"


def test_the_key_set_is_not_judged(site: Site, documents: IssuerDocuments) -> None:
    site.pages["/keys"] = b"\x00 not a key set"
    assert documents.keys(site.url, f"{site.url}/keys") == b"\x00 not a key set"
