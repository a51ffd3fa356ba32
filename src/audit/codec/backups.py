"""A backup's bytes: a header, the events in blocks, a footer, each part bound by hash to all that stands before it.

The hash of a part is SHA-256 over the hash before it and the part itself. So one flipped or missing byte is found in
the part that it is in, and the last hash names the whole backup: an increment says which one it continues. Pure:
whoever has a file or a socket hands over how to read from it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import Final

import lz4.block
import msgspec

from audit.codec.commits import Commit, commit_key, decode_commit, encode_commit
from audit.codec.events import event_index, event_value
from audit.codec.keys import COMMIT, ID_BYTES
from audit.codec.segments import Layout
from audit.model.errors import BackupInvalid, InvalidParameter, StoreCorrupt
from audit.model.ids import format_id, parse_id

__all__ = ["BACKUP_FORMAT", "MAX_BLOCK_BYTES", "BackupFooter", "BackupHeader", "Continued", "Decoder", "Encoder"]

BACKUP_FORMAT: Final = 1
"""Version of the form of backups."""
MAX_BLOCK_BYTES: Final = 64 * 1024 * 1024
"""A part's bytes at most, so that a forged length takes no memory."""
_MAGIC: Final = b"AUDITBKP"
_HEADER: Final = b"HEAD"
_BLOCK: Final = b"EVTS"
_FOOTER: Final = b"FOOT"
_PART: Final = struct.Struct("<4sI32s")
_HASHED: Final = struct.Struct("<4sI")
_SIZE: Final = struct.Struct("<I")
_MAX_LAYOUT: Final = 256


class Continued(msgspec.Struct, frozen=True, kw_only=True):
    """Where an increment begins: right after this event.

    Attributes:
        index: Events before it.
        last_id: Id of the last of them; None: there are none.
        hash: Of the backup that it continues, in hexadecimal; None: of any that ends there.
    """

    index: int
    last_id: str | None
    hash: str | None


class BackupHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself.

    Attributes:
        format: Version of the backup's form.
        store_id: Id of the store.
        store_format: Version of the store's own format.
        layout: Bounds of the store's segments.
        created: When, in RFC 3339.
        size: Events of the log with the last one in here.
        last_id: Id of that one; None: the log was empty.
        continues: What it goes on from; None: it begins with the first event.
    """

    format: int
    store_id: str
    store_format: int
    layout: Layout
    created: str
    size: int
    last_id: str | None
    continues: Continued | None

    @property
    def continued_id(self) -> int:
        """Id of the event before the first in here; -1: there is none."""
        text = None if self.continues is None else self.continues.last_id
        return -1 if text is None else parse_id(text)

    @property
    def first_index(self) -> int:
        """Index of the first event in here."""
        return 0 if self.continues is None else self.continues.index


class BackupFooter(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole backup ends with.

    Attributes:
        events: Events in here.
        blocks: Blocks of them.
        size: As in the header.
        last_id: As in the header.
    """

    events: int
    blocks: int
    size: int
    last_id: str | None


class Encoder:
    """Puts one backup together, part by part: header, blocks, footer."""

    def __init__(self, header: BackupHeader) -> None:
        self._header = header
        self._hash = hashlib.sha256(_MAGIC).digest()
        self._events = 0
        self._blocks = 0

    @property
    def hash(self) -> str:
        """The hash of all parts so far, in hexadecimal; after the footer, the backup's."""
        return self._hash.hex()

    def header(self) -> bytes:
        """Return the beginning."""
        return _MAGIC + self._part(_HEADER, msgspec.json.encode(self._header))

    def block(self, commit: Commit) -> bytes:
        """Return a block of events with their idempotency keys; their terms are not needed."""
        key = commit_key(commit.events[0])
        self._events += len(commit.events)
        self._blocks += 1
        return self._part(_BLOCK, lz4.block.compress(key[len(COMMIT) :] + encode_commit(key, commit)))

    def footer(self) -> bytes:
        """Return the end."""
        header = self._header
        footer = BackupFooter(events=self._events, blocks=self._blocks, size=header.size, last_id=header.last_id)
        return self._part(_FOOTER, msgspec.json.encode(footer))

    def _part(self, tag: bytes, body: bytes) -> bytes:
        self._hash = _chained(self._hash, tag, body)
        return _PART.pack(tag, len(body), self._hash) + body


