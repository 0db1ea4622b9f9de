//! Segments of a mask: picks by connected components.
//!
//! A cell belongs to the class of the largest probability, the background's included. Cells of one class that share a face are one
//! component; with edges and corners as well, the masks of particles that touch, half a radius apart and only a cell or two in
//! coarse maps, would join more often, and balls do not need them to hold together. Work and memory grow with the volume and not
//! faster: rows of cells are cut into runs, and a union-find joins the runs.

use rayon::prelude::*;

use super::peaks::{Peak, without_neighbours};
use crate::geometry::distance;
use crate::model::mask_radius_cells;

/// Components of less than this share of the expected volume are noise.
const SMALLEST_SHARE: f64 = 0.2;
/// Components of more than this share of the expected volume may be several particles.
const LARGE_SHARE: f64 = 1.5;
/// Components of more than this share are no group of particles that could be told apart, and are not cut.
const LARGEST_SHARE: f64 = 16.0;
/// Most particles that a component is cut into.
const MOST_PARTS: usize = 8;
/// Radii that the centroids of the parts of a component lie apart at least; particles that touch lie one and a half apart.
const CLOSEST_RADII: f64 = 1.25;
/// Rounds in which the parts of a component are fitted.
const ROUNDS: usize = 8;
/// How fast a score grows with a component's size.
const SATURATION: f64 = 2.0;

/// Cells of one class side by side in a row along x.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// `z * height + y`.
    row: usize,
    start: usize,
    end: usize,
    class: usize,
}

/// A connected component, or a part of one.
#[derive(Clone, Copy, Debug, Default)]
struct Component {
    class: usize,
    size: usize,
    probability: f64,
    /// Sum of the cells' positions, each times its probability.
    moment: [f64; 3],
}

impl Component {
    fn add(&mut self, position: [f64; 3], probability: f64) {
        self.size += 1;
        self.probability += probability;
        self.moment.iter_mut().zip(position).for_each(|(sum, p)| *sum += p * probability);
    }

    fn centroid(&self) -> [f64; 3] {
        self.moment.map(|sum| sum / self.probability)
    }

    /// Its centroid and score; `None` for what is too small for a particle of `expected` cells.
    fn peak(&self, expected: f64) -> Option<Peak> {
        let size = self.size as f64;
        let score = self.probability / size * (1.0 - (-SATURATION * size / expected).exp());
        (size >= SMALLEST_SHARE * expected).then(|| Peak { position: self.centroid(), score: score as f32 })
    }
}

/// Finds the segments of each class in the probabilities `maps` of all classes over `cells` `(z, y, x)`, by descending score;
/// `radii_cells` are the particles' radii. What the probabilities leave of 1 is the background's.
///
/// A pick lies at the centroid of a component, whose cells weigh as their probability. Its score is their mean probability times
/// `1 - exp(-2 n / n_expected)`, for `n` cells where the particle's ball in the mask ([`mask_radius_cells`]) has `n_expected`.
/// Components of less than a fifth of that are dropped, as is what does not exceed `floor`. A component of 1.5 to 16 times the
/// expected size is cut by k-means into as many parts, up to eight, as have their centroids at least 1.25 radii apart, which
/// those of a single large ball have not; larger ones, such as a membrane or the output of a network that has learnt nothing yet, stay one.
/// Of segments closer than half a radius the highest stays.
pub fn find_segments(maps: &[Vec<f32>], cells: [usize; 3], radii_cells: &[f64], floor: f32) -> Vec<Vec<Peak>> {
    let runs = runs(maps, cells);
    let component_of = label(&runs, cells);
    let count = component_of.iter().max().map_or(0, |last| last + 1);
    let mut components = vec![Component::default(); count];
    for (run, component) in runs.iter().zip(&component_of) {
        let component = &mut components[*component];
        component.class = run.class;
        for_each_cell(run, maps, cells, |position, probability| component.add(position, probability));
    }
    let expected: Vec<f64> =
        radii_cells.iter().map(|radius| 4.0 / 3.0 * std::f64::consts::PI * mask_radius_cells(*radius).powi(3)).collect();
    let is_large = |component: &Component| {
        let share = component.size as f64 / expected[component.class];
        share > LARGE_SHARE && share <= LARGEST_SHARE
    };
    // The runs of the components that may be several particles.
    let mut large: Vec<Option<Vec<Run>>> = components.iter().map(|component| is_large(component).then(Vec::new)).collect();
    for (run, component) in runs.iter().zip(&component_of) {
        if let Some(members) = &mut large[*component] {
            members.push(*run);
        }
    }
    let parts: Vec<Vec<Component>> = components
        .into_par_iter()
        .zip(large)
        .map(|(component, members)| match members {
            Some(members) => cut(component, &members, maps, cells, radii_cells[component.class], expected[component.class]),
            None => vec![component],
        })
        .collect();
    let mut peaks = vec![Vec::new(); maps.len()];
    for component in parts.into_iter().flatten() {
        let class = component.class;
        peaks[class].extend(component.peak(expected[class]).filter(|peak| peak.score > floor));
    }
    peaks
        .into_iter()
        .zip(radii_cells)
        .map(|(mut peaks, radius)| {
            // Equal scores keep their order in space.
            peaks.sort_by(|a, b| b.score.total_cmp(&a.score));
            without_neighbours(peaks, 0.5 * radius)
        })
        .collect()
}

