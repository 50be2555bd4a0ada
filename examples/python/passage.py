#!/usr/bin/env python3
"""Log passages of a new lot: passage.py HOST:PORT CA.PEM LOG.VKEY PEOPLE-FOLDER PASSPHRASE-FILE LOT-CODE

Works on a TRAINING ledger as `demo` leaves it. Makes a key for a new operator, who is enrolled; opens a lot from the donation of the lot
named; appends a passage that two people sign, and one whose verifier signs later; reads the new lot; then asks of a dose of the lot named
whether it may be released, and shows why it cannot be dispensed again.
"""
import math
import os
import sys
from pathlib import Path

import grpc

from ledger import Ledger, Person, Refused, new_uuid7, stubs

DAY_MS = 86_400_000


def read(path):
    return Path(path).read_bytes()


def cells(made, detached, seeded, discarded=0):
    """Where detached cells went; what is neither seeded, sampled nor discarded is unaccounted for."""
    return made.types.CellBalance(
        cells_in=detached, cells_out=seeded, cells_sampled=0, cells_discarded=discarded,
        cells_unaccounted=detached - seeded - discarded,
    )


class Story:
    """The people at the bench and the lot that they work on."""

    def __init__(self, made, address, ca_pem, vkey, people, passphrase):
        self.made = made
        self.open = lambda person: Ledger(made, address, ca_pem, vkey, person)
        self.person = lambda handle: Person.load(Path(people) / f"{handle}.pem", passphrase)
        self.op = self.person("op1")
        self.bench = self.open(self.op)

    def role(self, name):
        return self.made.types.Role.Value(f"ROLE_{name}")

    def meaning(self, name):
        return self.made.types.Meaning.Value(f"MEANING_{name}")

    def kind(self, name):
        return self.made.types.StreamKind.Value(f"STREAM_KIND_{name}")

    def two(self, first, second, facility):
        return [(self.role(role), self.meaning(meaning), facility) for role, meaning in (first, second)]

    def at_the_bench(self):
        return self.two(("OPERATOR", "PERFORMED"), ("VERIFYING_OPERATOR", "VERIFIED"), self.lab)

    def enrol(self):
        """A key of one's own, granted by the key administrator and QA. The ledger never has the secret half."""
        made, person, now = self.made, Person.new(), self.bench.now()
        later = made.types.Instant(unix_ms=now.unix_ms + 365 * DAY_MS, offset_minutes=0)
        role = made.authority.RoleGrant(
            role=self.role("OPERATOR"), facility_id=self.lab, valid_from=now, valid_until=later
        )
        grant = made.authority.KeyGrant(
            person_id=new_uuid7(), printed_name="Python Verifier", public_key=person.public, roles=[role]
        )
        slots = self.two(("KEY_ADMINISTRATOR", "APPROVED"), ("QUALITY_ASSURANCE", "APPROVED"), self.lab)
        event = {"key_granted": made.authority.KeyGranted(grant=grant)}
        record = self.bench.draft(event, slots, [(self.kind("AUTHORITY"), bytes(16))])
        self.say("a new key is enrolled", self.bench.append(record, [self.person("key"), self.person("qa")])[0])
        self.verifier = person

    def say(self, words, answer):
        flags = ", ".join(flag.code for flag in answer.flags)
        print(f"leaf {answer.receipt.index}: {words}" + (f"  FLAGGED {flags}" if flags else ""))

    def step(self, words, event, people, streams=()):
        record = self.bench.draft(event, self.at_the_bench(), [(self.kind("LOT"), self.lot), *streams])
        answer, digest = self.bench.append(record, people)
        self.say(words, answer)
        return digest

    def open_lot(self, lot_code):
        """Opens a lot as the one named was opened, from its donation, up to its first culture."""
        made, both = self.made, [self.op, self.verifier]
        self.lot, self.lot_code, self.culture = new_uuid7(), "PY-" + os.urandom(4).hex(), new_uuid7()
        opened = made.lot.LotOpened()
        opened.CopyFrom(self.example["lot_opened"].lot_opened)
        opened.lot_code = self.lot_code
        donor = next(s for s in self.example["lot_opened"].streams if s.kind == self.kind("DONOR"))
        self.step("lot opened", {"lot_opened": opened}, both, [(donor.kind, donor.id)])
        self.step("mononuclear cells isolated", {"mnc_isolated": self.example["mnc_isolated"].mnc_isolated}, both)
        seeded = made.lot.CultureSeeded()
        seeded.CopyFrom(self.example["culture_seeded"].culture_seeded)
        seeded.culture_id = self.culture
        self.seeded = seeded.cells.cells_out
        self.step("passage 0 seeded", {"culture_seeded": seeded}, both)

    def passage(self, number, detached, seeded, people):
        made, parent, doublings = self.made, self.culture, {}
        if number > 1:
            # Passage 0 seeds mononuclear cells and has no doublings.
            doublings["milli_doublings"] = math.floor(1000 * math.log2(detached / self.seeded))
        self.culture, self.seeded = new_uuid7(), seeded
        event = made.lot.Passaged(
            parent_culture_id=parent, culture_id=self.culture, passage=number, confluence_basis_points=8_000,
            viability_basis_points=9_600, cells=cells(made, detached, seeded, detached - seeded),
            vessels=list(self.example["passaged"].passaged.vessels), **doublings,
        )
        return self.step(f"passage {number}", {"passaged": event}, people)

    def add_signature(self, digest):
        """The missing signature: the verifier fills the slot of the record with this digest."""
        added = self.made.record.SignatureAdded(target_digest=digest, slot=1)
        slots = [(self.role("VERIFYING_OPERATOR"), self.meaning("VERIFIED"), self.lab)]
        record = self.bench.draft({"signature_added": added}, slots, [(self.kind("LOT"), self.lot)])
        self.say("the verifier's signature is added", self.bench.append(record, [self.verifier])[0])

    def show_lot(self):
        shown = self.bench.call(self.bench.custody.GetLot, self.made.custody_service.GetLotRequest(lot=self.lot_code)).lot
        for step in shown.stream.steps:
            names = ", ".join(signature.printed_name for signature in step.signatures)
            print(f"  {step.event} signed by {names}" + "".join(f" [{flag}]" for flag in step.flags))
        print(f"lot {self.lot_code}: {shown.stream.length} records, {len(shown.stream.owed)} signatures owed")

    def read_example(self, lot_code):
        """The first record of each event in the lot named: where the laboratory and the donation are learned from."""
        request = self.made.custody_service.GetLotRequest(lot=lot_code)
        lot = self.bench.call(self.bench.custody.GetLot, request).lot
        self.example = {}
        for record in self.bench.records(self.kind("LOT"), lot.stream.id):
            self.example.setdefault(record.WhichOneof("event"), record)
        self.lab, self.old_lot = self.example["lot_opened"].slots[0].facility_id, lot.stream.id

    def ask_for_a_dose(self):
        """May it be released? And what a second release of it is refused for."""
        pharmacist = self.person("pha1")
        pharmacy = self.open(pharmacist)
        given = next(
            record
            for record in pharmacy.records(self.kind("LOT"), self.old_lot)
            if record.WhichOneof("event") == "dose_dispensed"
        )
        dose = "-".join(given.dose_dispensed.dose_id.hex()[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        checked = pharmacy.call(pharmacy.custody.CheckDose, self.made.custody_service.CheckDoseRequest(dose=dose))
        word = self.made.custody_service.Answer.Name(checked.answer).removeprefix("ANSWER_")
        print(f"dose {checked.dose.dose_code}: {word}")
        for reason in checked.reasons:
            print(f"  {reason.code}: found {reason.found}; allowed {reason.allowed}; next: {reason.next}")
        slots = [(slot.role, slot.meaning, slot.facility_id) for slot in given.slots]
        streams = [(stream.kind, stream.id) for stream in given.streams]
        record = pharmacy.draft({"dose_dispensed": given.dose_dispensed}, slots, streams)
        try:
            pharmacy.append(record, [pharmacist])
        except Refused as refused:
            print(f"dispensing refused ({refused.status}): {refused.message}")
            for code, look_at, words in refused.reasons:
                print(f"  {code} ({look_at}): {words}")
        else:
            raise SystemExit("a dose was dispensed twice")


def main(address, ca_path, vkey_path, people, passphrase_path, lot_code):
    vkey = read(vkey_path).decode().strip()
    story = Story(stubs(), address, read(ca_path), vkey, people, read(passphrase_path).rstrip(b"\r\n"))
    story.read_example(lot_code)
    story.enrol()
    story.open_lot(lot_code)
    story.passage(1, 40_000_000, 38_000_000, [story.op, story.verifier])
    digest = story.passage(2, 160_000_000, 38_000_000, [story.op, None])
    story.add_signature(digest)
    story.show_lot()
    story.ask_for_a_dose()


if __name__ == "__main__":
    if len(sys.argv) != 7:
        raise SystemExit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Refused, ValueError) as refused:
        print(f"REFUSED: {refused}")
        for reason in getattr(refused, "reasons", []):
            print("  " + ": ".join(reason))
        raise SystemExit(1)
    except grpc.RpcError as error:
        raise SystemExit(f"REFUSED: {error}")
