"""Witnesses as real processes, and the log that brings its checkpoints to them."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.sealed import TENANT, SealedLog, record
from tests.support.witness import RunningWitness, witnessing

from hatchpay.clock import wall_us
from hatchpay.errors import SettingsError
from hatchpay.ledger.checkpoint import open_checkpoint
from hatchpay.ledger.cosignature import Cosigner
from hatchpay.ledger.note import Signer, VerifierKey
from hatchpay.ledger.policy import WitnessPolicy, cosigners
from hatchpay.ledger.submission import Submission
from hatchpay.ledger.tiles import TileReader
from hatchpay.store.tile_files import TileFiles
from hatchpay.store.witnesses import (
    Behind,
    Cosigned,
    Failed,
    Forked,
    KnownWitness,
    WitnessClient,
    WitnessSubmitter,
    parse_witnesses,
)

SEED = b"s" * 32
SECOND = 1_000_000
W2, W3 = (Cosigner(f"w{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)).key.vkey for n in (2, 3))
HOSTS = [f"log{number}.test" for number in range(16)]
_unused = iter(HOSTS)
LogOf = Callable[..., SealedLog]


@pytest.fixture(scope="module")
def vkeys() -> list[str]:
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    return [Signer(f"{host}/{TENANT}", private).key.vkey for host in HOSTS]


@pytest.fixture
def host() -> str:
    """A log of its own for every test. All logs have one key, so those of one host are histories of one log."""
    return next(_unused)


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory, vkeys: list[str]) -> Iterator[RunningWitness]:
    with witnessing(tmp_path_factory.mktemp("w") / "w1", "witness.example/w1", *vkeys) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, vkeys: list[str]) -> Iterator[RunningWitness]:
    with witnessing(tmp_path_factory.mktemp("w") / "w2", "witness.example/w2", *vkeys) as running:
        yield running


@pytest.fixture
def log_of(tmp_path: Path, host: str) -> Iterator[LogOf]:
    made: list[SealedLog] = []

    def make(*numbers: int) -> SealedLog:
        log = SealedLog(tmp_path / f"log{len(made)}", SEED, host)
        made.append(log)
        grow(log, *numbers)
        return log

    yield make
    for log in made:
        log.close()


def shown_at(log: SealedLog) -> str:
    return f"/{sha256(log.origin.encode()).hexdigest()}/checkpoint"


def grow(log: SealedLog, *numbers: int) -> None:
    log.add(*map(record, numbers))
    log.seal()


def submission(log: SealedLog, old: int) -> Submission:
    sealed = log.seals.log(TENANT)
    assert sealed is not None
    size = sealed.edge.size
    proof = TileReader(TileFiles(log.tiles, TENANT), size).consistency(old) if 0 < old <= size else []
    return Submission(old, tuple(proof), sealed.checkpoint)


def submitter(
    log: SealedLog, witnesses: list[KnownWitness], quorum: int = 1, clock: Callable[[], int] = wall_us
) -> WitnessSubmitter:
    return WitnessSubmitter(log.seals, log.tiles, witnesses, quorum, clock, WitnessClient(deadline_s=1.0))


def seen(log: SealedLog) -> dict[str, tuple[int, str | None]]:
    return {name: (size, failure) for name, size, _, failure in log.seals.witnesses(TENANT)}


def cosigned(log: SealedLog, *witnesses: RunningWitness) -> tuple[int, list[str]]:
    """The size of the cosigned checkpoint, and who has cosigned it."""
    kept = log.seals.log(TENANT)
    assert kept is not None
    if kept.cosigned is None:
        return 0, []
    checkpoint, opened = open_checkpoint(kept.cosigned, [VerifierKey.parse(log.vkey)])
    found = cosigners(opened, WitnessPolicy(tuple(one.known.key for one in witnesses), 0))
    assert checkpoint.size == kept.cosigned_size
    return checkpoint.size, [one.witness.name for one in found]


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """The kernel takes its connections, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_two_witnesses_cosign_a_log_as_it_grows(log_of: LogOf, witness: RunningWitness, other: RunningWitness) -> None:
    log = log_of(*range(3))
    bringing = submitter(log, [witness.known, other.known], quorum=2)
    for size in (3, 5, 300):
        grow(log, *range(log_size(log), size))
        bringing.step()
        assert cosigned(log, witness, other) == (size, ["witness.example/w1", "witness.example/w2"])
        assert seen(log) == {"witness.example/w1": (size, None), "witness.example/w2": (size, None)}
    shown = httpx.get(witness.url + shown_at(log))
    checkpoint, opened = open_checkpoint(shown.content, [VerifierKey.parse(log.vkey)])
    assert (checkpoint.size, len(cosigners(opened, WitnessPolicy((witness.known.key,), 1)))) == (300, 1)
    receipt = log.receipt(7)
    assert b"witness.example/w1 " in receipt and b"witness.example/w2 " in receipt


def log_size(log: SealedLog) -> int:
    kept = log.seals.log(TENANT)
    return 0 if kept is None else kept.edge.size


