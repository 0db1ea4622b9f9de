//! The labels and picks of the tomogram on the screen, laid out for drawing once after each change instead of in each frame.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use egui::Color32;

use super::options::ScoreCue;
use super::picks::project_class;
use super::state::UiState;
use super::theme;
use crate::labels::{ItemId, PointKind, TomogramId, cue};
use crate::render::overview::gpu::OverviewPoints;
use crate::render::overview::{OverviewPoint, OverviewShape};
use crate::render::{DepthBuckets, MarkerStyle, Plane};
use crate::train::PickSet;

/// What a spot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpotOf {
    /// A label.
    Label(ItemId),
    /// A pick, an index into its set.
    Pick(usize),
}

/// A label or a pick as it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Spot {
    /// What it stands for.
    pub of: SpotOf,
    /// Continuous voxel index `(z, y, x)`.
    pub position: [f64; 3],
    /// Radius in voxels.
    pub radius: f64,
    /// Its class's colour.
    pub colour: Color32,
    /// Its class's letter, the second cue.
    pub letter: Option<char>,
    /// How its outline is drawn.
    pub style: MarkerStyle,
    /// Width of the line in points.
    pub width: f32,
    /// Opacity, 0 to 1.
    pub opacity: f32,
    /// Shape in the overview.
    pub shape: OverviewShape,
}

/// What the layout depends on.
#[derive(Clone)]
struct Basis {
    tomogram: TomogramId,
    labels_revision: u64,
    labels: bool,
    picks: Option<Arc<PickSet>>,
    /// Which of them are shown, and what has been said of them.
    picks_revision: u64,
    thresholds: Vec<f32>,
    score_cue: ScoreCue,
}

impl Basis {
    fn of(state: &UiState, tomogram: TomogramId) -> Self {
        // A comparison shows its own findings in place of picks and labels.
        let comparing = state.review.compare.in_views;
        let picks = (state.display.picks && !comparing).then(|| state.picks.set(tomogram).cloned()).flatten();
        let threshold = |set: &Arc<PickSet>| (0..set.classes.len()).map(|index| state.picks.threshold(set, index)).collect();
        let thresholds = picks.as_ref().map(threshold).unwrap_or_default();
        let (labels_revision, labels) = (state.labels_revision, state.display.labels && !comparing);
        let picks_revision = state.picks.revision();
        Self { tomogram, labels_revision, labels, picks, picks_revision, thresholds, score_cue: state.display.score_cue }
    }

    fn is_same(&self, other: &Self) -> bool {
        let same_picks = match (&self.picks, &other.picks) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_picks
            && (self.tomogram, self.labels_revision, self.labels, self.picks_revision, self.score_cue)
                == (other.tomogram, other.labels_revision, other.labels, other.picks_revision, other.score_cue)
            && self.thresholds == other.thresholds
    }
}

/// All of them, and where to find those near a slice.
pub struct Spots {
    /// Picks, then labels.
    pub spots: Vec<Spot>,
    buckets: [DepthBuckets; 3],
    /// The largest radius in voxels.
    pub largest_radius: f64,
    /// The same for the overview, with the place in `spots` of each of its points; laid out when it is first shown.
    overview: OnceLock<(Arc<OverviewPoints>, Vec<u32>)>,
    basis: Basis,
}

impl Spots {
    /// The spots whose depth in a plane lies between these voxel indices, or a little beyond, picks before labels.
    pub fn within(&self, plane: Plane, low: f64, high: f64) -> impl Iterator<Item = &Spot> {
        self.buckets[plane.depth()].within(low, high).iter().filter_map(|index| self.spots.get(*index as usize))
    }

    /// The points of the overview.
    pub fn overview(&self) -> &Arc<OverviewPoints> {
        &self.overview.get_or_init(|| overview(&self.spots)).0
    }

    /// The spot of a point of the overview.
    pub fn of_overview(&self, point: usize) -> Option<&Spot> {
        let index = self.overview.get_or_init(|| overview(&self.spots)).1.get(point)?;
        self.spots.get(*index as usize)
    }

