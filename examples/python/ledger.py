"""A client of Marrowline in Python: keys, signatures, appending and refusals, from docs/format.md alone.

A client needs grpcio and cryptography only; grpcio-tools is for `stubs()`, which makes the message classes from proto/ into a temporary folder
and removes it once they are loaded, so that nothing generated is kept. Who generates the classes beforehand does without it. What is signed is the record's bytes: they are encoded once, here, and travel and stay as they are.
"""
import hashlib
import importlib
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from bearer import token
from check_receipt import signed_text

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"


def stubs():
    """The generated modules by their file names: `stubs().record.Record`, `stubs().ledger_service_grpc.LedgerServiceStub`."""
    from grpc_tools import protoc

    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("marrowline/v1/*.proto"))
    included = [f"-I{PROTO}", f"-I{HERE}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    with tempfile.TemporaryDirectory(prefix="marrowline-stubs-") as folder:
        written = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        if protoc.main(["protoc", *included, *written, *files, "refusal.proto"]) != 0:
            raise SystemExit("REFUSED: proto/ cannot be compiled")
        sys.path.insert(0, folder)
        try:
            return load(files)
        finally:
            sys.path.remove(folder)


def load(files):
    made = SimpleNamespace(refusal=importlib.import_module("refusal_pb2"))
    for file in files:
        name = Path(file).stem
        setattr(made, name, importlib.import_module(f"marrowline.v1.{name}_pb2"))
        if name.endswith("_service"):
            setattr(made, f"{name}_grpc", importlib.import_module(f"marrowline.v1.{name}_pb2_grpc"))
    return made


def new_uuid7():
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then version, variant and random bits."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


class Person:
    """Somebody with a key."""

    def __init__(self, key):
        self.key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = hashlib.sha256(b"\x01" + self.public).digest()

    @classmethod
    def new(cls):
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path, passphrase):
        return cls(load_pem_private_key(Path(path).read_bytes(), passphrase))


def digest(record_bytes):
    return hashlib.sha256(b"marrowline/record/v1\n" + record_bytes).digest()


class Refused(Exception):
    """The server said no: its code, its message, and every reason as (code, where to look, words)."""

    def __init__(self, made, error):
        self.status = error.code().name
        self.reasons = []
        status = made.refusal.Status()
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status.ParseFromString(value)
        self.message = status.message or error.details()
        for detail in status.details:
            kind = detail.type_url.rsplit(".", 1)[-1]
            if kind == "PreconditionFailure":
                failure = made.refusal.PreconditionFailure.FromString(detail.value)
                self.reasons += [(v.type, v.subject, v.description) for v in failure.violations]
            elif kind == "BadRequest":
                request = made.refusal.BadRequest.FromString(detail.value)
                self.reasons += [("", v.field, v.description) for v in request.field_violations]
        super().__init__(f"{self.status}: {self.message}")


class Ledger:
    """A connection of one person, who reads with a token of their own key; signing a record is something else."""

    def __init__(self, made, address, ca_pem, vkey, person):
        self.made, self.vkey = made, vkey
        self.origin = vkey.split("+")[0]
        self.bearer = token(person.key, self.origin)
        self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(root_certificates=ca_pem))
        self.ledger = made.ledger_service_grpc.LedgerServiceStub(self.channel)
        self.custody = made.custody_service_grpc.CustodyServiceStub(self.channel)
        self.clock = made.clock_service_grpc.ClockServiceStub(self.channel)

    def call(self, method, request):
        try:
            answer = method(request, metadata=[("authorization", f"Bearer {self.bearer}")], timeout=30)
        except grpc.RpcError as error:
            raise Refused(self.made, error) from error
        checkpoint = getattr(answer, "checkpoint", "")
        if checkpoint:
            signed_text(checkpoint, self.vkey)
        return answer

    def now(self):
        """The ledger's time with this machine's offset left out: people's clocks differ, records are judged by the ledger's."""
        clock = self.call(self.clock.GetClock, self.made.clock_service.GetClockRequest())
        return self.made.types.Instant(unix_ms=clock.now_unix_ms, offset_minutes=0)

    def draft(self, event, slots, streams):
        """A record: its event by field name, its slots as (role, meaning, facility id), its streams as (kind, id)."""
        record = self.made.record.Record(
            origin=self.origin, record_id=new_uuid7(), salt=os.urandom(16), occurred_at=self.now(), **event
        )
        for role, meaning, facility in slots:
            record.slots.add(role=role, meaning=meaning, facility_id=facility)
        for kind, stream_id in sorted(streams):
            extension = record.streams.add(kind=kind, id=stream_id)
            asked = self.made.ledger_service.GetStreamHeadRequest(kind=kind, id=stream_id)
            answer = self.call(self.ledger.GetStreamHead, asked)
            if answer.HasField("head"):
                extension.head.CopyFrom(answer.head)
        return record

    def sign(self, record, record_bytes, slot, person):
        """One signing: what the person says of the record (role, meaning, when), signed with their key as in docs/format.md."""
        asked, at = record.slots[slot], self.now()
        body = b"MLS1" + digest(record_bytes) + bytes([slot]) + person.key_id + bytes([asked.role, asked.meaning])
        body += struct.pack(">Qh", at.unix_ms, at.offset_minutes)
        pae = b"DSSEv1 37 application/vnd.marrowline.signing.v1 %d " % len(body) + body
        return self.made.view.Signing(
            slot=slot, key_id=person.key_id, role=asked.role, meaning=asked.meaning, signed_at=at, signature=person.key.sign(pae)
        )

    def append(self, record, people):
        """Signs with these people, slot by slot (None leaves a slot open), and appends. Returns the answer and the record's digest."""
        record_bytes = record.SerializeToString(deterministic=True)
        signings = [self.sign(record, record_bytes, slot, person) for slot, person in enumerate(people) if person]
        signed = self.made.ledger_service.SignedRecord(record=record_bytes, signings=signings)
        answer = self.call(self.ledger.Append, self.made.ledger_service.AppendRequest(record=signed))
        return answer, digest(record_bytes)

    def records(self, kind, stream_id):
        """Every record of a stream that the reader may see, decoded."""
        request = self.made.ledger_service.ListRecordsRequest(stream_kind=kind, stream_id=stream_id, page_size=500)
        while True:
            page = self.call(self.ledger.ListRecords, request)
            yield from (self.made.record.Record.FromString(logged.record) for logged in page.records if logged.record)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
