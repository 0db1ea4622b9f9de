//! The most uncertain picks: those whose label teaches most, spread over tomograms and space (uncertainty sampling, Lewis and Gale,
//! SIGIR 1994, with the picks kept apart).

use std::collections::HashMap;

use crate::geometry::distance;

/// A pick that may be asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its index in the tomogram's set.
    pub index: u32,
    /// Voxel index `(z, y, x)`.
    pub position: [f64; 3],
    /// Radius of its class, in voxels.
    pub radius_voxels: f64,
    /// Distance of its score from the threshold over the [`local_spread`]; 0 is the most uncertain.
    pub doubt: f32,
}

/// The smallest spread, so that equal scores do not divide by zero.
const LEAST_SPREAD: f32 = 1e-3;

/// How widely scores lie round a threshold: the distance from it within which the nearest √n of n scores lie, at least five (the
/// k-nearest-neighbour estimate of density, Loftsgaarden and Quesenberry 1965, turned into a length). It makes the distance to the
/// threshold comparable between classes whose scores crowd and classes whose scores are scattered.
pub fn local_spread(scores: impl IntoIterator<Item = f32>, threshold: f32) -> f32 {
    let mut away: Vec<f32> = scores.into_iter().map(|score| (score - threshold).abs()).filter(|away| away.is_finite()).collect();
    if away.is_empty() {
        return LEAST_SPREAD;
    }
    let near = ((away.len() as f64).sqrt().round() as usize).max(5).min(away.len()) - 1;
    let (_, spread, _) = away.select_nth_unstable_by(near, f32::total_cmp);
    spread.max(LEAST_SPREAD)
}

/// At most `most` candidates, the most uncertain first, as (tomogram, place in its list). Each round takes one of each tomogram,
/// in the order of their doubt, so that no tomogram has more than one above another as long as both have any left; within a
/// tomogram no two are nearer than the larger of their radii.
pub fn most_uncertain(tomograms: &[Vec<Candidate>], most: usize) -> Vec<(usize, usize)> {
    let sorted = |candidates: &Vec<Candidate>| {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_unstable_by(|a, b| candidates[*a].doubt.total_cmp(&candidates[*b].doubt).then(a.cmp(b)));
        order.into_iter()
    };
    let mut waiting: Vec<_> = tomograms.iter().map(sorted).collect();
    let mut taken: Vec<Taken> = tomograms.iter().map(|candidates| Taken::new(candidates)).collect();
    let mut queue = Vec::new();
    loop {
        let mut round: Vec<(usize, usize)> = Vec::new();
        for (tomogram, candidates) in tomograms.iter().enumerate() {
            let next = waiting[tomogram].find(|place| taken[tomogram].add(&candidates[*place]));
            round.extend(next.map(|place| (tomogram, place)));
        }
        if round.is_empty() {
            return queue;
        }
        round.sort_by(|a, b| tomograms[a.0][a.1].doubt.total_cmp(&tomograms[b.0][b.1].doubt));
        for chosen in round {
            if queue.len() == most {
                return queue;
            }
            queue.push(chosen);
        }
    }
}

/// What has been taken of a tomogram, in cells of the largest radius.
struct Taken {
    cell: f64,
    cells: HashMap<[i64; 3], Vec<([f64; 3], f64)>>,
}

impl Taken {
    fn new(candidates: &[Candidate]) -> Self {
        let largest = candidates.iter().map(|candidate| candidate.radius_voxels).fold(0.0, f64::max);
        Self { cell: if largest.is_finite() && largest > 0.0 { largest } else { 1.0 }, cells: HashMap::new() }
    }

    fn add(&mut self, candidate: &Candidate) -> bool {
        let cell = candidate.position.map(|coordinate| (coordinate / self.cell).floor() as i64);
        let near = (0..27i64).any(|neighbour| {
            let at = [cell[0] + neighbour / 9 - 1, cell[1] + neighbour / 3 % 3 - 1, cell[2] + neighbour % 3 - 1];
            let there = self.cells.get(&at).into_iter().flatten();
            there.into_iter().any(|(other, radius)| distance(*other, candidate.position) < radius.max(candidate.radius_voxels))
        });
        if !near {
            self.cells.entry(cell).or_default().push((candidate.position, candidate.radius_voxels));
        }
        !near
    }
}
