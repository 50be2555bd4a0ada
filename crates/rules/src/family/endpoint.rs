//! Endpoints: nothing refuses an observation; a value that the report of the trial could not place is flagged.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, StreamKind};

use crate::codes::subject as codes;
use crate::context::Context;
use crate::family::donor::is_complete;
use crate::finding::Look;

/// The visit before treatment.
pub const BASELINE: u32 = 0;

/// Whether a text is a LOINC code: up to seven digits, a hyphen and the check digit by Luhn's formula (ISO/IEC 7812-1, modulus 10).
pub fn is_loinc(code: &str) -> bool {
    let Some((number, check)) = code.split_once('-') else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(number) || number.len() > 7 || !is_number(check) || check.len() != 1 {
        return false;
    }
    let digits = number.bytes().chain(check.bytes()).rev().map(|b| u32::from(b.saturating_sub(b'0')));
    let sum: u32 =
        digits.enumerate().map(|(place, digit)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit }).sum();
    sum.is_multiple_of(10)
}

/// Whether an observation has what a report needs: a code and a whole value.
pub fn counts(e: &pb::EndpointObserved) -> bool {
    is_loinc(&e.loinc_code)
        && e.result.as_ref().is_some_and(|result| is_complete(result) && !matches!(result.kind(), pb::ResultKind::Invalid))
}

pub(super) fn observed(c: &mut Context<'_>, e: &pb::EndpointObserved) {
    let field = |name: &str| vec![Look::Field(format!("endpoint_observed.{name}"))];
    c.demand(
        is_loinc(&e.loinc_code),
        &codes::LOINC_CODE_WRONG,
        || e.loinc_code.clone(),
        || "a LOINC code such as 26881-3".to_owned(),
        || field("loinc_code"),
    );
    c.demand(
        e.result.as_ref().is_some_and(is_complete),
        &codes::ENDPOINT_INCOMPLETE,
        || "value, unit or comparator missing or too many".to_owned(),
        || "all three for a number, none otherwise".to_owned(),
        || field("result"),
    );
    let day = e.visit_day.unwrap_or(BASELINE);
    let planned = planned_days(c);
    c.demand(
        day == BASELINE || planned.contains(&day),
        &codes::VISIT_NOT_PLANNED,
        || format!("day {day}"),
        || planned.iter().fold("the baseline, day 0".to_owned(), |text, day| format!("{text}, day {day}")),
        || field("visit_day"),
    );
}

fn planned_days(c: &Context<'_>) -> Vec<u32> {
    let subject = c.view.subject(&c.stream_id(StreamKind::Subject));
    let published = subject.and_then(|subject| {
        let (id, version): (Id16, u32) = subject.protocol()?;
        c.view.protocol(&id)?.version(version).cloned()
    });
    published.map(|document| document.follow_up_days.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_of_loinc() {
        // Interleukin 6, interleukin 10, creatinine, bilirubin, procalcitonin, C-reactive protein, oxygen partial pressure.
        for code in ["26881-3", "26848-2", "2160-0", "1975-2", "33959-8", "1988-5", "2703-7"] {
            assert!(is_loinc(code), "{code}");
        }
        for code in ["26881-4", "26818-3", "2160", "-0", "2160-", "2160-00", "12345678-2", "a-1", "2160-0 ", ""] {
            assert!(!is_loinc(code), "{code}");
        }
    }
}