def test_a_log_that_shows_two_histories_is_caught(
    log_of: LogOf, witness: RunningWitness, caplog: pytest.LogCaptureFixture
) -> None:
    honest, forked = log_of(0, 1, 2), log_of(0, 1, 7)
    submitter(honest, [witness.known]).step()
    assert cosigned(honest, witness)[0] == 3
    now = [wall_us()]
    bringing = submitter(forked, [witness.known], clock=lambda: now[0])
    for size in (3, 5):
        grow(forked, *range(10, 10 + size - log_size(forked)))
        caplog.clear()
        bringing.step()
        assert seen(forked) == {"witness.example/w1": (3, "forked")}
        assert "shows another history than the witness witness.example/w1" in caplog.text
        now[0] += 100 * SECOND
    assert cosigned(forked, witness) == (0, [])
    assert "shows two histories of size 3" in witness.errors.read_text()
    grow(honest, 3)
    submitter(honest, [witness.known]).step()
    assert seen(honest) == {"witness.example/w1": (4, None)}


def test_a_log_that_lost_its_end_is_caught(
    log_of: LogOf, witness: RunningWitness, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut = log_of(*range(5)), log_of(*range(4))
    submitter(whole, [witness.known]).step()
    submitter(cut, [witness.known]).step()
    assert seen(cut) == {"witness.example/w1": (5, "log_shorter")}
    assert "is shorter than what the witness witness.example/w1 has cosigned" in caplog.text


def test_the_client_tells_what_a_witness_answers(log_of: LogOf, tmp_path: Path, witness: RunningWitness) -> None:
    log, forked = log_of(0, 1, 2), log_of(7, 8, 9)
    client = WitnessClient(deadline_s=5)
    assert client.submit(witness.url, submission(log, 3)) == Behind(0)
    assert isinstance(client.submit(witness.url + "/", submission(log, 0)), Cosigned)
    assert isinstance(client.submit(witness.url, submission(log, 3)), Cosigned)
    assert client.submit(witness.url, submission(log, 2)) == Behind(3)
    assert client.submit(witness.url, submission(forked, 3)) == Forked()
    good = submission(log, 3)
    stranger = SealedLog(tmp_path / "stranger", host=log.origin.partition("/")[0])
    grow(stranger, 0, 1, 2)
    assert client.submit(witness.url, submission(stranger, 0)) == Failed("signature_refused")
    unknown = good.checkpoint.replace(b".test/", b".other/")
    assert client.submit(witness.url, Submission(3, (), unknown)) == Failed("log_unknown")
    assert client.submit(witness.url, Submission(3, (), b"")) == Failed("request_refused")
    assert client.submit(witness.url + "/nowhere", good) == Failed("log_unknown")
    stranger.close()


def test_the_statuses_are_those_of_the_specification(log_of: LogOf, witness: RunningWitness) -> None:
    log = log_of(0, 1, 2)
    good = submission(log, 0).encode()
    with httpx.Client(base_url=witness.url) as http:
        assert http.get(shown_at(log)).status_code == 404
        answer = http.post("/add-checkpoint", content=good)
        assert answer.status_code == 200
        assert answer.text.startswith("— witness.example/w1 ") and answer.text.endswith("=\n")
        again = http.post("/add-checkpoint", content=good)
        assert (again.status_code, again.text, again.headers["content-type"]) == (409, "3\n", "text/x.tlog.size")
        assert http.get("/add-checkpoint").status_code == 405
        assert http.post("/other", content=good).status_code == 404
        assert http.get("/" + "0" * 64 + "/checkpoint").status_code == 404
        assert http.post(shown_at(log), content=good).status_code == 404
        bent = good.replace(b"old 0", b"old 3").replace(b"\n3\n", b"\n2\n")
        assert http.post("/add-checkpoint", content=bent).status_code == 403
        assert http.post("/add-checkpoint", content=good.replace(b"old 0", b"old 4")).status_code == 400
        assert http.post("/add-checkpoint", content=b"x" * 300_000).status_code == 413
        assert http.get(shown_at(log)).status_code == 200


def test_what_was_cosigned_before_a_kill_holds_after_it(log_of: LogOf, tmp_path: Path) -> None:
    """Killed where it hurts most: the cosignature is made, and nobody has been told."""
    log, forked = log_of(*range(8)), log_of(*range(20, 30))
    (tmp_path / "body").write_bytes(submission(log, 0).encode())
    code = """if True:
        import os, pathlib, sys
        from hatchpay.clock import wall_us
        from hatchpay.ledger.note import VerifierKey
        from hatchpay.store.witness_state import open_witness
        witness = open_witness(pathlib.Path(sys.argv[1]), "w", [VerifierKey.parse(sys.argv[2])], wall_us)
        witness.add(pathlib.Path(sys.argv[3]).read_bytes())
        os.kill(os.getpid(), 9)
    """
    arguments = [str(tmp_path / "w"), log.vkey, str(tmp_path / "body")]
    killed = subprocess.run([sys.executable, "-c", code, *arguments], timeout=30)
    assert killed.returncode == -signal.SIGKILL
    client = WitnessClient()
    with witnessing(tmp_path / "w", "w", log.vkey) as witness:
        assert client.submit(witness.url, submission(forked, 0)) == Behind(8)
        assert client.submit(witness.url, submission(forked, 8)) == Forked()
        assert isinstance(client.submit(witness.url, submission(log, 8)), Cosigned)


def test_a_witness_that_is_killed_under_load_holds_to_what_it_said(log_of: LogOf, tmp_path: Path) -> None:
    log = log_of(0)
    with witnessing(tmp_path / "w", "w", log.vkey) as witness:
        bringing = submitter(log, [witness.known])
        timer = threading.Timer(0.2, witness.kill)
        timer.start()
        while timer.is_alive():
            grow(log, log_size(log))
            bringing.step()
        timer.join()
    with witnessing(tmp_path / "w", "w", log.vkey) as witness:
        said, _ = cosigned(log, witness)
        answer = WitnessClient().submit(witness.url, submission(log, 0))
        assert isinstance(answer, Behind) and answer.size >= said >= 1
        submitter(log, [witness.known]).step()
        assert cosigned(log, witness)[0] == log_size(log)


def test_a_witness_that_hangs_or_is_gone_delays_no_other(log_of: LogOf, witness: RunningWitness) -> None:
    log = log_of(0, 1)
    with hanging() as url:
        others = parse_witnesses([f"{W2} {url}", f"{W3} http://127.0.0.1:9"])
        bringing = submitter(log, [*others, witness.known])
        stop = threading.Event()
        thread = threading.Thread(target=bringing.run, args=(stop,))
        thread.start()
        failing = {"w2": (0, "too_slow"), "w3": (0, "unreachable"), "witness.example/w1": (2, None)}
        try:
            assert within(20, lambda: cosigned(log, witness)[0] == 2 and seen(log) == failing), seen(log)
        finally:
            stop.set()
            started = time.monotonic()
            thread.join(20)
        assert time.monotonic() - started < 5


def test_a_witness_that_fails_is_asked_less_and_less(log_of: LogOf, witness: RunningWitness) -> None:
    log = log_of(0, 1)
    now = [wall_us()]
    gone = KnownWitness(witness.known.key, "http://127.0.0.1:9")
    bringing = submitter(log, [gone], clock=lambda: now[0])
    tries: list[int] = []
    for _ in range(20):
        bringing.step()
        tried = log.seals.witnesses(TENANT)[0][2]
        tries += [tried] if tried not in tries else []
        now[0] += SECOND
    assert [(later - first) // SECOND for first, later in itertools.pairwise(tries)] == [1, 2, 4, 8]


def test_under_load_the_witnesses_are_asked_about_one_checkpoint_until_they_are_enough(
    log_of: LogOf, witness: RunningWitness, other: RunningWitness
) -> None:
    log = log_of(0, 1)
    bringing = submitter(log, [witness.known, other.known], quorum=2)
    bringing.ask(witness.known)
    grow(log, 2)
    bringing.ask(other.known)
    assert cosigned(log, witness, other) == (2, ["witness.example/w1", "witness.example/w2"])
    bringing.step()
    assert cosigned(log, witness, other) == (3, ["witness.example/w1", "witness.example/w2"])
    # Another process begins anew: the same checkpoint is not cosigned again.
    before = log.seals.witnesses(TENANT)
    submitter(log, [witness.known, other.known], quorum=2).step()
    assert log.seals.witnesses(TENANT) == before


def test_damaged_tiles_do_not_look_like_another_history(log_of: LogOf, witness: RunningWitness) -> None:
    log = log_of(0, 1)
    submitter(log, [witness.known]).step()
    grow(log, 2)
    tile = log.tiles / TENANT / "tile/0/000.p/3"
    data = bytearray(tile.read_bytes())
    data[70] ^= 1
    tile.write_bytes(data)
    submitter(log, [witness.known]).step()
    assert seen(log) == {"witness.example/w1": (2, "tiles_broken")}


def test_an_answer_that_is_none_is_a_failure(log_of: LogOf) -> None:
    log = log_of(0)
    line = "— w2 AAAAAAAA\n".encode()
    answers = {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi": "answer_malformed",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line): "cosignature_invalid",
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\n01\n": "answer_malformed",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n": "status_unexpected",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000: "unreachable",
        b"no HTTP\r\n\r\n": "unreachable",
    }
    for answer, code in answers.items():
        with answering(answer) as url:
            submitter(log, list(parse_witnesses([f"{W2} {url}"]))).step()
        assert seen(log)["w2"] == (0, code), answer


def test_an_answer_without_end_is_left(log_of: LogOf) -> None:
    log = log_of(0)
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 40
    with answering(endless) as url:
        assert WitnessClient(deadline_s=5).submit(url, submission(log, 0)) == Failed("unreachable")


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answers one connection with these bytes, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("texts", [[W2 + "x http://w"], [f"{W2} http://w", f"{W2} http://v"]])
def test_a_witness_in_the_settings_has_a_key_of_its_own(texts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_witnesses(texts)
    assert caught.value.code in {"witness_key_malformed", "witness_repeated"}
