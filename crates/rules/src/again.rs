//! Judging again: what was recorded later is judged a second time when an amendment, a void or a late fact changes what came before it.
//!
//! Each later record is judged by its family's rules twice, on the streams as they stood before it: once as the past was known, once as it
//! is known now. Only what the second judgement finds and the first does not is the change's doing. Look-ups across streams, and who is
//! who, are those of today in both.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marrowline_record::Entry;
use marrowline_record::id::{Id16, RecordId, StreamKey};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Record, Severity, StreamKind};
use marrowline_record::stream::stream_key;

use crate::codes::Class;
use crate::codes::dose::{DOSE_SIGNATURE_OWED, UNIT_ALREADY_THAWED, WEIGHING_NOT_LATEST};
use crate::codes::lot::{DEPENDANT_DIFFERS, LOT_SIGNATURE_OWED, UNIT_SIGNATURE_OWED};
use crate::codes::quality::DEPENDANT_FALLS;
use crate::context::Context;
use crate::finding::{Finding, Look};
use crate::frame::AHEAD_LIMIT_MS;
use crate::index::{IndexKey, id16};
use crate::judge;
use crate::state::{Authority, Donor, Equipment, Facility, Lot, Protocol, Specification, Stream, Subject, Versions};
use crate::table::{self, Category};
use crate::view::View;

/// A later record that does not stand up any more.
struct Fallen {
    record_id: RecordId,
    is_fact: bool,
    findings: Vec<Finding>,
}

impl Fallen {
    fn new(entry: &Entry, findings: Vec<Finding>) -> Fallen {
        let is_fact = entry.event().is_some_and(|event| table::category(event) == Category::Fact);
        Fallen { record_id: entry.record_id(), is_fact, findings }
    }

    /// What depends on a decision or a stop that falls has lost its ground, and so has what depends on a fact that would be refused if it were
    /// a decision. Of any other fact only a flag is new, which holds what it would have held at once.
    fn holds(&self) -> bool {
        let is_grave = |finding: &Finding| {
            let code = finding.code;
            code.class == Class::Gate || !code.effect.holds.is_empty() || code.effect.deviation == Some(Severity::Critical)
        };
        !self.is_fact || self.findings.iter().any(is_grave)
    }
}

/// Flags each record that does not stand up any more after a record was given another version, or voided (`None`).
pub(crate) fn after_change(c: &mut Context<'_>, target: &Entry, replacement: Option<&Arc<Record>>) {
    let known = known_versions(c.view, target);
    let mut now = known.clone();
    match replacement {
        Some(record) => now.replace(target.record_id(), Arc::clone(record)),
        None => now.void(target.record_id()),
    }
    let later = entries_of(c.view, target, |entry| entry.index > target.index);
    let (known, now) = (Past::new(c.view, known, None), Past::new(c.view, now, None));
    // What the rules say of the new version itself is said of the amendment, with all that follows from it.
    let mut own = own_findings(target, target.index, &known, &now);
    let mut fallen = compare(&later, &known, &now);
    // A recall does not depend on what was known at the time: the cells are out there today.
    own.extend(own_findings(target, u64::MAX, &known, &now).into_iter().filter(|f| f.code.effect.across.is_some()));
    own.dedup_by_key(|finding| finding.code.number);
    let (said, unmet): (Vec<Finding>, Vec<Finding>) = own.into_iter().partition(|f| f.code.class == Class::Flag);
    for finding in said {
        c.find(finding.code, finding.found, finding.allowed, vec![Look::Record(target.record_id())]);
    }
    if !unmet.is_empty() {
        fallen.insert(0, Fallen::new(target, unmet));
    }
    tell(c, fallen);
}

/// The time that a recorded entry was judged at: the ledger's for a decision, whatever date the decision bears (law 2).
fn judged_at_ms(entry: &Entry) -> i64 {
    let is_decision = entry.event().is_some_and(|event| table::category(event) == Category::Authorisation);
    if is_decision { entry.recorded_at_ms } else { entry.occurred_at_ms() }
}

