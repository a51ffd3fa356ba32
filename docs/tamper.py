"""What an attacker does who can write a store's files and knows its format: `python docs/tamper.py STORE OLD NEW`.

Every payload gets other words, and everything in the store is made anew to fit: checksums, posting lists, tree. Nothing
inside can tell it from an honest store; what was signed, and is kept elsewhere, can.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from audit import Audit
from audit.app.restore import restore_store
from audit.codec.backups import Decoder, Encoder

store, old, new = Path(sys.argv[1]), sys.argv[2].encode(), sys.argv[3].encode()
with TemporaryDirectory() as folder:
    honest, forged = Path(folder, "honest"), Path(folder, "forged")
    with Audit.open_sync(store) as log:
        log.backup(honest)
    with honest.open("rb") as file:
        decoder = Decoder(file.read, "honest")
        encoder = Encoder(decoder.header)
        parts = [encoder.header()]
        for commit in decoder.commits():
            events = [event.replace(old, new) for event in commit.events]
            parts.append(encoder.block(commit._replace(events=events)))
        forged.write_bytes(b"".join([*parts, encoder.footer()]))
    shutil.rmtree(store)
    restore_store(store, [forged])
