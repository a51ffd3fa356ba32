"""Go's `sumdb/note` and `sumdb/tlog` read our log, and we read theirs: checkpoints, tiles, bundles and proofs."""

import base64
import json
import os
import shutil
import subprocess
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from audit import NewEvent
from audit.log.deciding import number_events
from audit.log.prepare import prepare_call
from audit.log.signing import Signing
from audit.proof.checkpoints import Checkpoint, open_checkpoint, sign_checkpoint
from audit.proof.keys import SigningKey, VerifierKey
from audit.proof.leaves import leaf_hashes, log_entries
from audit.proof.notes import parse_note
from audit.proof.proving import prove_consistency, prove_inclusion, read_root
from audit.proof.tiles import ENTRIES, TileName, encode_bundle, parse_tile_path, tile_widths
from audit.proof.verifying import verify_consistency, verify_inclusion
from audit.testing.clock import START_MS
from tests.fault.forging import OPTIONS
from tests.integration.served import Served
from tests.unit.proof import trees

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="needs Debian's golang-go, golang-golang-x-mod-dev")

ORIGIN = "example.com/audit"
KEY = SigningKey.new(ORIGIN, bytes(range(32)))
SIZE = 700
SIZES = (1, 2, 255, 256, 257, 300, 512, 700)


@pytest.fixture(scope="module")
def tlog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `golang/tlog.go`, built with Debian's packages alone."""
    made = tmp_path_factory.mktemp("go")
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(made / "cache"),
        "GOFLAGS": "",
        "HOME": str(made),
    }
    source = Path(__file__).parent / "golang" / "tlog.go"
    subprocess.run(["go", "build", "-o", made / "tlog", source], env=environment, check=True, timeout=250)
    return made / "tlog"


def _run(*arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, arguments)], input=given, capture_output=True, text=True, check=False, timeout=120)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _ours() -> dict[str, Any]:
    events = [NewEvent(topics=[("a", str(number))], data={"number": number}) for number in range(SIZE)]
    stored = number_events(prepare_call(events).events, 0, -1, START_MS, lambda bits: (1 << bits) - 1).events
    entries = log_entries(stored)
    tree = trees.Stored(SIZE, known=leaf_hashes(stored))
    names = [TileName(0, 0), TileName(0, 1)]
    names += [
        TileName(level, (SIZE >> 8 * level) // 256, width) for level, width in enumerate(tile_widths(SIZE)) if width
    ]
    bundles = [TileName(ENTRIES, name.number, name.width) for name in names if name.level == 0]
    pairs = [(old, new) for new in SIZES for old in SIZES if old <= new]
    return {
        "Key": KEY.verifier.text,
        "Checkpoints": [sign_checkpoint(Checkpoint(ORIGIN, size, read_root(size, tree.read)), KEY) for size in SIZES],
        "Tiles": {name.path: _b64(tree.read(name)) for name in names},
        "Bundles": {
            name.path: _b64(encode_bundle(entries[name.number * 256 : name.number * 256 + name.width]))
            for name in bundles
        },
        "Inclusions": [
            {"Index": index, "Size": size, "Hashes": [*map(_b64, prove_inclusion(index, size, tree.read))]}
            for size in SIZES
            for index in {0, size // 2, size - 1}
        ],
        "Consistencies": [
            {"From": old, "To": new, "Hashes": [*map(_b64, prove_consistency(old, new, tree.read))]}
            for old, new in pairs
        ],
    }


def test_go_verifies_our_checkpoints_tiles_bundles_and_proofs(tlog: Path) -> None:
    found = _run(tlog, "check", given=json.dumps(_ours()))
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "4 tiles, 700 entries, 8 checkpoints, 21 inclusions, 36 consistencies\n"


def test_go_reads_a_log_that_is_served(tlog: Path, tmp_path: Path) -> None:
    """By the static paths alone, as a monitor does; erased events have their leaves."""
    with Served(tmp_path / "data", signing=Signing(keys=(KEY,)), options=OPTIONS) as served:
        address = f"http://{served.address}"

        def get(path: str) -> bytes:
            with urllib.request.urlopen(f"{address}/{path}") as answer:  # noqa: S310 - a server of this test
                found: bytes = answer.read()
                return found

        for _ in range(2):
            served.log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(400)])
        served.log.erase([event.id for event in served.log.list(limit=3).events], reason="asked for")
        size = int(get("checkpoint").split(b"\n")[1])
        assert size == 801
        names = [TileName(level, number) for level in (0,) for number in range(size // 256)]
        names += [TileName(level, (size >> 8 * level) // 256, width) for level, width in enumerate(tile_widths(size))]
        bundles = [TileName(ENTRIES, name.number, name.width) for name in names if name.level == 0]
        theirs = {
            "Key": KEY.verifier.text,
            "Checkpoints": [get("checkpoint").decode()],
            "Tiles": {name.path: _b64(get(name.path)) for name in names},
            "Bundles": {name.path: _b64(get(name.path)) for name in bundles},
        }
    found = _run(tlog, "check", given=json.dumps(theirs))
    assert (found.stdout, found.stderr) == ("5 tiles, 801 entries, 1 checkpoints, 0 inclusions, 0 consistencies\n", "")


@pytest.mark.parametrize("what", ["Checkpoints", "Tiles", "Bundles", "Inclusions", "Consistencies", "Key"])
def test_go_refuses_ours_once_changed(tlog: Path, what: str) -> None:
    ours = _ours()
    match what:
        case "Key":
            ours["Key"] = SigningKey.new(ORIGIN, bytes(32)).verifier.text
        case "Checkpoints":
            ours[what][3] = ours[what][3].replace("\n256\n", "\n258\n")
        case "Tiles" | "Bundles":
            name, text = next(iter(ours[what].items()))
            raw = bytearray(base64.b64decode(text))
            raw[100] ^= 1
            ours[what][name] = _b64(bytes(raw))
        case _:
            ours[what][-2]["Hashes"][0] = _b64(bytes(32))
    assert _run(tlog, "check", given=json.dumps(ours)).returncode == 1


def test_we_verify_what_go_made(tlog: Path) -> None:
    made = _run(tlog, "make", "go.example/log", 600)
    assert made.returncode == 0, made.stderr
    theirs = json.loads(made.stdout)
    key = VerifierKey.parse(theirs["Key"])
    assert key.text == theirs["Key"]
    known = [sha256(b"\0" + str(number).encode()).digest() for number in range(600)]
    tree = trees.Stored(600, known=known)
    checkpoints = {}
    for note in theirs["Checkpoints"]:
        checkpoint = open_checkpoint(note, [key], "go.example/log")
        checkpoints[checkpoint.size] = checkpoint.root
        assert checkpoint.root == read_root(checkpoint.size, tree.read)
        assert parse_note(note).encoded == note
    assert len(checkpoints) > 10
    for path, text in theirs["Tiles"].items():
        name = parse_tile_path(path)
        assert tree.read(name)[: name.width * 32] == base64.b64decode(text)
    for one in theirs["Inclusions"]:
        hashes = [base64.b64decode(text) for text in one["Hashes"]]
        verify_inclusion(known[one["Index"]], one["Index"], one["Size"], hashes, checkpoints[one["Size"]])
        assert hashes == prove_inclusion(one["Index"], one["Size"], tree.read)
    for one in theirs["Consistencies"]:
        hashes = [base64.b64decode(text) for text in one["Hashes"]]
        old = read_root(one["From"], tree.read)
        verify_consistency(one["From"], old, one["To"], checkpoints[one["To"]], hashes)
        assert hashes == prove_consistency(one["From"], one["To"], tree.read)
