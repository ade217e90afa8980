"""Secrets are planted wherever a request has room for them; then every byte that was kept is searched for them."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from tests.attack import remains
from tests.attack.canaries import LABELS, Canary, card_numbers, key, labelled, pem, shapes, word
from tests.attack.places import LABELLED_PLACES, LONG_PLACES, PLACES, Fill, Headers, form_body, json_body
from tests.attack.remains import Remains
from tests.support import shop
from tests.support.raw import Answer, Connection, request
from tests.support.server import serving
from tests.support.tenancy import HISTORY, KEYS, UNITS, Operator, Tenant, operator_of

SEED = 20_261_124
MARKER = "MarkerWhichIsNoSecret"
WRITE_AHEAD_LOGS = ("ledger.db-wal", "directory.db-wal")


@dataclass
class Garden:
    """What was planted where, what came back, and what was left.

    `running` is the databases' write-ahead logs, which are there only as long as somebody writes.
    """

    planted: list[tuple[Canary, str]] = field(default_factory=list)
    named: list[tuple[Canary, str]] = field(default_factory=list)
    refusals: list[tuple[Canary, str, Answer]] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    recorded: set[str] = field(default_factory=set)
    running: list[Remains] = field(default_factory=list)
    stopped: list[Remains] = field(default_factory=list)


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Garden:
    folder = tmp_path_factory.mktemp("canaries")
    table = folder / "routes.toml"
    table.write_text(shop.routes(), "utf-8")
    found = Garden()
    with serving(folder / "data", "tests.support.shop:app", HATCHPAY_ROUTES=str(table)) as server:
        with operator_of(server) as operator, operator.onboard("Garden") as tenant:
            Gardener(found, operator, tenant).plant_everything()
            found.recorded = {*record_ids(operator), *record_ids(tenant)}
            found.running = remains.of_files(*(server.data_dir / name for name in WRITE_AHEAD_LOGS))
        assert server.stop() == 0
    found.stopped = [
        *remains.of_directory(server.data_dir),
        *remains.of_the_record(server.data_dir),
        *remains.of_files(server.log, server.out),
    ]
    return found


class Gardener:
    def __init__(self, garden: Garden, operator: Operator, tenant: Tenant) -> None:
        self.garden = garden
        self.operator = operator
        self.tenant = tenant
        self.rng = random.Random(SEED)
        self.caller: Headers = [("X-API-Key", tenant.key.text)]
        self.keys = [key("a real key", tenant.make_key().text) for _ in range(3)]
        self.seeds: list[tuple[str, Fill, Canary]] = []

    def plant_everything(self) -> None:
        callers = [key("the caller's key", one.key.text) for one in (self.tenant, self.operator)]
        self.garden.planted += [(canary, "every request") for canary in (*callers, *self.keys)]
        for name, fill in PLACES.items():
            for canary in self.canaries():
                self.plant(name, fill, canary)
        for name, fill in LONG_PLACES.items():
            for canary in self.rng.sample(list(self.canaries()), 4):
                self.plant(name, fill, canary)
        for name, fill in LABELLED_PLACES.items():
            for form in (
                "{name}={value}",
                "{name}: {value}",
                '{{"{name}": "{value}"}}',
                "the {name} is {name}={value};",
            ):
                for canary in labelled(self.rng, form):
                    self.plant(name, fill, canary)
        self.plant_fields()
        self.plant_packed_bodies()
        # Several at once, for each waits for the disk.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.sow, self.seeds))
        self.plant_names()
        self.plant_markers()

    def canaries(self) -> Iterator[Canary]:
        yield from shapes(self.rng)
        yield from card_numbers(self.rng)
        yield pem(self.rng)
        yield self.rng.choice(self.keys)

    def plant(self, place: str, fill: Fill, canary: Canary) -> None:
        self.seeds.append((place, fill, canary))

    def sow(self, seed: tuple[str, Fill, Canary]) -> None:
        place, fill, canary = seed
        with Connection(self.tenant.server.port) as connection:
            connection.send(fill(canary.text, self.caller))
            answer = connection.answer()
        assert answer is not None, f"no answer to {canary.kind} in {place}"
        self.garden.planted.append((canary, place))
        self.garden.answered.add(answer.request_id)
        if answer.header("content-type") == "application/problem+json":
            self.garden.refusals.append((canary, place, answer))

    def plant_fields(self) -> None:
        """Secrets in fields that are named for them, and card numbers as numbers."""
        for name in LABELS:
            for build in (
                lambda value, name=name: {name: value},
                lambda value, name=name: {"payment": [{name.upper(): [value]}]},
                lambda value, name=name: {name: {"value": value}},
            ):
                value = word(self.rng)
                self.plant("a named JSON field", json_body(build), Canary(f"a {name}", value, value))
            value = word(self.rng)
            form = form_body(lambda value, name=name: f"a=1&{name}={value}&b=2")
            self.plant("a named form field", form, Canary(f"a {name}", value, value))
        for canary in card_numbers(self.rng):
            digits = canary.text
            if digits.isascii() and digits.isdigit():
                for number in (digits, f"-{digits}", f"{digits}.00", f"{digits[0]}.{digits[1:]}e{len(digits) - 1}"):
                    as_number = f'{{"n": [{number}]}}'
                    self.plant("a JSON number", self.as_is, Canary(canary.kind, as_number, canary.secret))

    def plant_packed_bodies(self) -> None:
        """Whoever finds packed bytes, as they are or written out, can unpack them."""
        for canary in self.canaries():
            packed = gzip.compress(json.dumps({"note": canary.text}).encode(), mtime=0)
            written = "".join(letter for letter in packed.decode("utf-8", "backslashreplace") if letter.isalnum())

            def fill(_: str, caller: Headers, packed: bytes = packed) -> bytes:
                headers = [*caller, ("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
                return request("/shop/count", "POST", headers, packed)

            self.plant("a packed body", fill, Canary(f"{canary.kind}, packed", canary.text, written))

    def plant_names(self) -> None:
        """Names and descriptions are kept as given, to be shown again; the audit trail redacts them."""
        client = self.tenant.client
        more = itertools.cycle(
            (
                lambda text: client.post("/roles", json={"name": text, "description": text, "permissions": []}),
                lambda text: client.post(UNITS, json={"name": text, "timezone_name": "Europe/Zurich"}),
                lambda text: self.operator.client.post("/v1/tenants", json={"name": text}),
            )
        )
        for canary in (*shapes(self.rng), *card_numbers(self.rng)):
            text = canary.text
            labels = {"note": text, text if len(text) <= 64 else "too long": "x"}
            answer = client.post(KEYS, json={"name": text, "description": text, "owner": text, "metadata": labels})
            if answer.status_code == 422:
                continue
            assert answer.status_code == 201, answer.text
            made = f"{KEYS}/{answer.json()['id']}"
            client.patch(made, json={"name": f"{text} again", "description": "other"})
            client.delete(made)
            assert next(more)(text).status_code in {201, 422}
            self.garden.named.append((canary, "names and descriptions"))

    def plant_markers(self) -> None:
        """What is no secret, to show that the search would find one."""
        for data in (
            self.as_is(f'{{"note": "{MARKER}InJson"}}', self.caller),
            request("/roles", headers=[*self.caller, ("User-Agent", f"{MARKER}InHeader")]),
            request(f"/nothing/{MARKER}InPath", headers=self.caller),
            request("/shop/crash", "POST", self.caller, f"{MARKER}InCrash".encode()),
        ):
            with Connection(self.tenant.server.port) as connection:
                connection.send(data)
                assert connection.answer() is not None

    @staticmethod
    def as_is(text: str, caller: Headers) -> bytes:
        return request("/shop/count", "POST", [*caller, ("Content-Type", "application/json")], text.encode())


def record_ids(log: Tenant | Operator) -> Iterator[str]:
    query: dict[str, str] = {"limit": "200"}
    while True:
        page = log.client.get(HISTORY, params=query).json()
        yield from (record["request_id"] for record in page["data"])
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def leaks(canaries: Iterable[tuple[Canary, str]], kept: list[Remains]) -> Iterator[str]:
    for canary, place in canaries:
        where = sorted({part.where for part in kept if part.hold(canary)})
        if where:
            yield f"{canary.kind} in {place} is left in {', '.join(where)}"


def none_of(findings: Iterable[str]) -> None:
    """Names all of them where there are any, which pytest would cut short."""
    found = list(findings)
    assert not found, f"{len(found)} findings\n" + "\n".join(found)


def test_every_planted_request_is_on_record(garden: Garden) -> None:
    assert len(garden.answered) > 2_000
    assert garden.answered <= garden.recorded


@pytest.mark.parametrize("place", ["InJson", "InHeader", "InPath", "InCrash"])
def test_what_is_no_secret_is_found_so_the_search_works(garden: Garden, place: str) -> None:
    marker = Canary("a marker", "", f"{MARKER}{place}"[-12:])
    assert any(part.hold(marker) for part in garden.stopped)


def test_names_are_found_in_the_directory_so_the_search_sees_through_disguises(garden: Garden) -> None:
    directory = [part for part in garden.stopped if part.where.startswith("directory.db")]
    assert len({canary.kind for canary, _ in garden.named}) > 40
    none_of(canary.kind for canary, _ in garden.named if not any(part.hold(canary) for part in directory))


def test_no_secret_is_left_in_a_write_ahead_log(garden: Garden) -> None:
    none_of(leaks(garden.planted, garden.running))


def test_no_secret_is_left_when_the_server_has_stopped(garden: Garden) -> None:
    none_of(leaks(garden.planted, garden.stopped))


def test_names_are_redacted_in_the_audit_trail(garden: Garden) -> None:
    kept = [part for part in (*garden.running, *garden.stopped) if not part.where.startswith("directory.db")]
    none_of(leaks(garden.named, kept))


def test_no_refusal_repeats_a_secret(garden: Garden) -> None:
    none_of(
        f"{canary.kind} in {place}"
        for canary, place, answer in garden.refusals
        if Remains("", answer.body + repr(answer.headers).encode()).hold(canary)
    )