/// Flags each record that does not stand up any more beside a fact that is dated before it and comes after it. Nothing is done unless a
/// decision was recorded in between: until then later facts are judged when it is.
pub(crate) fn after_late_fact(c: &mut Context<'_>) {
    // A deviation cannot be amended; one that comes late counts against the decisions after it all the same.
    let says_something = |event: &&Event| table::is_amendable(event) || matches!(event, Event::DeviationOpened(_));
    let Some(event) = c.event().filter(says_something) else { return };
    let at_ms = c.occurred_at_ms;
    let is_decided =
        reached(c.view, c.record).iter().any(|stream| stream.upkeep().decided_at_ms.is_some_and(|decided| decided > at_ms));
    if c.category != Category::Fact || !is_decided {
        return;
    }
    let mut record = c.record.clone();
    record.event = Some(event.clone());
    let late = Arc::new(Entry {
        index: u64::MAX,
        recorded_at_ms: c.recorded_at_ms,
        rule_set: c.rule_set,
        flags: Vec::new(),
        digest: c.digest,
        record: Arc::new(record),
        signings: c.signings.to_vec(),
    });
    let versions = known_versions(c.view, &late);
    let later = entries_of(c.view, &late, |entry| judged_at_ms(entry) > at_ms);
    let before = Past::new(c.view, versions.clone(), None);
    let fallen = compare(&later, &before, &Past::new(c.view, versions, Some(late)));
    tell(c, fallen);
}

fn tell(c: &mut Context<'_>, fallen: Vec<Fallen>) {
    for dependant in fallen {
        let code = if dependant.holds() { &DEPENDANT_FALLS } else { &DEPENDANT_DIFFERS };
        let Fallen { record_id, findings, .. } = dependant;
        let names: BTreeSet<&str> = findings.iter().map(|finding| finding.code.name).collect();
        c.find(
            code,
            format!("record {record_id} does not meet {}", names.into_iter().collect::<Vec<_>>().join(", ")),
            "what it met when it was recorded",
            vec![Look::Record(record_id)],
        );
    }
}

/// Versions of the records in the streams that a record extends.
fn known_versions(view: &dyn View, entry: &Entry) -> Versions {
    let mut versions = Versions::default();
    for extended in &entry.record.streams {
        let stream = present(view, extended.kind(), &Id16(id16(&extended.id)));
        for version in stream.iter().flat_map(|stream| stream.upkeep().amended.values()) {
            if let Some(amendment) = view.entry(&version.record_id) {
                versions.add(&amendment);
            }
        }
    }
    versions
}

/// Records of the streams that a record reaches, in the order of the log.
fn entries_of(view: &dyn View, entry: &Entry, which: impl Fn(&Entry) -> bool) -> BTreeMap<u64, Arc<Entry>> {
    let mut entries = BTreeMap::new();
    for stream in reached(view, &entry.record) {
        for signed in stream.upkeep().signed.iter() {
            if let Some(entry) = view.entry(&signed.record_id).filter(|entry| which(entry)) {
                entries.insert(entry.index, entry);
            }
        }
    }
    entries
}

/// The streams that a record extends, and with a donor the lots that were made from it: what is learned of a donor reaches them.
fn reached(view: &dyn View, record: &Record) -> Vec<Stream> {
    let mut streams: BTreeMap<StreamKey, Stream> = BTreeMap::new();
    let mut add = |kind: StreamKind, id: &Id16| {
        let key = stream_key(u8::try_from(i32::from(kind)).unwrap_or(0), &id.0);
        if let Some(stream) = present(view, kind, id) {
            streams.insert(key, stream);
        }
    };
    for extended in &record.streams {
        let id = Id16(id16(&extended.id));
        add(extended.kind(), &id);
        if extended.kind() == StreamKind::Donor {
            view.donor(&id).iter().flat_map(|donor| donor.lots.iter()).for_each(|lot| add(StreamKind::Lot, lot));
        }
    }
    streams.into_values().collect()
}

