//! The tokens of pages, of every method that lists something: where the next page begins. A receiver hands one back as it came.

use marrowline_api::errors;
use marrowline_record::id::Id16;
use tonic::Status;

/// The refusal of what no page before had.
pub fn wrong() -> Status {
    errors::bad_field("PAGE_TOKEN_WRONG", "page_token", "another text", "the token of the page before")
}

/// A number: of records and refused attempts. The first page begins at 0.
pub fn number(token: &str) -> Result<u64, Status> {
    if token.is_empty() { Ok(0) } else { token.parse().map_err(|_| wrong()) }
}

/// A stream's id: of lots and units. The first page begins with the first stream.
pub fn stream(token: &str) -> Result<Option<Id16>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    uuid::Uuid::parse_str(token).map(|id| Some(Id16(id.into_bytes()))).map_err(|_| wrong())
}

/// A digest: of evidence files.
pub fn digest(token: &str) -> Result<[u8; 32], Status> {
    if token.is_empty() {
        return Ok([0; 32]);
    }
    hex::decode(token).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

/// The place of a kind among so many, and the token of a stream of it: of obligations.
pub fn place(token: &str, kinds: usize) -> Result<(usize, String), Status> {
    if token.is_empty() {
        return Ok((0, String::new()));
    }
    let (place, stream) = token.split_once(':').ok_or_else(wrong)?;
    let place = place.parse().ok().filter(|place| *place < kinds).ok_or_else(wrong)?;
    Ok((place, stream.to_owned()))
}

#[cfg(test)]
mod tests {
    use marrowline_record::testing::{Noise, cases};

    use super::*;

    fn read(token: &str) -> Result<String, Status> {
        let (way, token) = token.split_at(1);
        match way {
            "n" => number(token).map(|number| number.to_string()),
            "s" => stream(token).map(|id| id.map(|id| id.to_string()).unwrap_or_default()),
            "d" => digest(token).map(hex::encode),
            _ => place(token, 8).and_then(|(place, rest)| stream(&rest).map(|_| format!("{place}:{rest}"))),
        }
    }

    /// Tokens that were spoiled are refused with their code, or stand for some page; what they are read as is a token for the same page.
    #[test]
    fn spoiled_tokens_are_of_some_page_or_refused() {
        let cases = cases(10_000);
        let mut noise = Noise(0x0074_6f6b_656e);
        let id = "0198f0a1-7c11-7000-8000-00000000002a";
        let digest = "0a".repeat(32);
        let tokens =
            ["n0", "n500", "n18446744073709551615", &format!("s{id}"), &format!("d{digest}"), "o3:", &format!("o6:{id}")]
                .map(str::to_owned);
        assert!(tokens.iter().all(|token| read(token).unwrap() == token[1..]));
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..cases {
            let good = noise.of(&tokens).unwrap();
            let spoiled = format!("{}{}", &good[..1], noise.spoiled_text(&good[1..]));
            match read(&spoiled) {
                Ok(again) => {
                    taken += 1;
                    let way = &spoiled[..1];
                    assert_eq!(read(&format!("{way}{again}")).unwrap(), again, "{spoiled}");
                }
                Err(status) => {
                    refused += 1;
                    assert_eq!(marrowline_api::Problem::from_status(&status).code, "PAGE_TOKEN_WRONG", "{spoiled}");
                }
            }
        }
        println!("{cases} spoiled page tokens: {taken} of some page, {refused} refused");
        assert!(taken > cases / 20 && refused > cases / 4, "{taken} {refused} of {cases}");
    }
}