class Decoder:
    """Reads one backup and believes nothing of it: every part is checked before it is handed on."""

    def __init__(self, read: Callable[[int], bytes], name: str) -> None:
        """Read and check the header.

        Args:
            read: Returns so many bytes, or fewer at the end only.
            name: What errors call the backup.

        Raises:
            BackupInvalid: there is no backup, or its header is damaged or of an unknown version.
        """
        self._read = read
        self.name = name
        self._hash = hashlib.sha256(_MAGIC).digest()
        self._at = 0
        self._number = 0
        self._starts = 0
        if self._take(len(_MAGIC)) != _MAGIC:
            raise self._invalid("does not begin as a backup does")
        tag, body = self._part()
        if tag != _HEADER:
            raise self._invalid(f"is {tag!r}, not a header")
        self.header = self._decoded_header(body)

    @property
    def hash(self) -> str:
        """The hash of all parts so far, in hexadecimal; once all are read, the backup's."""
        return self._hash.hex()

    @property
    def place(self) -> str:
        """The part that was read last, for messages."""
        kind = f"block {self._number}" if self._number else "header"
        return f"{kind} at byte {self._starts}"

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes of each block, which are what was written; then check the footer, and that it is the end.

        Raises:
            BackupInvalid: a part is damaged, or missing.
        """
        while True:
            self._number += 1
            tag, body = self._part()
            if tag == _FOOTER:
                self._check_footer(body)
                return
            if tag != _BLOCK:
                raise self._invalid(f"is {tag!r}, neither events nor a footer")
            yield body

    def commits(self) -> Iterator[Commit]:
        """Yield the events of each block, all in their places; then check as `blocks` does.

        Raises:
            BackupInvalid: a part is damaged, or missing, or holds what is no log.
        """
        header = self.header
        index = header.first_index
        last_id = header.continued_id
        for body in self.blocks():
            commit = self._commit(body)
            if commit.first_index != index:
                raise self._invalid(f"starts at index {commit.first_index}, expected {index}")
            for event in commit.events:
                value = event_value(event)
                if event_index(event) != index or value <= last_id:
                    raise self._invalid(f"event {format_id(value)} is not the one for index {index}")
                index, last_id = index + 1, value
            for claim in commit.claims:
                first = commit.first_index + claim.position
                if claim.position >= len(commit.events) or not 0 < claim.length <= header.size - first:
                    raise self._invalid(f"an idempotency key names events from index {first} on, which are not there")
            yield commit
        if index != header.size or (index > header.first_index and format_id(last_id) != header.last_id):
            raise self._invalid(f"the events end with index {index - 1}, its header says {header.size - 1}")

    def _commit(self, body: bytes) -> Commit:
        if len(body) < _SIZE.size or _SIZE.unpack_from(body)[0] > MAX_BLOCK_BYTES:
            raise self._invalid("says that it is larger than any block")
        try:
            plain = lz4.block.decompress(body)
            return decode_commit(COMMIT + plain[:ID_BYTES], plain[ID_BYTES:])
        except (lz4.block.LZ4BlockError, StoreCorrupt, ValueError, IndexError) as error:
            raise self._invalid(f"can't be decoded: {error}") from error

    def _part(self) -> tuple[bytes, bytes]:
        self._starts = self._at
        tag, length, found = _PART.unpack(self._take(_PART.size))
        if length > MAX_BLOCK_BYTES:
            raise self._invalid(f"says that it has {length} bytes, {MAX_BLOCK_BYTES} are the most")
        body = self._take(length)
        self._hash = _chained(self._hash, tag, body)
        if self._hash != found:
            raise self._invalid("its hash is not that of its contents and of all before it")
        return tag, body

    def _take(self, count: int) -> bytes:
        found = self._read(count)
        self._at += len(found)
        if len(found) < count:
            raise self._invalid(f"the backup ends at byte {self._at}, in the middle")
        return found

    def _decoded_header(self, body: bytes) -> BackupHeader:
        try:
            version = msgspec.json.decode(body, type=dict[str, object]).get("format")
            if version != BACKUP_FORMAT:
                raise self._invalid(f"has version {version!r:.20}, this version of audit reads {BACKUP_FORMAT}")
            header = msgspec.json.decode(body, type=BackupHeader)
            continued = header.continues
            for text in (header.store_id, header.last_id, None if continued is None else continued.last_id):
                if text is not None:
                    parse_id(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidParameter) as error:
            raise self._invalid(f"can't be decoded: {error}") from error
        layout = header.layout
        if not (1 <= layout.segment_events <= _MAX_LAYOUT and min(layout) >= 1):
            raise self._invalid(f"has a layout that no store is made with: {layout}")
        ends = [(header.size, header.last_id)] + ([] if continued is None else [(continued.index, continued.last_id)])
        if header.size < header.first_index or any((size > 0) != (last is not None) for size, last in ends):
            raise self._invalid("its bounds do not fit together")
        return header

    def _check_footer(self, body: bytes) -> None:
        try:
            footer = msgspec.json.decode(body, type=BackupFooter)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._invalid(f"its footer can't be decoded: {error}") from error
        header = self.header
        expected = (header.size - header.first_index, self._number - 1, header.size, header.last_id)
        if (footer.events, footer.blocks, footer.size, footer.last_id) != expected:
            raise self._invalid("its footer's totals are not those of what stands before it")
        if self._read(1):
            raise self._invalid("there is something behind its footer")

    def _invalid(self, problem: str) -> BackupInvalid:
        return BackupInvalid(self.name, self.place, problem)


def _chained(before: bytes, tag: bytes, body: bytes) -> bytes:
    chain = hashlib.sha256(before)
    chain.update(_HASHED.pack(tag, len(body)))
    chain.update(body)
    return chain.digest()