    /// How many [`Spots::within`] would give.
    pub fn count_within(&self, plane: Plane, low: f64, high: f64) -> usize {
        self.buckets[plane.depth()].within(low, high).len()
    }
}

/// How a score shows: width in points and opacity. `share` is 0 at the threshold and 1 at a score of 1.
fn score_look(cue: ScoreCue, share: f32) -> (f32, f32) {
    let share = share.clamp(0.0, 1.0);
    match cue {
        ScoreCue::Nothing => (1.4, 1.0),
        ScoreCue::Thickness => (0.8 + 2.2 * share, 1.0),
        ScoreCue::Opacity => (1.6, 0.3 + 0.7 * share),
    }
}

impl UiState {
    /// The spots of a tomogram that is open, laid out anew if anything about them has changed.
    pub fn spots(&mut self, tomogram: TomogramId, shape: [usize; 3]) -> Arc<Spots> {
        let basis = Basis::of(self, tomogram);
        if let Some(spots) = &self.spots_at_hand
            && spots.basis.is_same(&basis)
        {
            return spots.clone();
        }
        let spots = Arc::new(self.lay_out(basis, shape));
        self.spots_at_hand = Some(spots.clone());
        spots
    }

    fn lay_out(&self, basis: Basis, shape: [usize; 3]) -> Spots {
        let mut spots = Vec::new();
        if let Some(set) = &basis.picks {
            self.lay_out_picks(&basis, set, &mut spots);
        }
        if basis.labels {
            self.lay_out_labels(basis.tomogram, &mut spots);
        }
        let bucket = |axis: usize| DepthBuckets::new(spots.iter().map(move |spot| spot.position[axis]), shape[axis]);
        let buckets = [bucket(0), bucket(1), bucket(2)];
        let largest_radius = spots.iter().map(|spot| spot.radius).fold(0.0, f64::max);
        Spots { buckets, largest_radius, overview: OnceLock::new(), basis, spots }
    }

    fn lay_out_picks(&self, basis: &Basis, set: &PickSet, spots: &mut Vec<Spot>) {
        let annotations = self.document.annotations();
        let looks: Vec<_> = set
            .classes
            .iter()
            .enumerate()
            .map(|(index, class)| {
                let own = project_class(annotations, class).unwrap_or(class);
                let place = annotations.class_index(own.id).unwrap_or(index);
                (self.radius_voxels(basis.tomogram, own.radius_angstrom), theme::class_colour(own.colour), place)
            })
            .collect();
        for (index, pick) in set.picks.iter().enumerate() {
            let (Some(&(radius, colour, place)), Some(&threshold)) = (looks.get(pick.class), basis.thresholds.get(pick.class))
            else {
                continue;
            };
            if !self.picks.is_wanted(set, index) {
                continue;
            }
            let share = (pick.score - threshold) / (1.0 - threshold).max(1e-3);
            let (width, opacity) = score_look(basis.score_cue, share);
            spots.push(Spot {
                of: SpotOf::Pick(index),
                position: pick.position,
                radius,
                colour,
                letter: Some(cue(place)),
                style: MarkerStyle::Dashed,
                width,
                opacity,
                shape: OverviewShape::of_class(place),
            });
        }
    }

