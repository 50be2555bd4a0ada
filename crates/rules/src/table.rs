//! Who signs what, and which streams it extends: one row for each event, as in the table of records in docs/rules.md.

use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Disposition, Eligibility, Meaning, Role, StreamKind};

use Meaning::{Accepted, Approved, Certified, Performed, Ratified, Relinquished, Reviewed, Verified};
use Role::{
    Auditor, Collector, Courier, Cryobank, Device, DonorPhysician, Investigator, KeyAdministrator, Nurse, Operator, Pharmacist,
    QcAnalyst, QcReviewer, QualifiedPerson, QualityAssurance, Randomiser, VerifyingOperator,
};

/// How a record is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Something that happened: flagged, never gated.
    Fact,
    /// A decision: gated.
    Authorisation,
    /// A decision that stops something: judged like a fact, one signature is enough.
    Stop,
}

/// One signature slot: any of these roles, with this meaning.
#[derive(Clone, Copy, Debug)]
pub struct SlotRule {
    /// The roles that may fill it.
    pub roles: &'static [Role],
    /// What the signature says.
    pub meaning: Meaning,
}

/// How many streams of a kind a record extends.
#[derive(Clone, Copy, Debug)]
pub struct StreamRule {
    /// The kind.
    pub kind: StreamKind,
    /// Fewest.
    pub min: usize,
    /// Most.
    pub max: usize,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The signatures, in slot order.
    pub slots: &'static [SlotRule],
    /// The streams, by kind.
    pub streams: &'static [StreamRule],
    /// Whether the record opens the stream of the first kind named.
    pub opens: bool,
}

const fn slot(roles: &'static [Role], meaning: Meaning) -> SlotRule {
    SlotRule { roles, meaning }
}

/// The slot that a fact has beside those of its event when somebody records what another person did who cannot sign for it any more.
pub const FOR_ANOTHER: SlotRule = slot(&[QualityAssurance], Ratified);

const fn one(kind: StreamKind) -> StreamRule {
    StreamRule { kind, min: 1, max: 1 }
}

const fn some(kind: StreamKind) -> StreamRule {
    StreamRule { kind, min: 1, max: 8 }
}

const AUTHORITY: &[StreamRule] = &[one(StreamKind::Authority)];
const PROTOCOL: &[StreamRule] = &[one(StreamKind::Protocol)];
const SPECIFICATION: &[StreamRule] = &[one(StreamKind::Specification)];
const DONOR: &[StreamRule] = &[one(StreamKind::Donor)];
const LOT: &[StreamRule] = &[one(StreamKind::Lot)];
const LOTS: &[StreamRule] = &[some(StreamKind::Lot)];
const LOT_DONOR: &[StreamRule] = &[one(StreamKind::Lot), one(StreamKind::Donor)];
const SUBJECT: &[StreamRule] = &[one(StreamKind::Subject)];
const SUBJECT_PROTOCOL: &[StreamRule] = &[one(StreamKind::Subject), one(StreamKind::Protocol)];
const SUBJECT_LOTS: &[StreamRule] = &[one(StreamKind::Subject), some(StreamKind::Lot)];
const FACILITY: &[StreamRule] = &[one(StreamKind::Facility)];
const EQUIPMENT: &[StreamRule] = &[one(StreamKind::Equipment)];
const EQUIPMENT_ANY_LOTS: &[StreamRule] = &[one(StreamKind::Equipment), StreamRule { kind: StreamKind::Lot, min: 0, max: 8 }];
const SUBJECT_ANY_LOTS: &[StreamRule] = &[one(StreamKind::Subject), StreamRule { kind: StreamKind::Lot, min: 0, max: 8 }];
/// Any one stream: which kinds are allowed is in [`any_stream`].
const ANY: &[StreamRule] = &[];

