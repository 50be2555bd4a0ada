//! Rules from the order of a dose to the end of its infusion.
//!
//! What must hold of units, amounts, weights and times is asked several times: when a dose is ordered, prepared and dispensed, and by
//! the dose check. Each such clause is one function (`amount`, `exposure`, `portions`, `weight`), whoever asks; an authorisation is
//! refused by what a fact is only flagged with.

pub(in crate::family) mod amount;
pub(in crate::family) mod bedside;
pub(in crate::family) mod case;
pub(in crate::family) mod claims;
pub(in crate::family) mod exposure;
pub(in crate::family) mod findings;
pub(in crate::family) mod order;
pub(in crate::family) mod portions;
pub(in crate::family) mod preparation;
pub(in crate::family) mod thaw;
pub(in crate::family) mod weight;
pub(in crate::family) mod words;

pub(super) use bedside::{bedside_checked, dispensed, infusion_ended, infusion_started, rejected};
pub use claims::doses_of;
pub(super) use order::{allocation_released, cancelled, ordered, units_allocated};
pub(super) use preparation::prepared;
pub(super) use thaw::{thaw_ordered, units_thawed};

#[cfg(test)]
mod record_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::family) mod world;
