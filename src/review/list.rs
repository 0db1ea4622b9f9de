//! The picks of one or all tomograms as rows, and their order.

use std::cmp::Ordering;

use super::Verdict;
use crate::labels::TomogramId;

/// A pick in a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Its tomogram.
    pub tomogram: TomogramId,
    /// The tomogram's place in the project's list.
    pub place: u32,
    /// Its index in the tomogram's set.
    pub index: u32,
    /// The place of its class among those shown.
    pub class: u16,
    /// Its score.
    pub score: f32,
    /// What has been said of it.
    pub verdict: Verdict,
}

/// What a list can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// The class, in the order in which classes are shown.
    Class,
    /// The score.
    #[default]
    Score,
    /// The tomogram, in the order of the list.
    Tomogram,
    /// Open, accepted, rejected.
    State,
}

impl Column {
    /// All columns, from left to right.
    pub const ALL: [Self; 4] = [Self::Class, Self::Score, Self::Tomogram, Self::State];

    /// The heading.
    pub fn name(self) -> &'static str {
        match self {
            Self::Class => "Class",
            Self::Score => "Score",
            Self::Tomogram => "Tomogram",
            Self::State => "State",
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Order {
    /// What is compared.
    pub by: Column,
    /// The largest first.
    pub descending: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { by: Column::Score, descending: true }
    }
}

/// Sorts rows. Those that are equal in what is compared come by descending score, then by tomogram and index, so that the order is
/// the same every time.
pub fn sort(rows: &mut [Row], order: Order) {
    rows.sort_unstable_by(|a, b| {
        let compared = match order.by {
            Column::Class => a.class.cmp(&b.class),
            Column::Score => a.score.total_cmp(&b.score),
            Column::Tomogram => a.place.cmp(&b.place),
            Column::State => a.verdict.cmp(&b.verdict),
        };
        let compared = if order.descending { compared.reverse() } else { compared };
        compared.then_with(|| tie(a, b))
    });
}

fn tie(a: &Row, b: &Row) -> Ordering {
    b.score.total_cmp(&a.score).then(a.place.cmp(&b.place)).then(a.index.cmp(&b.index))
}