const KEY_QA: &[SlotRule] = &[slot(&[KeyAdministrator], Approved), slot(&[QualityAssurance], Approved)];
const OP_VF: &[SlotRule] = &[slot(&[Operator], Performed), slot(&[VerifyingOperator], Verified)];
const RN_2: &[SlotRule] = &[slot(&[Nurse], Performed), slot(&[Nurse, Investigator], Verified)];
const QR: &[SlotRule] = &[slot(&[QcReviewer], Reviewed)];
const PHA_CUR: &[SlotRule] = &[slot(&[Pharmacist], Relinquished), slot(&[Courier], Accepted)];
const HOLDER: &[Role] = &[Cryobank, Courier, Pharmacist, Nurse];
/// Every role that people or devices are granted.
pub const EVERY_ROLE: &[Role] = &[
    KeyAdministrator,
    QualityAssurance,
    QualifiedPerson,
    DonorPhysician,
    Collector,
    Operator,
    QcAnalyst,
    QcReviewer,
    Cryobank,
    Courier,
    Pharmacist,
    Investigator,
    Randomiser,
    Nurse,
    Auditor,
    Device,
];

/// Every role in which a person decides: a device decides nothing, and an auditor reads and notes.
pub const DECIDING_ROLES: &[Role] = &[
    KeyAdministrator,
    QualityAssurance,
    QualifiedPerson,
    DonorPhysician,
    Collector,
    Operator,
    QcAnalyst,
    QcReviewer,
    Cryobank,
    Courier,
    Pharmacist,
    Investigator,
    Randomiser,
    Nurse,
];

const fn row(slots: &'static [SlotRule], streams: &'static [StreamRule]) -> Row {
    Row { slots, streams, opens: false }
}

const fn opening(slots: &'static [SlotRule], streams: &'static [StreamRule]) -> Row {
    Row { slots, streams, opens: true }
}

/// The row of an event. For [`Event::SignatureAdded`] slots and streams are the target's and are checked against it.
pub fn row_of(event: &Event) -> Row {
    match event {
        Event::LedgerFounded(_) => opening(KEY_QA, AUTHORITY),
        Event::FacilityRegistered(_) | Event::KeyGranted(_) | Event::LogKeyRotated(_) | Event::RuleSetAdopted(_) => {
            row(KEY_QA, AUTHORITY)
        }
        // KEY, QA or the holder in whatever role; the rule checks which.
        Event::KeyRevoked(_) => row(const { &[slot(EVERY_ROLE, Approved)] }, AUTHORITY),
        Event::RecordReaffirmed(_) => {
            row(const { &[slot(&[QualityAssurance], Ratified), slot(EVERY_ROLE, Ratified)] }, AUTHORITY)
        }
        Event::ProtocolPublished(_) => {
            row(const { &[slot(&[QualityAssurance], Approved), slot(&[Investigator], Approved)] }, PROTOCOL)
        }
        Event::TrialHalted(_) => row(const { &[slot(&[QualityAssurance, Investigator], Approved)] }, PROTOCOL),
        Event::TrialResumed(_) | Event::TrialClosed(_) => {
            row(const { &[slot(&[QualityAssurance], Approved), slot(&[Investigator], Approved)] }, PROTOCOL)
        }
        Event::SpecificationPublished(_) => {
            row(const { &[slot(&[QualityAssurance], Approved), slot(&[QualifiedPerson], Approved)] }, SPECIFICATION)
        }
        Event::DonorRegistered(_) => opening(const { &[slot(&[DonorPhysician], Performed)] }, DONOR),
        Event::DonorConsented(_) => row(const { &[slot(&[DonorPhysician], Performed)] }, DONOR),
        Event::DonorTestReported(_) => row(const { &[slot(&[QcAnalyst], Performed)] }, DONOR),
        Event::DonorTestReviewed(_) => row(QR, DONOR),
        Event::DonorEligibilityDetermined(_) => {
            row(const { &[slot(&[DonorPhysician], Approved), slot(&[QualityAssurance], Approved)] }, DONOR)
        }
        Event::MarrowCollected(_) => row(const { &[slot(&[Collector], Performed)] }, DONOR),
        Event::LotOpened(_) => opening(OP_VF, LOT_DONOR),
        Event::MncIsolated(_)
        | Event::CultureSeeded(_)
        | Event::Passaged(_)
        | Event::Harvested(_)
        | Event::UnitsFilled(_)
        | Event::UnitsThawed(_) => row(OP_VF, if matches!(event, Event::UnitsThawed(_)) { LOTS } else { LOT }),
        Event::UnitsMoved(_) => row(const { &[slot(&[Cryobank], Performed)] }, LOT),
        Event::SampleTaken(_) => row(const { &[slot(&[Operator], Performed)] }, LOT),
        Event::TestResultReported(_) => row(const { &[slot(&[QcAnalyst], Performed)] }, LOT),
        Event::TestResultReviewed(_) => row(QR, LOT),
        Event::DeviationOpened(_) => row(const { &[slot(EVERY_ROLE, Performed)] }, ANY),
        Event::DeviationClosed(_) => row(const { &[slot(&[QualityAssurance], Approved)] }, ANY),
        Event::HoldSet(_) => row(const { &[slot(EVERY_ROLE, Approved)] }, ANY),
        Event::HoldLifted(_) => row(const { &[slot(&[QualityAssurance], Approved), slot(DECIDING_ROLES, Approved)] }, ANY),
        Event::LotDispositionDecided(_) => {
            row(const { &[slot(&[QualityAssurance], Approved), slot(&[QualifiedPerson], Certified)] }, LOT)
        }
        Event::RecallOpened(_) | Event::LookBackOpened(_) => {
            row(const { &[slot(&[QualityAssurance, QualifiedPerson], Approved)] }, ANY)
        }
        Event::RecallClosed(_) | Event::LookBackClosed(_) => {
            row(const { &[slot(&[QualityAssurance], Approved), slot(&[QualifiedPerson], Approved)] }, ANY)
        }
        Event::CustodyRelinquished(_) => row(const { &[slot(HOLDER, Relinquished)] }, LOTS),
        Event::CustodyAccepted(_) => row(const { &[slot(HOLDER, Accepted)] }, LOTS),
        _ => lot_life_row(event).unwrap_or_else(|| subject_row(event)),
    }
}