    fn lay_out_labels(&self, tomogram: TomogramId, spots: &mut Vec<Spot>) {
        let annotations = self.document.annotations();
        let Some(labels) = annotations.labels(tomogram) else {
            return;
        };
        let classes: Vec<_> = annotations
            .classes
            .iter()
            .enumerate()
            .map(|(index, class)| {
                let radius = self.radius_voxels(tomogram, class.radius_angstrom);
                (class.id, radius, theme::class_colour(class.colour), index)
            })
            .collect();
        let negative = self.negative_radius(tomogram);
        spots.reserve(labels.points.len());
        for point in labels.points.values() {
            let look = match point.kind {
                PointKind::Negative => None,
                PointKind::Particle(id) => classes.iter().find(|class| class.0 == id),
            };
            let (radius, colour, index) = look.map_or((negative, theme::NEGATIVE, None), |look| (look.1, look.2, Some(look.3)));
            spots.push(Spot {
                of: SpotOf::Label(point.id),
                position: point.position,
                radius,
                colour,
                letter: index.map(cue),
                style: if index.is_some() { MarkerStyle::Ring } else { MarkerStyle::Crossed },
                width: 1.9,
                opacity: 1.0,
                shape: index.map_or(OverviewShape::Cross, OverviewShape::of_class),
            });
        }
    }

    /// The radius at which "not a particle" is drawn, in voxels: that of the smallest class.
    pub fn negative_radius(&self, tomogram: TomogramId) -> f64 {
        let classes = self.document.annotations().classes.iter();
        let smallest = classes.map(|class| class.radius_angstrom).fold(f64::INFINITY, f64::min);
        if smallest.is_finite() { self.radius_voxels(tomogram, smallest) } else { 5.0 }
    }
}

/// The points of the overview in an order that spreads any first part of them evenly, and the spot of each.
fn overview(spots: &[Spot]) -> (Arc<OverviewPoints>, Vec<u32>) {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let order = spread_order(spots.len());
    let point = |spot: &Spot| {
        let [z, y, x] = spot.position.map(|coordinate| coordinate as f32);
        let [r, g, b, _] = spot.colour.to_array();
        let hollow = if matches!(spot.of, SpotOf::Pick(_)) { OverviewPoint::HOLLOW } else { 0 };
        OverviewPoint {
            place: [x, y, z, spot.radius as f32],
            // A point that can hardly be seen would be left out by the shader.
            colour: [r, g, b, (spot.opacity.max(0.45) * 255.0) as u8],
            shape: spot.shape as u32 + hollow,
        }
    };
    let points = order.iter().map(|index| point(&spots[*index as usize])).collect();
    (Arc::new(OverviewPoints { points, serial: SERIAL.fetch_add(1, Ordering::Relaxed) }), order)
}

/// The numbers below `count` in the order of steps by the golden ratio's share of it, made coprime: every number comes once, and any
/// first part of them is spread evenly.
fn spread_order(count: usize) -> Vec<u32> {
    fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    if count == 0 {
        return Vec::new();
    }
    let mut step = ((count as f64 * 0.618_033_988_749_895) as usize).max(1);
    while gcd(step, count) != 1 {
        step += 1;
    }
    (0..count).map(|index| (index * step % count) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_order_has_every_number_once_and_its_parts_are_even() {
        for count in [0, 1, 2, 7, 100, 1000, 4096] {
            let mut order = spread_order(count);
            if count >= 1000 {
                let early = order[..count / 10].iter().filter(|index| (**index as usize) < count / 2).count();
                assert!(early.abs_diff(count / 20) <= 2, "{early} of {}", count / 10);
            }
            order.sort_unstable();
            assert!(order.iter().enumerate().all(|(index, number)| index == *number as usize), "{count}");
            assert_eq!(order.len(), count);
        }
    }

    #[test]
    fn a_higher_score_is_thicker_or_denser() {
        let looks = |cue| [0.0, 0.5, 1.0, 2.0].map(|share| score_look(cue, share));
        let thick = looks(ScoreCue::Thickness);
        assert!(thick[0].0 < thick[1].0 && thick[1].0 < thick[2].0 && thick[2] == thick[3]);
        assert!(thick.iter().all(|look| look.1 == 1.0));
        let dense = looks(ScoreCue::Opacity);
        assert!(dense[0].1 < dense[1].1 && dense[2].1 == 1.0 && dense[0].0 == dense[2].0);
        let plain = looks(ScoreCue::Nothing);
        assert!(plain.iter().all(|look| *look == plain[0]));
    }
}
