//! Components against a flood fill, and what becomes of balls.

use proptest::prelude::*;

use super::*;
use crate::pick::FLOOR;

/// The components by a flood fill: a number for each cell that is not background.
fn flood(maps: &[Vec<f32>], [depth, height, width]: [usize; 3]) -> Vec<Option<usize>> {
    let class_of = |cell: usize| {
        let background = 1.0 - maps.iter().map(|map| map[cell]).sum::<f32>();
        let most = maps.iter().map(|map| map[cell]).fold(f32::MIN, f32::max);
        (most > background).then(|| maps.iter().position(|map| map[cell] == most).unwrap())
    };
    let mut numbers = vec![None; depth * height * width];
    let mut count = 0;
    for seed in 0..numbers.len() {
        let Some(class) = class_of(seed).filter(|_| numbers[seed].is_none()) else { continue };
        let mut waiting = vec![seed];
        numbers[seed] = Some(count);
        while let Some(cell) = waiting.pop() {
            let (z, y, x) = (cell / (height * width), cell / width % height, cell % width);
            let neighbours = [
                (z > 0).then(|| cell - height * width),
                (z + 1 < depth).then(|| cell + height * width),
                (y > 0).then(|| cell - width),
                (y + 1 < height).then(|| cell + width),
                (x > 0).then(|| cell - 1),
                (x + 1 < width).then(|| cell + 1),
            ];
            for next in neighbours.into_iter().flatten() {
                if numbers[next].is_none() && class_of(next) == Some(class) {
                    numbers[next] = Some(count);
                    waiting.push(next);
                }
            }
        }
        count += 1;
    }
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn components_are_those_of_a_flood_fill(
        cells in (1usize..7, 1usize..8, 1usize..9),
        classes in 1usize..4,
        share in 0.2f64..0.9,
        seed in any::<u64>(),
    ) {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let cells = [cells.0, cells.1, cells.2];
        let count: usize = cells.iter().product();
        let mut maps = vec![vec![0.05f32; count]; classes];
        (0..count).filter(|_| random.random_bool(share)).collect::<Vec<_>>().into_iter().for_each(|cell| {
            maps[random.random_range(0..classes)][cell] = 0.8;
        });
        let runs = runs(&maps, cells);
        let labels = label(&runs, cells);
        let mut ours = vec![None; count];
        for (run, number) in runs.iter().zip(labels) {
            (run.start..run.end).for_each(|x| ours[run.row * cells[2] + x] = Some(number));
        }
        // Both count in the order of the first cells.
        prop_assert_eq!(ours, flood(&maps, cells));
    }
}

/// Probabilities as a good network has them: near 1 in balls of half the radius, with a border as wide as a cell.
fn soft_balls(cells: [usize; 3], centres: &[[f64; 3]], radius: f64) -> Vec<f32> {
    let mut map = Vec::new();
    for z in 0..cells[0] {
        for y in 0..cells[1] {
            for x in 0..cells[2] {
                let nearest = centres.iter().map(|c| distance(*c, [z as f64, y as f64, x as f64])).fold(f64::MAX, f64::min);
                map.push((0.98 / (1.0 + ((nearest - mask_radius_cells(radius)) / 0.25).exp())) as f32);
            }
        }
    }
    map
}

#[test]
fn centroids_are_unbiased_for_even_and_odd_sizes() {
    for (cells, radius) in [([20, 20, 20], 3.0), ([21, 19, 23], 3.0), ([21, 19, 23], 6.5), ([24, 24, 24], 2.0)] {
        let mut bias = [0.0; 3];
        let mut worst: f64 = 0.0;
        let offsets = [0.0, 0.2, 0.37, 0.5, 0.63, 0.8];
        for dz in offsets {
            for dy in offsets {
                for dx in offsets {
                    let centre = [8.0 + dz, 9.0 + dy, 10.0 + dx];
                    let found = find_segments(&[soft_balls(cells, &[centre], radius)], cells, &[radius], FLOOR);
                    assert_eq!(found[0].len(), 1, "{cells:?} {centre:?}");
                    let position = found[0][0].position;
                    worst = worst.max(distance(position, centre));
                    (0..3).for_each(|axis| bias[axis] += (position[axis] - centre[axis]) / 216.0);
                }
            }
        }
        println!("{cells:?}, radius {radius}: bias {bias:.3?}, worst {worst:.3} cells");
        // A cell has two voxels: a bias of a quarter of a voxel, and at worst half a voxel.
        assert!(bias.iter().all(|b| b.abs() < 0.125), "{cells:?} {radius}: {bias:?}");
        assert!(worst < 0.25, "{cells:?} {radius}: {worst}");
    }
}