fn compare(later: &BTreeMap<u64, Arc<Entry>>, known: &Past<'_>, now: &Past<'_>) -> Vec<Fallen> {
    let fallen = later.values().map(|entry| {
        let mut findings = new_findings(entry, entry.index, known, now);
        findings.retain(|finding| !is_asked_elsewhere(entry, finding, now.late.as_deref()));
        Fallen::new(entry, findings)
    });
    fallen.filter(|fallen| !fallen.findings.is_empty()).collect()
}

/// What is no reason for a record to fall: whoever decides next is asked about it anyway, or no two clocks agree so well.
fn is_asked_elsewhere(entry: &Entry, finding: &Finding, late: Option<&Entry>) -> bool {
    // Whether another weighing makes a difference is WEIGHT_CHANGED; a signature that is owed stops what needs it until it is added.
    let is_asked_again = [&WEIGHING_NOT_LATEST, &DOSE_SIGNATURE_OWED, &LOT_SIGNATURE_OWED, &UNIT_SIGNATURE_OWED];
    // The bench's clock may be behind the ledger's: the thaw that was ordered is not one before the order.
    let is_own_thaw = finding.code == &UNIT_ALREADY_THAWED
        && matches!(entry.event(), Some(Event::ThawOrdered(_)))
        && late.is_some_and(|late| judged_at_ms(entry) <= late.occurred_at_ms().saturating_add(AHEAD_LIMIT_MS));
    is_own_thaw || is_asked_again.contains(&finding.code)
}

/// What is found about a record on the streams as they stood before a place of the log, and was not found before the change.
fn new_findings(entry: &Entry, before: u64, known: &Past<'_>, now: &Past<'_>) -> Vec<Finding> {
    let known: BTreeSet<u16> = known.findings(entry, before).iter().map(|finding| finding.code.number).collect();
    now.findings(entry, before).into_iter().filter(|finding| !known.contains(&finding.code.number)).collect()
}

/// What is found about the amended record itself. A result that fails with another value fails anew: an invalidation was of the value before.
fn own_findings(target: &Entry, before: u64, known: &Past<'_>, now: &Past<'_>) -> Vec<Finding> {
    if !matches!(target.event(), Some(Event::TestResultReported(_) | Event::DonorTestReported(_))) {
        return new_findings(target, before, known, now);
    }
    let of = |finding: &Finding| (finding.code.number, finding.found.clone());
    let known: BTreeSet<_> = known.findings(target, before).iter().map(of).collect();
    now.findings(target, before).into_iter().filter(|finding| !known.contains(&of(finding))).collect()
}

pub(crate) fn present(view: &dyn View, kind: StreamKind, id: &Id16) -> Option<Stream> {
    match kind {
        StreamKind::Authority => Some(Stream::Authority(view.authority())),
        StreamKind::Protocol => view.protocol(id).map(Stream::Protocol),
        StreamKind::Specification => view.specification(id).map(Stream::Specification),
        StreamKind::Donor => view.donor(id).map(Stream::Donor),
        StreamKind::Lot => view.lot(id).map(Stream::Lot),
        StreamKind::Subject => view.subject(id).map(Stream::Subject),
        StreamKind::Facility => view.facility(id).map(Stream::Facility),
        StreamKind::Equipment => view.equipment(id).map(Stream::Equipment),
        StreamKind::Unspecified => None,
    }
}

/// A stream as far as it is folded.
struct Folded {
    stream: Stream,
    /// How many of its records are in it.
    place: usize,
    /// Whether the late fact is in it.
    has_late: bool,
}

/// The ledger before one of its records, as it would be with these versions and a late fact in its place.
struct Past<'a> {
    view: &'a dyn View,
    versions: Versions,
    late: Option<Arc<Entry>>,
    before: Cell<u64>,
    folded: RefCell<BTreeMap<StreamKey, Folded>>,
}