/// What happens to cultures, labels and units beside the way from a donor to a subject.
fn lot_life_row(event: &Event) -> Option<Row> {
    Some(match event {
        Event::MediumChanged(_) => row(const { &[slot(&[Operator], Performed)] }, LOT),
        Event::LabelsPrinted(_) | Event::LabelsApplied(_) | Event::LabelsReconciled(_) => row(OP_VF, LOT),
        Event::ResultInvalidated(_) => row(const { &[slot(&[QcReviewer], Reviewed), slot(&[QualityAssurance], Approved)] }, LOT),
        Event::CustodyRefused(_) => row(const { &[slot(HOLDER, Performed)] }, LOTS),
        Event::ContainerEvent(_) => row(const { &[slot(EVERY_ROLE, Performed)] }, LOTS),
        Event::UnitsReturned(_) => row(PHA_CUR, LOTS),
        Event::UnitsDestroyed(_) => row(OP_VF, LOTS),
        _ => return None,
    })
}

fn subject_row(event: &Event) -> Row {
    match event {
        Event::SubjectConsented(_) => opening(const { &[slot(&[Investigator], Performed)] }, SUBJECT),
        Event::SubjectScreened(_) => row(const { &[slot(&[Investigator], Performed)] }, SUBJECT),
        Event::SubjectRandomised(_) => row(const { &[slot(&[Randomiser], Approved)] }, SUBJECT_PROTOCOL),
        Event::SubjectWeighed(_) => row(const { &[slot(&[Nurse, Investigator], Performed)] }, SUBJECT),
        Event::DoseOrdered(_) => row(const { &[slot(&[Investigator], Approved)] }, SUBJECT),
        Event::UnitsAllocated(_) => {
            row(const { &[slot(&[Pharmacist], Approved), slot(&[QualityAssurance, Pharmacist], Approved)] }, SUBJECT_LOTS)
        }
        Event::ThawOrdered(_) => row(const { &[slot(&[Pharmacist, QualityAssurance], Approved)] }, LOTS),
        Event::DosePrepared(_) => {
            row(const { &[slot(&[Operator, Pharmacist], Performed), slot(&[VerifyingOperator], Verified)] }, SUBJECT_LOTS)
        }
        Event::DoseDispensed(_) => row(const { &[slot(&[Pharmacist], Approved)] }, SUBJECT_LOTS),
        Event::BedsideChecked(_) => row(RN_2, SUBJECT),
        Event::InfusionStarted(_) | Event::InfusionEnded(_) => row(RN_2, SUBJECT_LOTS),
        Event::OrderCancelled(_) => row(const { &[slot(&[Investigator], Approved)] }, SUBJECT),
        Event::AllocationReleased(_) => row(const { &[slot(&[Pharmacist], Approved)] }, SUBJECT_LOTS),
        Event::DoseRejected(_) => row(const { &[slot(&[Pharmacist, QualityAssurance], Approved)] }, SUBJECT_LOTS),
        Event::AdverseReactionReported(_) => row(const { &[slot(&[Nurse, Investigator], Performed)] }, SUBJECT_ANY_LOTS),
        Event::EndpointObserved(_) => row(const { &[slot(&[Investigator, QcAnalyst, Device], Performed)] }, SUBJECT),
        Event::VitalStatusRecorded(_) | Event::SubjectWithdrawn(_) => row(const { &[slot(&[Investigator], Performed)] }, SUBJECT),
        // A role that signed the target, and QA; streams are the target's.
        Event::RecordAmended(_) | Event::RecordVoided(_) => {
            row(const { &[slot(EVERY_ROLE, Approved), slot(&[QualityAssurance], Approved)] }, ANY)
        }
        Event::ReagentReceived(_) => row(const { &[slot(&[Operator], Performed)] }, FACILITY),
        Event::ReagentReleased(_) | Event::ReagentRecalled(_) => row(const { &[slot(&[QualityAssurance], Approved)] }, FACILITY),
        Event::EquipmentStatusRecorded(_) => row(const { &[slot(&[Operator], Performed)] }, EQUIPMENT),
        Event::ReadingsLogged(_) => row(const { &[slot(&[Device], Performed)] }, EQUIPMENT),
        Event::TemperatureExcursion(_) => row(const { &[slot(&[Device, Cryobank, Courier], Performed)] }, EQUIPMENT_ANY_LOTS),
        Event::ConsentWithdrawn(_) => row(const { &[slot(&[DonorPhysician, Investigator], Performed)] }, ANY),
        Event::ExceptionalRelease(_) => row(
            const { &[slot(&[Investigator], Approved), slot(&[QualityAssurance], Approved), slot(&[QualifiedPerson], Certified)] },
            SUBJECT_LOTS,
        ),
        Event::EmergencyOverride(_) => {
            row(const { &[slot(&[Investigator], Approved), slot(&[Pharmacist], Approved)] }, SUBJECT_ANY_LOTS)
        }
        Event::OverrideRatified(_) => row(const { &[slot(&[QualityAssurance], Ratified)] }, SUBJECT_ANY_LOTS),
        Event::AuditNoted(_) => row(const { &[slot(&[Auditor], Reviewed)] }, ANY),
        // Slots and streams are those of the record that owes the signature.
        _ => row(&[], ANY),
    }
}

