//! What fits into the end of an answer. A status travels in HTTP/2 headers, and clients give up on a connection whose headers pass their
//! limit: 8 KiB for many, its details in base64. So texts are cut, and of very many reasons those come first that name a rule for the
//! first time. Judge answers in the body and tells all of them.

use tonic_types::PreconditionViolation;

/// Longest message, bytes. What is not ASCII travels at three bytes for one, and the details repeat the message.
pub const MESSAGE_BYTES: usize = 500;
/// Longest text of ErrorInfo or of a field violation, bytes.
pub const TEXT_BYTES: usize = 300;
/// All violations together, bytes before base64.
const VIOLATIONS_BYTES: usize = 3_200;
/// Lengths of a violation's words that are tried, longest first.
const WORDS_BYTES: [usize; 4] = [1_000, 400, 200, 100];
/// What a violation costs beside its texts: tags and lengths.
const FRAME_BYTES: usize = 10;

/// A text of at most `bytes` bytes; where something was left out, it ends with an ellipsis.
pub fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mark = "…";
    let mut end = bytes.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let (kept, _) = text.split_at_checked(end).unwrap_or(("", ""));
    format!("{kept}{mark}")
}

/// The violations that fit, in their order: with shorter words if need be; if that is not enough, each code once and then as many more as
/// there is room for, with a last one that counts what was left out.
pub fn fit(violations: Vec<PreconditionViolation>) -> Vec<PreconditionViolation> {
    let shorter = |violation: &PreconditionViolation, bytes: usize| {
        let (subject, description) = (clip(&violation.subject, bytes), clip(&violation.description, bytes));
        PreconditionViolation::new(violation.r#type.clone(), subject, description)
    };
    for bytes in WORDS_BYTES {
        let tried: Vec<PreconditionViolation> = violations.iter().map(|v| shorter(v, bytes)).collect();
        if tried.iter().map(cost).sum::<usize>() <= VIOLATIONS_BYTES {
            return tried;
        }
    }
    let is_repeated = |place: usize, violation: &PreconditionViolation| {
        violations.iter().take(place).any(|earlier| earlier.r#type == violation.r#type)
    };
    let mut order: Vec<(bool, usize)> =
        violations.iter().enumerate().map(|(place, violation)| (is_repeated(place, violation), place)).collect();
    order.sort_unstable();
    let rest = |count: usize| {
        PreconditionViolation::new(
            "MORE",
            "",
            format!("{count} more, for which there is no room here; Judge tells every finding"),
        )
    };
    let mut room = VIOLATIONS_BYTES.saturating_sub(cost(&rest(violations.len())));
    let mut kept: Vec<(usize, PreconditionViolation)> = Vec::new();
    for (_, place) in order {
        let Some(violation) = violations.get(place).map(|v| shorter(v, 60)) else { continue };
        let Some(left) = room.checked_sub(cost(&violation)) else { break };
        room = left;
        kept.push((place, violation));
    }
    kept.sort_unstable_by_key(|(place, _)| *place);
    let left_out = violations.len().saturating_sub(kept.len());
    kept.into_iter().map(|(_, violation)| violation).chain([rest(left_out)]).collect()
}

fn cost(violation: &PreconditionViolation) -> usize {
    violation
        .r#type
        .len()
        .saturating_add(violation.subject.len())
        .saturating_add(violation.description.len())
        .saturating_add(FRAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(count: usize, codes: usize, words: usize) -> Vec<PreconditionViolation> {
        let one = |n: usize| PreconditionViolation::new(format!("RULE_{}", n % codes), format!("record {n}"), "w".repeat(words));
        (0..count).map(one).collect()
    }

    fn total(violations: &[PreconditionViolation]) -> usize {
        violations.iter().map(cost).sum()
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "…");
        assert_eq!(clip("abcdef", 5), "ab…");
        assert_eq!(clip("ééééé", 9), "ééé…");
        assert!(clip(&"é".repeat(1_000), 300).len() <= 300);
    }

    #[test]
    fn a_few_reasons_are_told_whole() {
        let few = violations(6, 6, 400);
        let told = fit(few.clone());
        let texts = |v: &PreconditionViolation| (v.r#type.clone(), v.subject.clone(), v.description.clone());
        assert!(told.iter().map(texts).eq(few.iter().map(texts)));
    }

    #[test]
    fn many_reasons_are_told_in_fewer_words() {
        let many = violations(20, 20, 900);
        let told = fit(many.clone());
        assert_eq!(told.len(), many.len());
        assert!(total(&told) <= VIOLATIONS_BYTES);
        assert!(told.iter().zip(&many).all(|(a, b)| a.r#type == b.r#type && !a.description.is_empty()));
    }

    #[test]
    fn of_very_many_each_code_is_told_and_the_rest_counted() {
        let told = fit(violations(500, 25, 300));
        assert!(total(&told) <= VIOLATIONS_BYTES, "{}", total(&told));
        for code in 0..25 {
            assert!(told.iter().any(|v| v.r#type == format!("RULE_{code}")), "{code}");
        }
        let last = told.last().unwrap();
        assert_eq!(last.r#type, "MORE");
        assert!(last.description.starts_with(&format!("{} more", 500 - (told.len() - 1))), "{}", last.description);
    }
}