/// The class of a cell; `None` for the background, which also has what is not a number.
fn winner(maps: &[Vec<f32>], cell: usize) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    let mut sum = 0.0;
    for (class, map) in maps.iter().enumerate() {
        let probability = map[cell];
        sum += probability;
        if best.is_none_or(|(_, most)| probability > most) {
            best = Some((class, probability));
        }
    }
    best.filter(|(_, most)| *most > 1.0 - sum).map(|(class, _)| class)
}

/// The runs of all classes, row after row.
fn runs(maps: &[Vec<f32>], [depth, height, width]: [usize; 3]) -> Vec<Run> {
    (0..depth * height)
        .into_par_iter()
        .flat_map_iter(|row| {
            let mut runs: Vec<Run> = Vec::new();
            for x in 0..width {
                let Some(class) = winner(maps, row * width + x) else { continue };
                match runs.last_mut().filter(|run| run.end == x && run.class == class) {
                    Some(run) => run.end += 1,
                    None => runs.push(Run { row, start: x, end: x + 1, class }),
                }
            }
            runs
        })
        .collect()
}

/// The number of each run's component, counted from 0 in the order of their first runs.
fn label(runs: &[Run], [depth, height, _]: [usize; 3]) -> Vec<usize> {
    let mut first = vec![0; depth * height + 1];
    runs.iter().for_each(|run| first[run.row + 1] += 1);
    (1..first.len()).for_each(|row| first[row] += first[row - 1]);
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    for row in 0..depth * height {
        let before = (row % height > 0).then(|| row - 1);
        for neighbour in before.into_iter().chain(row.checked_sub(height)) {
            let (mut a, mut b) = (first[row], first[neighbour]);
            while a < first[row + 1] && b < first[neighbour + 1] {
                let (here, there) = (&runs[a], &runs[b]);
                if here.class == there.class && here.start < there.end && there.start < here.end {
                    join(&mut parents, a, b);
                }
                match here.end <= there.end {
                    true => a += 1,
                    false => b += 1,
                }
            }
        }
    }
    // A root is the first run of its component, so it has its number before the others ask for it.
    let mut count = 0;
    let mut numbers = vec![0; runs.len()];
    for run in 0..runs.len() {
        let root = root(&mut parents, run);
        if root == run {
            numbers[run] = count;
            count += 1;
        } else {
            numbers[run] = numbers[root];
        }
    }
    numbers
}

/// The first run of the component, with the way to it halved for the next time.
fn root(parents: &mut [usize], mut run: usize) -> usize {
    while parents[run] != run {
        parents[run] = parents[parents[run]];
        run = parents[run];
    }
    run
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

/// Visits a run's cells with their position and the probability of its class.
fn for_each_cell(run: &Run, maps: &[Vec<f32>], [_, height, width]: [usize; 3], mut visit: impl FnMut([f64; 3], f64)) {
    let (z, y) = ((run.row / height) as f64, (run.row % height) as f64);
    let values = &maps[run.class][run.row * width..];
    (run.start..run.end).for_each(|x| visit([z, y, x as f64], f64::from(values[x])));
}

/// Cuts a component into as many particles of `radius` and `expected` cells as can be told apart.
fn cut(whole: Component, members: &[Run], maps: &[Vec<f32>], cells: [usize; 3], radius: f64, expected: f64) -> Vec<Component> {
    let mut points = Vec::with_capacity(whole.size);
    members.iter().for_each(|run| for_each_cell(run, maps, cells, |position, p| points.push((position, p))));
    let most = ((whole.size as f64 / expected).round() as usize).clamp(1, MOST_PARTS);
    for count in (2..=most).rev() {
        let parts = k_means(&points, &whole, count);
        let apart = |(i, part): (usize, &Component)| {
            parts[..i].iter().all(|other| distance(part.centroid(), other.centroid()) >= CLOSEST_RADII * radius)
        };
        let is_whole = |part: &Component| part.size as f64 >= SMALLEST_SHARE * expected;
        if parts.iter().all(is_whole) && parts.iter().enumerate().all(apart) {
            return parts;
        }
    }
    vec![whole]
}

/// `count` parts of the cells of a component, each cell with the nearest centroid.
///
/// The first cell to start from is the farthest from the whole's centroid, each further one the farthest from those before.
fn k_means(points: &[([f64; 3], f64)], whole: &Component, count: usize) -> Vec<Component> {
    let mut centres: Vec<[f64; 3]> = Vec::with_capacity(count);
    let mut nearest: Vec<f64> = points.iter().map(|(position, _)| distance(*position, whole.centroid())).collect();
    for _ in 0..count {
        let farthest = (0..points.len()).max_by(|a, b| nearest[*a].total_cmp(&nearest[*b])).map_or([0.0; 3], |i| points[i].0);
        let is_first = centres.is_empty();
        for (least, (position, _)) in nearest.iter_mut().zip(points) {
            let own = distance(*position, farthest);
            *least = if is_first { own } else { least.min(own) };
        }
        centres.push(farthest);
    }
    let mut parts = Vec::new();
    for _ in 0..ROUNDS {
        parts = vec![Component { class: whole.class, ..Component::default() }; count];
        for (position, probability) in points {
            let to = |centre: &[f64; 3]| distance(*centre, *position);
            let own = (0..count).min_by(|a, b| to(&centres[*a]).total_cmp(&to(&centres[*b]))).unwrap_or(0);
            parts[own].add(*position, *probability);
        }
        // A part without cells stays where it was, and is too small in the end.
        for (centre, part) in centres.iter_mut().zip(&parts).filter(|(_, part)| part.size > 0) {
            *centre = part.centroid();
        }
    }
    parts
}

#[cfg(test)]
mod tests;