/// Whether a record extends the streams of another one that it names, however many they are.
pub fn extends_targets_streams(event: &Event) -> bool {
    matches!(event, Event::RecordAmended(_) | Event::RecordVoided(_))
}

/// Whether a fact can be amended or voided. A decision is ended by another decision, a deviation by its closing; what is said about a
/// signature or another record stands.
pub fn is_amendable(event: &Event) -> bool {
    category(event) == Category::Fact
        && !matches!(event, Event::SignatureAdded(_) | Event::DeviationOpened(_) | Event::AuditNoted(_))
}

/// Whether a record about "any" stream may extend one of this kind.
pub fn any_stream(event: &Event, kind: StreamKind) -> bool {
    match event {
        Event::HoldSet(_) | Event::HoldLifted(_) => {
            matches!(kind, StreamKind::Lot | StreamKind::Donor | StreamKind::Subject)
        }
        Event::RecallOpened(_) | Event::RecallClosed(_) | Event::LookBackOpened(_) | Event::LookBackClosed(_) => {
            matches!(kind, StreamKind::Lot | StreamKind::Donor)
        }
        Event::ConsentWithdrawn(_) => matches!(kind, StreamKind::Donor | StreamKind::Subject),
        // Keys and their grants are ended, not amended.
        Event::RecordAmended(_) | Event::RecordVoided(_) => !matches!(kind, StreamKind::Unspecified | StreamKind::Authority),
        _ => kind != StreamKind::Unspecified,
    }
}

