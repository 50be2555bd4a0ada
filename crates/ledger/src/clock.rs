//! The ledger's time.
//!
//! The wall clock is believed while it stays within five seconds of what it was plus the time that has passed since; if it jumps, the
//! ledger goes on counting by itself and says that its clock is not trusted: facts go on, authorisations wait. A TRAINING ledger has a
//! simulated clock that moves only when a key administrator moves it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// How far the wall clock may be from what is expected of it, ms.
pub const AGREEMENT_MS: i64 = 5_000;

/// Where time comes from.
pub trait TimeSource: Send + Sync {
    /// The wall clock, Unix ms.
    fn wall_ms(&self) -> i64;
    /// Time that has passed since the machine was started, ms, its sleep included. Never goes back.
    fn elapsed_ms(&self) -> i64;
}

/// Not `Instant`: that stands still while a machine sleeps, and the wall clock would seem to jump when it wakes.
#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::Boottime;
/// Counts the time of sleep on most of the others.
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemTimeSource {
    _made_by_default: (),
}

impl TimeSource for SystemTimeSource {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn elapsed_ms(&self) -> i64 {
        let since_boot = clock_gettime(SINCE_BOOT);
        since_boot.tv_sec.saturating_mul(1_000).saturating_add(since_boot.tv_nsec / 1_000_000)
    }
}

/// What the clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The ledger's time, Unix ms.
    pub now_ms: i64,
    /// Whether authorisations may rest on it.
    pub trusted: bool,
}

/// The ledger's clock: a state machine over readings of a [`TimeSource`].
#[derive(Debug)]
pub enum Clock {
    /// A real ledger.
    Wall {
        /// Wall clock when both agreed last.
        anchor_wall_ms: i64,
        /// Elapsed time when both agreed last.
        anchor_elapsed_ms: i64,
        /// Time of the last leaf when the process started; the wall clock must have reached it.
        floor_ms: i64,
    },
    /// A TRAINING ledger.
    Simulated {
        /// The simulated time.
        now_ms: i64,
    },
}

impl Clock {
    /// A real ledger's clock at start. `last_leaf_ms` is the time of its last record.
    pub fn wall(source: &dyn TimeSource, last_leaf_ms: i64) -> Clock {
        Clock::Wall { anchor_wall_ms: source.wall_ms(), anchor_elapsed_ms: source.elapsed_ms(), floor_ms: last_leaf_ms }
    }

    /// Reads the clock, and lets the anchor follow the wall clock while they agree.
    pub fn read(&mut self, source: &dyn TimeSource) -> Reading {
        match self {
            Clock::Simulated { now_ms } => Reading { now_ms: *now_ms, trusted: true },
            Clock::Wall { anchor_wall_ms, anchor_elapsed_ms, floor_ms } => {
                let (wall, elapsed) = (source.wall_ms(), source.elapsed_ms());
                let expected = anchor_wall_ms.saturating_add(elapsed.saturating_sub(*anchor_elapsed_ms));
                let agree = wall.saturating_sub(expected).saturating_abs() <= AGREEMENT_MS;
                if agree {
                    *anchor_wall_ms = wall;
                    *anchor_elapsed_ms = elapsed;
                }
                let now_ms = if agree { wall } else { expected };
                Reading { now_ms, trusted: agree && now_ms >= *floor_ms }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[derive(Default)]
    struct Fake {
        wall: AtomicI64,
        elapsed: AtomicI64,
    }

    impl Fake {
        fn pass(&self, wall: i64, elapsed: i64) {
            self.wall.fetch_add(wall, Ordering::SeqCst);
            self.elapsed.fetch_add(elapsed, Ordering::SeqCst);
        }
    }

    impl TimeSource for Fake {
        fn wall_ms(&self) -> i64 {
            self.wall.load(Ordering::SeqCst)
        }
        fn elapsed_ms(&self) -> i64 {
            self.elapsed.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn the_wall_clock_is_followed_while_it_agrees() {
        let fake = Fake::default();
        fake.pass(1_000_000, 0);
        let mut clock = Clock::wall(&fake, 0);
        fake.pass(10_000 + AGREEMENT_MS, 10_000);
        assert_eq!(clock.read(&fake), Reading { now_ms: 1_015_000, trusted: true });
        fake.pass(10_001 + AGREEMENT_MS, 10_000);
        assert_eq!(clock.read(&fake), Reading { now_ms: 1_025_000, trusted: false });
    }

    #[test]
    fn a_clock_that_comes_back_is_trusted_again() {
        let fake = Fake::default();
        fake.pass(1_000_000, 0);
        let mut clock = Clock::wall(&fake, 0);
        fake.pass(86_400_000, 1_000);
        assert_eq!(clock.read(&fake), Reading { now_ms: 1_001_000, trusted: false });
        fake.pass(-86_399_000, 0);
        assert_eq!(clock.read(&fake), Reading { now_ms: 1_001_000, trusted: true });
    }

    #[test]
    fn a_wall_clock_behind_the_last_leaf_is_not_trusted() {
        let fake = Fake::default();
        fake.pass(1_000_000, 0);
        let mut clock = Clock::wall(&fake, 1_000_500);
        assert!(!clock.read(&fake).trusted);
        fake.pass(500, 500);
        assert!(clock.read(&fake).trusted);
    }

    #[test]
    fn a_machine_that_slept_wakes_with_a_trusted_clock() {
        let fake = Fake::default();
        fake.pass(1_000_000, 0);
        let mut clock = Clock::wall(&fake, 0);
        fake.pass(28_800_000, 28_800_000);
        assert_eq!(clock.read(&fake), Reading { now_ms: 29_800_000, trusted: true });
    }

    #[test]
    fn the_machines_own_clocks_move_on_together() {
        let source = SystemTimeSource::default();
        let mut clock = Clock::wall(&source, 0);
        let before = source.elapsed_ms();
        let reading = clock.read(&source);
        assert!(reading.trusted && reading.now_ms > 1_500_000_000_000);
        assert!(before > 0 && source.elapsed_ms() >= before);
    }

    #[test]
    fn a_simulated_clock_stands_still() {
        let fake = Fake::default();
        let mut clock = Clock::Simulated { now_ms: 5 };
        fake.pass(1_000, 7);
        assert_eq!(clock.read(&fake), Reading { now_ms: 5, trusted: true });
    }
}