#[test]
fn what_is_too_small_is_dropped_and_larger_ranks_higher() {
    let (cells, radius) = ([24; 3], 6.0);
    // Expected: a ball of 3 cells, 113 cells. A cube of 2 cells is too small, one of 3 is not, and one of 5 scores more.
    let mut map = vec![0.0; 24 * 24 * 24];
    let mut cube = |at: usize, edge: usize, probability: f32| {
        for z in at..at + edge {
            for y in at..at + edge {
                (at..at + edge).for_each(|x| map[(z * 24 + y) * 24 + x] = probability);
            }
        }
    };
    cube(0, 2, 0.99);
    cube(5, 3, 0.99);
    cube(12, 5, 0.99);
    cube(19, 5, 0.6);
    let found = &find_segments(&[map], cells, &[radius], FLOOR)[0];
    let places: Vec<_> = found.iter().map(|peak| peak.position[0].round()).collect();
    assert_eq!(places, [14.0, 21.0, 6.0]);
    // 0.99 (1 - exp(-2 x 125 / 113.1)).
    assert!((found[0].score - 0.881).abs() < 1e-3, "{found:?}");
    assert!(found.iter().all(|peak| (0.0..=1.0).contains(&peak.score)));
}

#[test]
fn particles_that_touch_are_told_apart_and_a_large_one_is_not_cut() {
    let cells = [30; 3];
    let radius = 6.0;
    // Masks that have grown together: balls of 0.8 radii, one and a half radii apart.
    let hard = |centres: &[[f64; 3]], reach: f64| -> Vec<f32> {
        let cell = |i: usize| [(i / 900) as f64, (i / 30 % 30) as f64, (i % 30) as f64];
        (0..27_000).map(|i| if centres.iter().any(|c| distance(*c, cell(i)) <= reach) { 0.9 } else { 0.01 }).collect()
    };
    let row = [[15.0, 15.0, 6.0], [15.0, 15.0, 15.0], [15.0, 15.0, 24.0]];
    for count in 1..=3 {
        let found = &find_segments(&[hard(&row[..count], 4.8)], cells, &[radius], FLOOR)[0];
        assert_eq!(found.len(), count);
        for centre in &row[..count] {
            let error = found.iter().map(|peak| distance(peak.position, *centre)).fold(f64::MAX, f64::min);
            assert!(error < 0.5, "{count}: {error}");
        }
    }
    // Six times the expected volume, but round.
    assert_eq!(find_segments(&[hard(&row[1..2], 5.4)], cells, &[radius], FLOOR)[0].len(), 1);
    // All cells: as from a network that has learnt nothing.
    assert_eq!(find_segments(&[vec![0.9; 27_000]], cells, &[radius], FLOOR)[0].len(), 1);
}

#[test]
fn classes_compete_with_each_other_and_with_the_background() {
    let cells = [1, 1, 12];
    let a = vec![0.0, 0.44, 0.45, 0.45, 0.3, 0.6, 0.6, 0.0, f32::NAN, 0.0, 0.2, 0.2];
    let b = vec![0.0, 0.10, 0.20, 0.30, 0.6, 0.3, 0.3, 0.0, 0.9, 0.0, 0.2, 0.7];
    // Background: 1, .46, .35, .25, .1, .1, .1, 1, ?, 1, .6, .1.
    let owners: Vec<_> = (0..12).map(|cell| winner(&[a.clone(), b.clone()], cell)).collect();
    let expected = [None, None, Some(0), Some(0), Some(1), Some(0), Some(0), None, None, None, None, Some(1)];
    assert_eq!(owners, expected);
    let found = find_segments(&[a, b], cells, &[1.0, 1.0], FLOOR);
    assert_eq!(found[0].iter().map(|peak| peak.position[2]).collect::<Vec<_>>(), [5.5, 2.5]);
    assert_eq!(found[1].iter().map(|peak| peak.position[2]).collect::<Vec<_>>(), [11.0, 4.0]);
}

#[test]
fn nothing_and_thin_volumes_are_no_trouble() {
    assert_eq!(find_segments(&[vec![0.0; 60], vec![0.0; 60]], [3, 4, 5], &[2.0, 3.0], FLOOR), vec![vec![]; 2]);
    assert_eq!(find_segments(&[vec![f32::NAN; 60]], [3, 4, 5], &[2.0], FLOOR), vec![vec![]; 1]);
    let found = find_segments(&[vec![0.9; 5]], [1, 5, 1], &[2.0], FLOOR);
    assert_eq!(found[0].len(), 1);
    assert_eq!(found[0][0].position, [0.0, 2.0, 0.0]);
}
