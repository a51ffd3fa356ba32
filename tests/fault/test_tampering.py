"""The table of docs/design/proofs.md: what an attacker does to a store's files, and by whom it is caught.

The attacker writes a store that is whole in itself, and in the last row has the log's key as well.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from audit import Audit, NewEvent, SyncAudit
from audit.app.verifying import Trust, verify_files
from audit.cli.program import run
from audit.client import connect_sync
from audit.log.signing import Signing
from audit.model.errors import ProofInvalid
from audit.proof.keys import SigningKey
from tests.docs.documents import ROOT
from tests.fault.forging import ATTACKS, OPTIONS, forge
from tests.integration.served import Served

KEY: Final = SigningKey.new("example.com/audit", bytes(range(32)))
EVENTS: Final = 320


class World:
    """A log of 320 events, of which its checkpoint file, a client and a witness know, and what became of its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outside = path / "outside.checkpoint"
        self.state = path / "witness.state"
        (path / "log.pub").write_text(KEY.verifier.text, encoding="utf-8")
        signing = Signing(keys=(KEY,), checkpoint_file=self.outside)
        with Audit.open_sync(path / "data", create=True, signing=signing, options=OPTIONS) as log:
            self._append(log, 300)
        shutil.copytree(path / "data", path / "yesterday")
        with Served(path / "data", signing=signing, options=OPTIONS) as served:
            self._append(served.log, EVENTS - 300)
            with self._client(served.url) as client:
                assert len(client.list(limit=1000).slices) == EVENTS
                self.trusted = client.trusted
            assert self._witness(served.url) == 0
        shutil.copytree(path / "data", path / "honest")

    def _append(self, log: SyncAudit, count: int) -> None:
        log.append_many([NewEvent(topics=[("a",)], data={"who": "bob", "n": number}) for number in range(count)])

    def attack(self, name: str) -> None:
        data = self.path / "data"
        shutil.rmtree(data, ignore_errors=True)
        if name == "replay":
            shutil.copytree(self.path / "yesterday", data)
            return
        forge(self.path / "honest", data, ATTACKS[name], self.path / "scratch")
        shutil.rmtree(self.path / "scratch")
        if name == "rewrite":
            # With the key, all that the store itself holds is signed anew.
            with Audit.open_sync(data, options=OPTIONS, signing=Signing(keys=(KEY,))) as log:
                log.checkpoint()

    def _client(self, url: str, trusted: str | None = None):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return connect_sync(url, verify=True, key=KEY.verifier.text, trusted=trusted)

    def _witness(self, url: str) -> int:
        return run(["witness", "--url", url, "--key", str(self.path / "log.pub"), "--state", str(self.state), "--once"])

    # --- who looks ---------------------------------------------------------------------------------------------------

    def opened_alone(self) -> None:
        with Audit.open_sync(self.path / "data", options=OPTIONS, signing=Signing(keys=(KEY,))):
            pass

    def opened(self) -> None:
        kept = Signing(keys=(KEY,), checkpoint_file=self.outside)
        with Audit.open_sync(self.path / "data", options=OPTIONS, signing=kept):
            pass

    def verified(self) -> None:
        with Audit.open_sync(self.path / "data", options=OPTIONS) as log:
            log.backup(self.path / "now.backup")
        note = self.outside.read_text(encoding="utf-8")
        trust = Trust([KEY.verifier], KEY.name, [], 0)
        verify_files([self.path / "now.backup"], trust, note, lambda _done, _of: None)

    def followed(self) -> None:
        with (
            Served(self.path / "data", signing=Signing(keys=(KEY,)), options=OPTIONS) as served,
            self._client(served.url, self.trusted) as client,
        ):
            client.list(order="desc", limit=1000)
            client.trust_newest()

    def witnessed(self) -> None:
        with Served(self.path / "data", signing=Signing(keys=(KEY,)), options=OPTIONS) as served:
            before = self.state.read_text(encoding="utf-8")
            code = self._witness(served.url)
            assert self.state.read_text(encoding="utf-8") == before
            if code:
                assert self.state.with_name("witness.state.refused").exists()
                raise ProofInvalid("witness", f"ended with {code}")


LOOKS: Final[dict[str, Callable[[World], None]]] = {
    "open": World.opened_alone,
    "open, checkpoint outside": World.opened,
    "verify": World.verified,
    "client": World.followed,
    "witness": World.witnessed,
}


def _table() -> dict[str, list[str]]:
    """The table of the document: attack, and what each of those who look say."""
    text = (ROOT / "docs" / "design" / "proofs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.+)\|$", text.split("| attack |")[1].split("\n\n")[0], re.MULTILINE)
    return {name: [cell.strip().strip("`") for cell in cells.split("|")] for name, cells in rows}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("tampering"))


@pytest.mark.parametrize("attack", ["edit", "swap", "cut", "replay", "rewrite"])
def test_each_attack_is_caught_by_whom_the_table_says(
    world: World, attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for look in LOOKS.values():
        world.attack(attack)
        try:
            look(world)
        except ProofInvalid as error:
            found.append(type(error).__name__ if look is not World.witnessed else "caught")
        else:
            found.append("–")
        (world.path / "now.backup").unlink(missing_ok=True)

    # A


def test_the_honest_store_passes_all_of_them(world: World) -> None:
    for look in LOOKS.values():
        shutil.rmtree(world.path / "data", ignore_errors=True)
        shutil.copytree(world.path / "honest", world.path / "data")
        look(world)
        (world.path / "now.backup").unlink(missing_ok=True)
