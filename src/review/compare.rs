//! Two sets of positions of one tomogram side by side.

use rstar::RTree;
use rstar::primitives::GeomWithData;

use crate::geometry::distance;
use crate::score::{Counts, match_points};

/// What comparing has found out about a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// In both sets; the position is the candidate's.
    Matched,
    /// In the reference alone.
    Missed,
    /// Among the candidates alone.
    Extra,
}

impl Finding {
    /// All findings.
    pub const ALL: [Self; 3] = [Self::Matched, Self::Missed, Self::Extra];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Missed => "missed",
            Self::Extra => "extra",
        }
    }
}

/// A position with what was found out about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Voxel index `(z, y, x)`.
    pub position: [f64; 3],
    /// Place of its class.
    pub class: usize,
    /// The finding.
    pub finding: Finding,
}

/// How two sets of one tomogram differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TomogramComparison {
    /// Every position of either set, matched ones once; by class, then in the order of the sets.
    pub spots: Vec<Spot>,
    /// Counts of each class, by the rules of [`match_points`].
    pub counts: Vec<Counts>,
}

/// Compares candidates with a reference. Positions are voxel indices `(z, y, x)` and `tolerances_voxels` distances in voxels, one
/// entry a class. The counts are those of [`match_points`]: references within the tolerance of a candidate are found. For the
/// spots, each reference that was found takes its nearest candidate that no other has taken; all other candidates are extra.
pub fn compare(reference: &[Vec<[f64; 3]>], candidates: &[Vec<[f64; 3]>], tolerances_voxels: &[f64]) -> TomogramComparison {
    let mut comparison = TomogramComparison::default();
    for (class, tolerance) in tolerances_voxels.iter().copied().enumerate() {
        let of = |side: &[Vec<[f64; 3]>]| side.get(class).cloned().unwrap_or_default();
        let (truth, found) = (of(reference), of(candidates));
        comparison.counts.push(match_points(&found, &truth, tolerance));
        let finite = |position: &[f64; 3]| position.iter().all(|coordinate| coordinate.is_finite());
        let places = found.iter().enumerate().filter(|(_, position)| finite(position));
        let tree = RTree::bulk_load(places.map(|(place, position)| GeomWithData::new(*position, place)).collect::<Vec<_>>());
        // The nearest pairs first, so that two references near one candidate do not push each other to farther ones.
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        for (index, position) in truth.iter().enumerate().filter(|(_, position)| finite(position)) {
            let near = tree.locate_within_distance(*position, tolerance * tolerance);
            pairs.extend(near.map(|candidate| (distance(*candidate.geom(), *position), index, candidate.data)));
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let near_any: Vec<bool> = pairs.iter().fold(vec![false; truth.len()], |mut near, pair| {
            near[pair.1] = true;
            near
        });
        let (mut served, mut used) = (vec![false; truth.len()], vec![false; found.len()]);
        for (_, index, candidate) in pairs {
            if !served[index] && !used[candidate] {
                served[index] = true;
                used[candidate] = true;
            }
        }
        for (position, used) in found.iter().zip(used) {
            let finding = if used { Finding::Matched } else { Finding::Extra };
            comparison.spots.push(Spot { position: *position, class, finding });
        }
        let missed = truth.iter().zip(near_any).filter(|(_, near)| !near);
        comparison.spots.extend(missed.map(|(position, _)| Spot { position: *position, class, finding: Finding::Missed }));
    }
    comparison
}

/// The counts of each class over all tomograms.
pub fn total<'a>(comparisons: impl IntoIterator<Item = &'a TomogramComparison>, classes: usize) -> Vec<Counts> {
    let mut totals = vec![Counts::default(); classes];
    for comparison in comparisons {
        for (total, counts) in totals.iter_mut().zip(&comparison.counts) {
            *total += *counts;
        }
    }
    totals
}
