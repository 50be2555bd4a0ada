//! What a record's signatures are for: the role and facility of each slot, and which key fills which.

use ed25519_dalek::SigningKey;
use marrowline_client::Client;
use marrowline_record::pb::Role;
use marrowline_rules::table::SlotRule;

use crate::args::Append;
use crate::failure::Failure;
use crate::{names, words};

/// What a record's signatures are for, and which key gives which.
pub struct Signatures {
    /// Role and facility of each slot.
    pub slots: Vec<(Role, [u8; 16])>,
    /// The slot of each key.
    pub of_keys: Vec<u8>,
}

/// Roles and facilities as they were asked for. Each key takes the first free slot in a role that its holder has there, so that a second
/// signatory can act alone where one is enough; a role that nobody asked for is one that the slot's signatory holds. Whom a proposal is to
/// wait for is not guessed.
pub async fn signatures(
    client: &Client,
    append: &Append,
    row: &[SlotRule],
    signing: &[SigningKey],
) -> Result<Signatures, Failure> {
    check_proposed(append, row)?;
    let mut facilities = Vec::new();
    if append.facility.is_empty() {
        let codes = names::Facilities::of(client).await?.codes().join(", ");
        return Err(Failure::usage(format!("give --facility, for which the signatures are: one of {codes}")));
    }
    for (number, _) in row.iter().enumerate() {
        let named = append.facility.get(number).or(append.facility.last()).ok_or_else(|| Failure::usage("give --facility"))?;
        facilities.push(names::facility(client, named).await?);
    }
    let asked = roles(&append.role, row.len())?;
    let mut chosen: Vec<Option<Role>> = vec![None; row.len()];
    let mut of_keys: Vec<u8> = Vec::new();
    for key in signing {
        let held = names::roles_of(client, key.verifying_key().as_bytes()).await?;
        let may = |number: usize, role: &Role| {
            // The verifying operator's role follows from the operator's.
            let granted = if *role == Role::VerifyingOperator { Role::Operator } else { *role };
            facilities.get(number).is_some_and(|facility| held.contains(&(granted, *facility)))
        };
        let free = |number: usize| u8::try_from(number).is_ok_and(|slot| !of_keys.contains(&slot));
        let fits = |number: &usize| row.get(*number).is_some_and(|slot| slot.roles.iter().any(|role| may(*number, role)));
        let mut open = (0..row.len()).filter(|number| free(*number));
        let Some(first) = open.clone().next() else { break };
        let number = match append.propose {
            Some(slot) => usize::from(slot),
            None => open.find(fits).unwrap_or(first),
        };
        let own = row.get(number).and_then(|slot| slot.roles.iter().find(|role| may(number, role)));
        if let (Some(role), Some(own)) = (chosen.get_mut(number), own) {
            *role = Some(*own);
        }
        of_keys.push(u8::try_from(number).map_err(Failure::unexpected)?);
    }
    let mut slots = Vec::new();
    for (number, (slot, facility)) in row.iter().zip(facilities).enumerate() {
        let role = asked.get(number).copied().flatten().or(chosen.get(number).copied().flatten());
        let role = match (role, slot.roles, append.propose.is_some()) {
            (Some(role), ..) => role,
            (None, [_, _, ..], true) => return Err(undecided(number, slot.roles)),
            (None, roles, _) => roles.first().copied().unwrap_or_default(),
        };
        slots.push((role, facility));
    }
    Ok(Signatures { slots, of_keys })
}

/// Roles by slot: `PHARMACIST` in slot order, or `1=PHARMACIST` for a slot of its own.
fn roles(named: &[String], slots: usize) -> Result<Vec<Option<Role>>, Failure> {
    let mut asked = vec![None; slots];
    for (number, text) in named.iter().enumerate() {
        let (slot, name) = match text.split_once('=') {
            Some((slot, name)) => (slot.parse().ok(), name),
            None => (Some(number), text.as_str()),
        };
        let role = words::role_named(name)?;
        let wrong =
            || Failure::usage(format!("--role {text}: this record has {slots} slots; allowed 0 to {}", slots.saturating_sub(1)));
        *slot.and_then(|slot: usize| asked.get_mut(slot)).ok_or_else(wrong)? = Some(role);
    }
    Ok(asked)
}

fn undecided(slot: usize, roles: &[Role]) -> Failure {
    let names: Vec<&str> = roles.iter().map(|role| words::role_option(*role)).collect();
    Failure::usage(format!(
        "found no role for slot {slot}, which the proposal is to wait for; allowed {}; next: give --role {slot}=ROLE with the one that it waits for",
        names.join(", ")
    ))
}

fn check_proposed(append: &Append, row: &[SlotRule]) -> Result<(), Failure> {
    let count = row.len();
    match append.propose {
        Some(slot) if usize::from(slot) >= count => Err(Failure::usage(format!(
            "--propose: found slot {slot}; allowed 0 to {}, the slots of this record; next: give the slot that you sign",
            count.saturating_sub(1)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_given_in_slot_order_or_by_slot() {
        let of = |named: &[&str]| roles(&named.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(), 2);
        assert_eq!(of(&["NURSE"]).unwrap(), [Some(Role::Nurse), None]);
        assert_eq!(of(&["1=PHARMACIST"]).unwrap(), [None, Some(Role::Pharmacist)]);
        assert_eq!(of(&["NURSE", "PHARMACIST"]).unwrap(), [Some(Role::Nurse), Some(Role::Pharmacist)]);
        for wrong in ["2=NURSE", "x=NURSE", "COOK", "UNSPECIFIED"] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
        let told = undecided(1, &[Role::Pharmacist, Role::QualityAssurance]).to_string();
        assert!(told.contains("allowed PHARMACIST, QUALITY_ASSURANCE; next: ") && told.contains("give --role 1=ROLE"), "{told}");
    }
}
