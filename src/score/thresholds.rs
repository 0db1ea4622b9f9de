//! The score from which on a pick is worth keeping.

use rstar::RTree;
use rstar::primitives::GeomWithData;

use super::Counts;

/// The threshold when nothing can be learned from the data.
pub const FALLBACK_THRESHOLD: f32 = 0.5;

/// One tomogram and one class: candidates with their scores, and references; positions in one unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoredRun {
    /// Candidates `(z, y, x)` and their scores; a pick is kept when its score is at least the threshold.
    pub picks: Vec<([f64; 3], f32)>,
    /// References `(z, y, x)`.
    pub truth: Vec<[f64; 3]>,
}

/// What happens when the threshold sinks to a score.
enum Event {
    Candidate,
    Reference,
}

/// The threshold with the best F-beta over all runs, and that F-beta; `radius` in the unit of the positions, the tolerance
/// being `fraction * radius`. Every threshold that makes a difference is tried, in one pass.
///
/// The best thresholds are an interval between two neighbouring scores, or several such intervals in a row when more picks
/// change nothing: the middle of the widest stretch is returned, so that a small change of the scores does not matter. Nothing
/// below the lowest score seen is returned. Without a reference or a hit it is [`FALLBACK_THRESHOLD`], with an F-beta of 0.
pub fn best_threshold(runs: &[ScoredRun], radius: f64, fraction: f64, beta: f64) -> (f32, f64) {
    let mut events: Vec<(f32, usize, Event)> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let finite = |(position, score): &&([f64; 3], f32)| score.is_finite() && position.iter().all(|x| x.is_finite());
        events.extend(run.picks.iter().filter(finite).map(|(_, score)| (*score, index, Event::Candidate)));
        events.extend(found_from(run, radius * fraction).into_iter().map(|score| (score, index, Event::Reference)));
    }
    events.sort_by(|a, b| b.0.total_cmp(&a.0));

    // Counts of each run at the present threshold; FP is clamped run by run, so their sum follows each change.
    let mut candidates = vec![0usize; runs.len()];
    let mut hits = vec![0usize; runs.len()];
    let mut counts = Counts { false_negative: runs.iter().map(|run| run.truth.len()).sum(), ..Counts::default() };
    let mut levels: Vec<(f32, f64)> = Vec::new();
    for (place, (score, run, event)) in events.iter().enumerate() {
        counts.false_positive -= candidates[*run].saturating_sub(hits[*run]);
        match event {
            Event::Candidate => candidates[*run] += 1,
            Event::Reference => {
                hits[*run] += 1;
                counts.true_positive += 1;
                counts.false_negative -= 1;
            }
        }
        counts.false_positive += candidates[*run].saturating_sub(hits[*run]);
        if events.get(place + 1).is_none_or(|next| next.0 != *score) {
            levels.push((*score, counts.f_beta(beta)));
        }
    }

    let best = levels.iter().map(|level| level.1).fold(0.0, f64::max);
    if best <= 0.0 {
        return (FALLBACK_THRESHOLD, 0.0);
    }
    let mut widest: Option<(f32, f32)> = None;
    let mut place = 0;
    while place < levels.len() {
        if levels[place].1 < best {
            place += 1;
            continue;
        }
        let top = levels[place].0;
        while levels.get(place).is_some_and(|level| level.1 >= best) {
            place += 1;
        }
        // The next lower score belongs to a worse threshold and stays out; below the last one nothing is known.
        let bottom = levels.get(place).or(levels.last()).map_or(top, |level| level.0);
        if widest.is_none_or(|(high, low)| top - bottom > high - low) {
            widest = Some((top, bottom));
        }
    }
    let (top, bottom) = widest.unwrap_or((FALLBACK_THRESHOLD, FALLBACK_THRESHOLD));
    let middle = bottom + (top - bottom) / 2.0;
    // Of two neighbouring numbers the middle is one: the upper keeps the worse pick out.
    (if middle > bottom { middle.min(top) } else { top }, best)
}

/// Median over the references of all runs of the highest score that finds each within `fraction * radius`, 0 for those that nothing
/// finds; `None` without references.
pub fn median_found_score(runs: &[ScoredRun], radius: f64, fraction: f64) -> Option<f32> {
    let mut scores: Vec<f32> = runs.iter().flat_map(|run| found_from(run, radius * fraction)).collect();
    scores.resize(runs.iter().map(|run| run.truth.len()).sum(), 0.0);
    scores.sort_by(f32::total_cmp);
    let upper = *scores.get(scores.len() / 2)?;
    let lower = scores[(scores.len() - 1) / 2];
    Some(lower + (upper - lower) / 2.0)
}

/// For each reference that is found at some threshold, the highest score that finds it.
fn found_from(run: &ScoredRun, tolerance: f64) -> Vec<f32> {
    let mut best: Vec<Option<f32>> = vec![None; run.truth.len()];
    let places = run.truth.iter().enumerate().filter(|(_, reference)| reference.iter().all(|x| x.is_finite()));
    let tree = RTree::bulk_load(places.map(|(index, reference)| GeomWithData::new(*reference, index)).collect());
    let tolerance2 = tolerance * tolerance;
    for (position, score) in &run.picks {
        if !(score.is_finite() && position.iter().all(|x| x.is_finite()) && tolerance >= 0.0) {
            continue;
        }
        for near in tree.locate_within_distance(*position, tolerance2) {
            let best = &mut best[near.data];
            *best = Some(best.map_or(*score, |known| known.max(*score)));
        }
    }
    best.into_iter().flatten().collect()
}
