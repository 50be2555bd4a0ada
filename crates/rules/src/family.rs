//! The rules, one file for each family of records.

use marrowline_record::pb::record::Event;

use crate::context::Context;

pub mod amendment;
pub mod authority;
pub mod container;
pub mod custody;
pub mod disposition;
pub mod donor;
pub mod dose;
pub mod dose_check;
pub mod emergency;
pub mod endpoint;
mod hindsight;
pub mod labels;
pub mod lot;
pub mod medium;
pub mod protocol;
pub mod quality;
pub mod reaction;
pub mod reaffirmation;
pub mod recall;
pub mod release_testing;
pub mod result_invalidation;
pub mod specification;
pub mod storage;
pub mod subject;
pub mod supplies;
pub mod units;

/// Hands the record to its family.
pub(crate) fn judge(c: &mut Context<'_>) {
    let Some(event) = c.event() else { return };
    supplies::check_materials(c, event);
    match event {
        Event::ReagentReceived(_) | Event::ReagentReleased(_) | Event::ReagentRecalled(_) => supplies::reagent(c, event),
        Event::EquipmentStatusRecorded(_) | Event::ReadingsLogged(_) | Event::TemperatureExcursion(_) => {
            supplies::equipment(c, event);
        }
        Event::LedgerFounded(e) => authority::founded(c, e),
        Event::FacilityRegistered(e) => authority::facility_registered(c, e),
        Event::KeyGranted(e) => authority::key_granted(c, e),
        Event::KeyRevoked(_) | Event::LogKeyRotated(_) | Event::RuleSetAdopted(_) => authority::replaced(c, event),
        Event::RecordReaffirmed(e) => reaffirmation::reaffirmed(c, e),
        Event::RecordAmended(e) => amendment::amended(c, e),
        Event::RecordVoided(e) => amendment::voided(c, e),
        Event::AuditNoted(_) | Event::ConsentWithdrawn(_) | Event::TrialHalted(_) | Event::SubjectWithdrawn(_) => {}
        Event::ExceptionalRelease(e) => emergency::released(c, e),
        Event::EmergencyOverride(e) => emergency::overridden(c, e),
        Event::OverrideRatified(e) => emergency::ratified(c, e),
        Event::SignatureAdded(e) => authority::signature_added(c, e),
        Event::ProtocolPublished(e) => protocol::published(c, e),
        Event::TrialResumed(_) => protocol::trial_resumed(c),
        Event::TrialClosed(_) => protocol::trial_closed(c),
        Event::SpecificationPublished(e) => specification::published(c, e),
        Event::DeviationOpened(e) => quality::deviation_opened(c, e),
        Event::DeviationClosed(e) => quality::deviation_closed(c, e),
        Event::HoldSet(e) => quality::hold_set(c, e),
        Event::HoldLifted(e) => quality::hold_lifted(c, e),
        Event::RecallOpened(_) | Event::LookBackOpened(_) => {}
        Event::RecallClosed(e) => recall::closed(c, &recall::Closing::recall(e)),
        Event::LookBackClosed(e) => recall::closed(c, &recall::Closing::look_back(e)),
        Event::DonorRegistered(e) => donor::registered(c, e),
        Event::DonorConsented(e) => donor::consented(c, e),
        Event::DonorTestReported(e) => donor::test_reported(c, e),
        Event::DonorTestReviewed(e) => donor::test_reviewed(c, e),
        Event::DonorEligibilityDetermined(e) => donor::eligibility_determined(c, e),
        Event::MarrowCollected(e) => donor::marrow_collected(c, e),
        Event::LotOpened(e) => lot::opened(c, e),
        Event::MncIsolated(e) => lot::mnc_isolated(c, e),
        Event::CultureSeeded(e) => lot::culture_seeded(c, e),
        Event::Passaged(e) => lot::passaged(c, e),
        Event::Harvested(e) => lot::harvested(c, e),
        Event::UnitsFilled(e) => units::filled(c, e),
        Event::UnitsMoved(e) => units::moved(c, e),
        Event::SampleTaken(e) => release_testing::sample_taken(c, e),
        Event::TestResultReported(e) => release_testing::reported(c, e),
        Event::TestResultReviewed(e) => release_testing::reviewed(c, e),
        Event::LotDispositionDecided(e) => disposition::decided(c, e),
        Event::CustodyRelinquished(e) => custody::relinquished(c, e),
        Event::CustodyAccepted(e) => custody::accepted(c, e),
        Event::MediumChanged(e) => medium::changed(c, e),
        Event::LabelsPrinted(e) => labels::printed(c, e),
        Event::LabelsApplied(e) => labels::applied(c, e),
        Event::LabelsReconciled(e) => labels::reconciled(c, e),
        Event::ResultInvalidated(e) => result_invalidation::invalidated(c, e),
        Event::CustodyRefused(e) => custody::refused(c, e),
        Event::ContainerEvent(e) => container::happened(c, e),
        Event::UnitsReturned(e) => container::returned(c, e),
        Event::UnitsDestroyed(e) => container::destroyed(c, e),
        Event::SubjectConsented(e) => subject::consented(c, e),
        Event::SubjectScreened(e) => subject::screened(c, e),
        Event::SubjectRandomised(e) => subject::randomised(c, e),
        Event::SubjectWeighed(e) => subject::weighed(c, e),
        Event::VitalStatusRecorded(e) => subject::vital_status_recorded(c, e),
        Event::AdverseReactionReported(e) => reaction::reported(c, e),
        Event::EndpointObserved(e) => endpoint::observed(c, e),
        Event::DoseOrdered(e) => dose::ordered(c, e),
        Event::OrderCancelled(e) => dose::cancelled(c, e),
        Event::AllocationReleased(e) => dose::allocation_released(c, e),
        Event::DoseRejected(e) => dose::rejected(c, e),
        Event::UnitsAllocated(e) => dose::units_allocated(c, e),
        Event::ThawOrdered(e) => dose::thaw_ordered(c, e),
        Event::UnitsThawed(e) => dose::units_thawed(c, e),
        Event::DosePrepared(e) => dose::prepared(c, e),
        Event::DoseDispensed(e) => dose::dispensed(c, e),
        Event::BedsideChecked(e) => dose::bedside_checked(c, e),
        Event::InfusionStarted(e) => dose::infusion_started(c, e),
        Event::InfusionEnded(e) => dose::infusion_ended(c, e),
    }
}
