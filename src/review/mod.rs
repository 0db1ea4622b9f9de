//! Looking through picks, without a window: which of them are shown, what has been said of them, in which order they are looked
//! at, which are the most doubtful, how two sets differ, how many there are, and where all of this is kept.
//!
//! What has been said of a pick is read off the labels: a label of its class, or a "not a particle", within half its radius.
//! So undo takes decisions back, a project keeps them without further ado, and picks made anew are known again
//! ([`standings`]). Who decided and when is in a log beside the labels ([`DecisionLog`]); what made a set of picks is in its
//! file ([`KeptPicks`]).

mod compare;
mod counts;
mod kept;
mod list;
mod log;
mod queue;
mod shown;
mod standing;
#[cfg(test)]
mod tests;
mod when;

pub use compare::{Finding, Spot, TomogramComparison, compare, total};
pub use counts::{TomogramCount, cubic_micrometres};
pub use kept::{
    KeptError, KeptPicks, KeptTomogram, ModelRecord, PICKS_FOLDER, PickRecord, fingerprint, list_kept, next_id, read_kept,
    remove_kept, write_kept,
};
pub use list::{Column, Order, Row, sort};
pub use log::{DECISIONS_FILE, Decided, Decision, DecisionLog};
pub use queue::{Candidate, local_spread, most_uncertain};
pub use shown::{Limits, shown};
pub use standing::{PickClass, Standing, Verdict, standings};
pub use when::{now, user};
