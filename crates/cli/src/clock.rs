//! `clock`: the ledger's time, and how a TRAINING ledger's is moved.

use serde_json::json as object;

use crate::args::{ClockCommand, Output};
use crate::ask::connect;
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::{words, write};

/// Runs `clock …`.
pub async fn run(command: ClockCommand, output: Output) -> Result<Exit, Failure> {
    let client = match command {
        ClockCommand::Show { connection } => connect(&connection).await?,
        ClockCommand::Advance { to, by, connection } => {
            let client = connect(&connection).await?;
            let to_unix_ms = match (to, by) {
                (Some(text), _) => write::time(&text).map(|at| at.unix_ms).ok_or_else(|| {
                    Failure::usage(format!("--to: found `{text}`; allowed a time with its offset, 2026-11-23 09:10 +03:00"))
                })?,
                (None, by) => {
                    let text = by.unwrap_or_default();
                    let wrong = || Failure::usage(format!("--by: found `{text}`; allowed a number with s, m, h or d, e.g. 36h"));
                    client.clock().await?.now_unix_ms.checked_add(milliseconds(&text).ok_or_else(wrong)?).ok_or_else(wrong)?
                }
            };
            client.advance_clock(to_unix_ms).await?;
            client
        }
    };
    let clock = client.clock().await?;
    match output {
        Output::Json => {
            say!("{:#}", object!({"now_unix_ms": clock.now_unix_ms, "training": clock.training, "trusted": clock.trusted}))
        }
        Output::Table => {
            let training = if clock.training { "  TRAINING: simulated" } else { "" };
            let trusted = if clock.trusted { "" } else { "  NOT TRUSTED: decisions are refused" };
            say!("{}{training}{trusted}", words::moment(clock.now_unix_ms));
        }
    }
    Ok(Exit::Done)
}

/// A time as people say it: `90s`, `15m`, `36h`, `14d`.
fn milliseconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok().map(i64::from)?.checked_mul(seconds * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(milliseconds("90s"), Some(90_000));
        assert_eq!(milliseconds("36h"), Some(129_600_000));
        assert_eq!(milliseconds("14d"), Some(1_209_600_000));
        for wrong in ["", "d", "14", "-1d", "1.5h", "1w", "d1", "1\u{e9}"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