impl<'a> Past<'a> {
    fn new(view: &'a dyn View, versions: Versions, late: Option<Arc<Entry>>) -> Past<'a> {
        Past { view, versions, late, before: Cell::new(0), folded: RefCell::default() }
    }

    /// What the family's rules find. Records are asked for in the order of the log: streams are only folded forward.
    fn findings(&self, entry: &Entry, before: u64) -> Vec<Finding> {
        self.before.set(before);
        let version = self.versions.of_entry(entry);
        let is_judged = version.event().is_some_and(|event| {
            !table::extends_targets_streams(event) && !matches!(event, Event::SignatureAdded(_) | Event::RecordReaffirmed(_))
        });
        if is_judged { judge::family_findings(self, entry.recorded_at_ms, &version) } else { Vec::new() }
    }

    fn stream(&self, kind: StreamKind, id: &Id16) -> Option<Stream> {
        let today = present(self.view, kind, id)?;
        let key = stream_key(u8::try_from(i32::from(kind)).unwrap_or(0), &id.0);
        let mut all = self.folded.borrow_mut();
        let folded = all.entry(key).or_insert_with(|| Folded { stream: today.before_its_first(), place: 0, has_late: false });
        let late = self
            .late
            .as_ref()
            .filter(|late| late.record.streams.iter().any(|extended| extended.kind() == kind && extended.id[..] == id.0));
        while let Some(signed) = today.upkeep().signed.get(folded.place) {
            let entry = self.view.entry(&signed.record_id)?;
            if entry.index >= self.before.get() {
                break;
            }
            if let Some(late) = late.filter(|late| !folded.has_late && judged_at_ms(&entry) > late.occurred_at_ms()) {
                folded.stream.fold(late);
                folded.has_late = true;
            }
            folded.stream.fold_version(&entry, &self.versions);
            folded.place += 1;
        }
        // Whatever is judged happened after the late fact.
        if let Some(late) = late.filter(|_| !folded.has_late) {
            folded.stream.fold(late);
            folded.has_late = true;
        }
        (folded.place > 0 || folded.has_late).then(|| folded.stream.clone())
    }
}

impl View for Past<'_> {
    fn authority(&self) -> Arc<Authority> {
        self.view.authority()
    }
    fn protocol(&self, id: &Id16) -> Option<Arc<Protocol>> {
        match self.stream(StreamKind::Protocol, id)? {
            Stream::Protocol(state) => Some(state),
            _ => None,
        }
    }
    fn specification(&self, id: &Id16) -> Option<Arc<Specification>> {
        match self.stream(StreamKind::Specification, id)? {
            Stream::Specification(state) => Some(state),
            _ => None,
        }
    }
    fn donor(&self, id: &Id16) -> Option<Arc<Donor>> {
        match self.stream(StreamKind::Donor, id)? {
            Stream::Donor(state) => Some(state),
            _ => None,
        }
    }
    fn lot(&self, id: &Id16) -> Option<Arc<Lot>> {
        match self.stream(StreamKind::Lot, id)? {
            Stream::Lot(state) => Some(state),
            _ => None,
        }
    }
    fn subject(&self, id: &Id16) -> Option<Arc<Subject>> {
        match self.stream(StreamKind::Subject, id)? {
            Stream::Subject(state) => Some(state),
            _ => None,
        }
    }
    fn facility(&self, id: &Id16) -> Option<Arc<Facility>> {
        match self.stream(StreamKind::Facility, id)? {
            Stream::Facility(state) => Some(state),
            _ => None,
        }
    }
    fn equipment(&self, id: &Id16) -> Option<Arc<Equipment>> {
        match self.stream(StreamKind::Equipment, id)? {
            Stream::Equipment(state) => Some(state),
            _ => None,
        }
    }
    fn head(&self, stream: &StreamKey) -> Option<(u64, [u8; 32])> {
        self.view.head(stream)
    }
    fn hash_at(&self, stream: &StreamKey, seq: u64) -> Option<[u8; 32]> {
        self.view.hash_at(stream, seq)
    }
    fn entry(&self, id: &RecordId) -> Option<Arc<Entry>> {
        self.view.entry(id)
    }
    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]> {
        self.view.lookup(key)
    }
}