/// How a record with this event is treated (law 1).
pub fn category(event: &Event) -> Category {
    use Category::{Authorisation, Fact, Stop};
    match event {
        Event::KeyRevoked(_) | Event::HoldSet(_) | Event::TrialHalted(_) | Event::DoseRejected(_) => Stop,
        Event::RecallOpened(_) | Event::LookBackOpened(_) | Event::ReagentRecalled(_) => Stop,
        Event::DonorEligibilityDetermined(e) if e.eligibility() != Eligibility::Eligible => Stop,
        Event::LotDispositionDecided(e) if e.disposition() == Disposition::Rejected => Stop,
        Event::LedgerFounded(_)
        | Event::FacilityRegistered(_)
        | Event::KeyGranted(_)
        | Event::RecordReaffirmed(_)
        | Event::ProtocolPublished(_)
        | Event::SpecificationPublished(_)
        | Event::DonorTestReviewed(_)
        | Event::DonorEligibilityDetermined(_)
        | Event::TestResultReviewed(_)
        | Event::DeviationClosed(_)
        | Event::HoldLifted(_)
        | Event::RecallClosed(_)
        | Event::LookBackClosed(_)
        | Event::RecordAmended(_)
        | Event::RecordVoided(_)
        | Event::ReagentReleased(_)
        | Event::ExceptionalRelease(_)
        | Event::EmergencyOverride(_)
        | Event::OverrideRatified(_)
        | Event::LotDispositionDecided(_)
        | Event::SubjectRandomised(_)
        | Event::DoseOrdered(_)
        | Event::UnitsAllocated(_)
        | Event::ThawOrdered(_)
        | Event::DoseDispensed(_)
        | Event::ResultInvalidated(_)
        | Event::OrderCancelled(_)
        | Event::AllocationReleased(_) => Authorisation,
        Event::TrialResumed(_) | Event::TrialClosed(_) | Event::LogKeyRotated(_) | Event::RuleSetAdopted(_) => Authorisation,
        Event::LabelsPrinted(_) | Event::LabelsApplied(_) | Event::LabelsReconciled(_) => Fact,
        Event::DonorRegistered(_)
        | Event::DonorConsented(_)
        | Event::DonorTestReported(_)
        | Event::MarrowCollected(_)
        | Event::LotOpened(_)
        | Event::MncIsolated(_)
        | Event::CultureSeeded(_)
        | Event::Passaged(_)
        | Event::Harvested(_)
        | Event::UnitsFilled(_)
        | Event::UnitsMoved(_)
        | Event::SampleTaken(_)
        | Event::TestResultReported(_)
        | Event::DeviationOpened(_)
        | Event::CustodyRelinquished(_)
        | Event::CustodyAccepted(_)
        | Event::SubjectConsented(_)
        | Event::SubjectScreened(_)
        | Event::SubjectWeighed(_)
        | Event::UnitsThawed(_)
        | Event::DosePrepared(_)
        | Event::BedsideChecked(_)
        | Event::InfusionStarted(_)
        | Event::InfusionEnded(_)
        | Event::SignatureAdded(_)
        | Event::AuditNoted(_)
        | Event::ConsentWithdrawn(_)
        | Event::ReagentReceived(_)
        | Event::EquipmentStatusRecorded(_)
        | Event::ReadingsLogged(_)
        | Event::TemperatureExcursion(_)
        | Event::MediumChanged(_)
        | Event::CustodyRefused(_)
        | Event::ContainerEvent(_)
        | Event::UnitsReturned(_)
        | Event::UnitsDestroyed(_)
        | Event::VitalStatusRecorded(_)
        | Event::AdverseReactionReported(_)
        | Event::EndpointObserved(_)
        | Event::SubjectWithdrawn(_) => Fact,
    }
}
