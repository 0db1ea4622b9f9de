use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::geometry::{VoxelBox, distance};
use crate::labels::{Class, ClassId, ItemId, Point, PointKind, TomogramId, TomogramLabels};
use crate::score::Counts;
use crate::train::{Pick, PickSet};

fn pick(position: [f64; 3], class: usize, score: f32) -> Pick {
    Pick { position, class, score }
}

fn labels(points: &[([f64; 3], PointKind)]) -> TomogramLabels {
    let mut labels = TomogramLabels::default();
    for (id, &(position, kind)) in points.iter().enumerate() {
        let id = ItemId(id as u64);
        labels.points.insert(id, Point { id, position, kind });
    }
    labels
}

fn class(id: u32, name: &str) -> Class {
    Class { id: ClassId(id), name: name.to_owned(), radius_angstrom: 40.0, colour: [0; 3] }
}

// -- what is shown ----------------------------------------------------------------------------------------------------------

#[test]
fn picks_are_shown_above_the_threshold_in_the_mask_and_apart() {
    let limits = [Limits { threshold: 0.5, distance_voxels: 4.0 }, Limits { threshold: 0.3, distance_voxels: 0.0 }];
    let picks = [
        pick([10.0; 3], 0, 0.9),
        pick([10.0, 10.0, 13.0], 0, 0.8), // Too near to the first.
        pick([10.0, 10.0, 14.0], 0, 0.7), // Just far enough; the hidden one hides nothing.
        pick([10.0, 10.0, 10.0], 1, 0.6), // Another class.
        pick([30.0; 3], 0, 0.6),          // Outside the mask.
        pick([12.0, 18.0, 18.0], 0, 0.4), // Below the threshold.
        pick([10.0, 10.0, 10.5], 1, 0.3),
        pick([10.0; 3], 5, 0.9),
    ];
    let mask = VoxelBox::new([0; 3], [20; 3]);
    assert_eq!(shown(&picks, &limits, Some(&mask)), [true, false, true, true, false, false, true, false]);
    assert!(shown(&picks, &limits, None)[4]);
}

proptest! {
    #[test]
    fn shown_picks_are_apart_and_hidden_ones_have_a_better_one_near(
        positions in prop::collection::vec([0.0..40.0f64, 0.0..40.0, 0.0..40.0], 0..120),
        least in 0.5..15.0f64,
    ) {
        let picks: Vec<Pick> = positions.iter().map(|position| pick(*position, 0, 0.9)).collect();
        let kept = shown(&picks, &[Limits { threshold: 0.0, distance_voxels: least }], None);
        for (index, one) in picks.iter().enumerate() {
            let better = (0..index).any(|other| kept[other] && distance(picks[other].position, one.position) < least);
            prop_assert_eq!(kept[index], !better);
        }
    }
}

// -- what has been said -----------------------------------------------------------------------------------------------------

#[test]
fn the_nearest_label_within_half_a_radius_decides() {
    let classes = [PickClass { own: Some(ClassId(1)), near_voxels: 2.0 }, PickClass { own: None, near_voxels: 2.0 }];
    let of = |position: [f64; 3], class: usize, points: &[([f64; 3], PointKind)]| {
        standings(&[pick(position, class, 0.5)], &classes, Some(&labels(points)))[0]
    };
    let particle = PointKind::Particle(ClassId(1));
    assert_eq!(of([0.0; 3], 0, &[]).verdict, Verdict::Open);
    assert_eq!(of([0.0; 3], 0, &[([1.9, 0.0, 0.0], particle)]), Standing { verdict: Verdict::Accepted, by: Some(ItemId(0)) });
    assert_eq!(of([0.0; 3], 0, &[([2.1, 0.0, 0.0], particle)]).verdict, Verdict::Open);
    assert_eq!(of([0.0; 3], 0, &[([0.0; 3], PointKind::Particle(ClassId(7)))]).verdict, Verdict::Open);
    assert_eq!(
        of([0.0; 3], 0, &[([1.0, 0.0, 0.0], particle), ([0.5, 0.0, 0.0], PointKind::Negative)]).verdict,
        Verdict::Rejected
    );
    assert_eq!(of([0.0; 3], 1, &[([0.0; 3], particle)]).verdict, Verdict::Open, "a class that the project does not have");
    assert_eq!(of([0.0; 3], 1, &[([0.0; 3], PointKind::Negative)]).verdict, Verdict::Rejected);
    assert_eq!(standings(&[pick([0.0; 3], 0, 0.5)], &classes, None)[0], Standing::default());
}

#[test]
fn picks_made_anew_take_over_what_was_said() {
    // A radius of 4 voxels; the picks of a second model are up to 1.9 voxels off.
    let classes = [PickClass { own: Some(ClassId(1)), near_voxels: 2.0 }];
    let said = labels(&[([10.0; 3], PointKind::Particle(ClassId(1))), ([20.0; 3], PointKind::Negative)]);
    let again = [pick([11.0, 11.0, 11.0], 0, 0.4), pick([20.0, 20.0, 18.1], 0, 0.9), pick([20.0, 20.0, 17.9], 0, 0.9)];
    let verdicts: Vec<Verdict> = standings(&again, &classes, Some(&said)).iter().map(|standing| standing.verdict).collect();
    assert_eq!(verdicts, [Verdict::Accepted, Verdict::Rejected, Verdict::Open]);
}

// -- order ------------------------------------------------------------------------------------------------------------------

#[test]
fn rows_are_sorted_by_every_column_in_both_directions() {
    let row =
        |place: u32, class: u16, score: f32, verdict| Row { tomogram: TomogramId(place), place, index: 0, class, score, verdict };
    let rows = [
        row(1, 0, 0.2, Verdict::Open),
        row(0, 1, 0.9, Verdict::Rejected),
        row(0, 0, 0.5, Verdict::Accepted),
        row(1, 1, 0.7, Verdict::Open),
    ];
    let scores = |by: Column, descending: bool| {
        let mut rows = rows.to_vec();
        sort(&mut rows, Order { by, descending });
        rows.iter().map(|row| row.score).collect::<Vec<f32>>()
    };
    assert_eq!(scores(Column::Score, true), [0.9, 0.7, 0.5, 0.2]);
    assert_eq!(scores(Column::Score, false), [0.2, 0.5, 0.7, 0.9]);
    assert_eq!(scores(Column::Class, false), [0.5, 0.2, 0.9, 0.7], "within a class by descending score");
    assert_eq!(scores(Column::Tomogram, false), [0.9, 0.5, 0.7, 0.2]);
    assert_eq!(scores(Column::Tomogram, true), [0.7, 0.2, 0.9, 0.5]);
    assert_eq!(scores(Column::State, false), [0.7, 0.2, 0.5, 0.9]);
}

// -- the most uncertain -----------------------------------------------------------------------------------------------------

fn candidate(index: u32, x: f64, doubt: f32) -> Candidate {
    Candidate { index, position: [0.0, 0.0, x], radius_voxels: 5.0, doubt }
}

#[test]
fn doubt_is_relative_to_how_the_scores_lie() {
    let crowded: Vec<f32> = (0..100).map(|i| 0.45 + 0.001 * i as f32).collect();
    let scattered: Vec<f32> = (0..100).map(|i| 0.01 * i as f32).collect();
    let (near, far) = (local_spread(crowded, 0.5), local_spread(scattered, 0.5));
    assert!((near - 0.005).abs() < 1.1e-3, "the ten nearest of a hundred: {near}");
    assert!((far - 0.05).abs() < 1.1e-2, "{far}");
    assert_eq!(local_spread([], 0.5), local_spread([0.5; 9], 0.5), "never zero");
}

#[test]
fn the_queue_goes_round_the_tomograms_and_keeps_its_distance() {
    let first = vec![candidate(0, 0.0, 0.1), candidate(1, 4.0, 0.2), candidate(2, 20.0, 0.3), candidate(3, 40.0, 0.4)];
    let second = vec![candidate(0, 0.0, 5.0), candidate(1, 30.0, 4.0)];
    let queue = most_uncertain(&[first.clone(), second, Vec::new()], 100);
    assert_eq!(queue, [(0, 0), (1, 1), (0, 2), (1, 0), (0, 3)], "the pick 4 voxels from a taken one is left out");
    assert_eq!(most_uncertain(&[first], 2), [(0, 0), (0, 2)]);
}

proptest! {
    #[test]
    fn no_two_in_the_queue_are_near_and_tomograms_share_it(
        tomograms in prop::collection::vec(
            prop::collection::vec(([0.0..60.0f64, 0.0..60.0, 0.0..60.0], 1.0..9.0f64, 0.0..3.0f32), 0..40), 1..4),
    ) {
        let tomograms: Vec<Vec<Candidate>> = tomograms.iter().map(|candidates| {
            let made = candidates.iter().enumerate().map(|(index, (position, radius_voxels, doubt))| Candidate {
                index: index as u32, position: *position, radius_voxels: *radius_voxels, doubt: *doubt,
            });
            made.collect()
        }).collect();
        let queue = most_uncertain(&tomograms, usize::MAX);
        let mut taken: Vec<Vec<Candidate>> = vec![Vec::new(); tomograms.len()];
        for (place, (tomogram, index)) in queue.iter().enumerate() {
            let one = tomograms[*tomogram][*index];
            for other in &taken[*tomogram] {
                prop_assert!(distance(other.position, one.position) >= other.radius_voxels.max(one.radius_voxels));
            }
            taken[*tomogram].push(one);
            // Whoever has had more must be the only one with candidates left.
            let mine = taken[*tomogram].len();
            for (other, had) in taken.iter().enumerate() {
                let total = queue.iter().filter(|(of, _)| *of == other).count();
                prop_assert!(had.len() + 1 >= mine || total == had.len(), "at {place}");
            }
        }
        // What was left out is near something taken.
        for (tomogram, candidates) in tomograms.iter().enumerate() {
            for one in candidates {
                let explained = taken[tomogram].iter().any(|other| {
                    other.index == one.index || distance(other.position, one.position) < other.radius_voxels.max(one.radius_voxels)
                });
                prop_assert!(explained);
            }
        }
    }
}

// -- comparing --------------------------------------------------------------------------------------------------------------

#[test]
fn positions_are_matched_missed_or_extra() {
    let reference = vec![vec![[0.0; 3], [0.0, 0.0, 20.0], [0.0, 0.0, 40.0]], vec![[5.0; 3]]];
    // The second is a double of the first, farther off; the third is just too far.
    let candidates = vec![vec![[0.0, 0.0, 1.0], [0.0, 0.0, -2.0], [0.0, 0.0, 23.1], [0.0, 0.0, 41.0]], Vec::new()];
    let comparison = compare(&reference, &candidates, &[3.0, 3.0]);
    assert_eq!(comparison.counts[0], Counts { true_positive: 2, false_positive: 2, false_negative: 1 });
    assert_eq!(comparison.counts[1], Counts { true_positive: 0, false_positive: 0, false_negative: 1 });
    assert!((comparison.counts[0].f_beta(1.0) - 4.0 / 7.0).abs() < 1e-12);
    let of = |finding: Finding| {
        let spots = comparison.spots.iter().filter(|spot| spot.finding == finding);
        spots.map(|spot| spot.position[2]).collect::<Vec<f64>>()
    };
    assert_eq!(of(Finding::Matched), [1.0, 41.0]);
    assert_eq!(of(Finding::Extra), [-2.0, 23.1]);
    assert_eq!(of(Finding::Missed), [20.0, 5.0]);
    assert_eq!(total([&comparison, &comparison], 2)[0].true_positive, 4);
}

proptest! {
    #[test]
    fn a_set_compared_with_itself_matches_and_shifts_are_symmetric(
        positions in prop::collection::vec([0.0..100.0f64, 0.0..100.0, 0.0..100.0], 1..50),
        others in prop::collection::vec([0.0..100.0f64, 0.0..100.0, 0.0..100.0], 0..50),
    ) {
        let same = compare(std::slice::from_ref(&positions), std::slice::from_ref(&positions), &[1e-6]);
        prop_assert!(same.spots.iter().all(|spot| spot.finding == Finding::Matched));
        prop_assert_eq!(same.counts[0].f_beta(1.0), 1.0);
        let comparison = compare(std::slice::from_ref(&positions), std::slice::from_ref(&others), &[8.0]);
        let count = |finding| comparison.spots.iter().filter(|spot| spot.finding == finding).count();
        prop_assert_eq!(count(Finding::Matched) + count(Finding::Extra), others.len(), "every candidate once");
        prop_assert_eq!(count(Finding::Missed), comparison.counts[0].false_negative);
        prop_assert!(count(Finding::Matched) <= comparison.counts[0].true_positive);
    }
}

// -- counts -----------------------------------------------------------------------------------------------------------------

#[test]
fn densities_are_per_cubic_micrometre() {
    // 1000 voxels of 10 angstrom are a micrometre.
    assert!((cubic_micrometres([1000, 1000, 500], None, 10.0) - 0.5).abs() < 1e-12);
    let mask = VoxelBox::new([0, 0, 0], [100, 1000, 2000]);
    let volume = cubic_micrometres([1000, 1000, 500], Some(&mask), 10.0);
    assert!((volume - 0.05).abs() < 1e-12, "the part of the mask that lies inside: {volume}");
    let count =
        TomogramCount { tomogram: TomogramId(0), name: "a".to_owned(), counts: vec![10, 0], cubic_micrometres: Some(volume) };
    assert!((count.density(0).unwrap() - 200.0).abs() < 1e-9);
    assert_eq!(TomogramCount { cubic_micrometres: None, ..count }.density(0), None);
}

// -- what is kept -----------------------------------------------------------------------------------------------------------

fn kept(picks: &[usize]) -> KeptPicks {
    let classes = vec![class(1, "a"), class(2, "b")];
    let record = PickRecord {
        version: 0,
        id: 1,
        model: ModelRecord { name: "a.model".to_owned(), steps: 600, ..ModelRecord::default() },
        program: String::new(),
        written: String::new(),
        who: "anna".to_owned(),
        classes: classes.clone(),
        suggested: vec![0.4, 0.5],
        thresholds: vec![0.45, 0.5],
        tomograms: Vec::new(),
        picks: 0,
        crc32: 0,
    };
    let mut kept = KeptPicks { record, sets: Vec::new() };
    for (number, count) in picks.iter().enumerate() {
        let id = TomogramId(number as u32);
        let one = |i: usize| {
            let spread = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let part = |shift: u32| ((spread >> shift) % 500_000) as f64 / 1000.0;
            pick([part(0), part(20), part(40)], i % 2, 1.0 - i as f32 / *count as f32)
        };
        let picks = (0..*count).map(one).collect();
        let set = PickSet { tomogram: id, classes: classes.clone(), thresholds: vec![0.4, 0.5], picks, step: 600 };
        let tomogram = KeptTomogram { id, name: format!("TS_{number}"), spacing_angstrom: Some(10.0), picked: now(), picks: 0 };
        kept.put(tomogram, Arc::new(set));
    }
    kept
}

#[test]
fn a_set_is_read_back_as_it_was_and_listed_by_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut one = kept(&[5, 0, 3]);
    assert_eq!(next_id(folder.path()), 1);
    write_kept(folder.path(), &mut one).unwrap();
    let read = read_kept(folder.path(), 1).unwrap();
    assert_eq!(read, one);
    assert_eq!((read.record.picks, read.record.tomograms[2].picks), (8, 3));
    assert_eq!(read.record.program, env!("CARGO_PKG_VERSION"));
    assert_eq!(next_id(folder.path()), 2);
    let (records, errors) = list_kept(folder.path());
    assert_eq!((records.as_slice(), errors.len()), ([one.record.clone()].as_slice(), 0));

    // Picks of the same tomogram replace those before.
    let again = kept(&[7]);
    one.put(again.record.tomograms[0].clone(), again.sets[0].clone());
    write_kept(folder.path(), &mut one).unwrap();
    let read = read_kept(folder.path(), 1).unwrap();
    assert_eq!((read.sets.len(), read.set(TomogramId(0)).unwrap().picks.len()), (3, 7));
    remove_kept(folder.path(), 1).unwrap();
    assert!(list_kept(folder.path()).0.is_empty());
}

#[test]
fn damaged_sets_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_kept(folder.path(), &mut kept(&[20])).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 30]).unwrap();
    assert!(matches!(read_kept(folder.path(), 1), Err(KeptError::Damaged { .. })));
    std::fs::write(&path, "{\"version\":99,\"other\":1}\n").unwrap();
    assert!(matches!(read_kept(folder.path(), 1), Err(KeptError::Version { found: 99, .. })));
    let (records, errors) = list_kept(folder.path());
    assert_eq!((records.len(), errors.len()), (0, 1));
    assert_eq!(next_id(folder.path()), 2, "its number is not given away");
    assert!(matches!(read_kept(folder.path(), 7), Err(KeptError::Io { .. })));
}

#[test]
fn a_hundred_thousand_picks_are_kept_fast() {
    let folder = tempfile::tempdir().unwrap();
    let mut many = kept(&[50_000, 50_000]);
    let start = Instant::now();
    write_kept(folder.path(), &mut many).unwrap();
    let written = start.elapsed();
    let start = Instant::now();
    let read = read_kept(folder.path(), 1).unwrap();
    println!("100,000 picks: written in {written:?}, read in {:?}", start.elapsed());
    assert_eq!(read.record.picks, 100_000);
    assert!(written < Duration::from_secs(3) && start.elapsed() < Duration::from_secs(3));
}

#[test]
fn models_are_told_apart() {
    let trained =
        ModelRecord { name: "trained here".to_owned(), steps: 600, trained: Some("x".to_owned()), ..ModelRecord::default() };
    assert!(trained.is_same(&trained));
    assert!(!trained.is_same(&ModelRecord { steps: 700, ..trained.clone() }));
    assert!(!trained.is_same(&ModelRecord { trained: Some("y".to_owned()), ..trained.clone() }));
    let file = |print: Option<&str>, path: &str| ModelRecord {
        name: "a".to_owned(),
        path: Some(path.into()),
        fingerprint: print.map(str::to_owned),
        ..ModelRecord::default()
    };
    assert!(file(Some("1"), "a.model").is_same(&file(Some("1"), "b.model")), "a copy is the same model");
    assert!(!file(Some("1"), "a.model").is_same(&file(Some("2"), "a.model")), "another of the same name is not");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, "123456789").unwrap();
    assert_eq!(fingerprint(&path).unwrap(), "9-crc32:cbf43926", "the check value of CRC-32");
}

#[test]
fn decisions_are_read_back_and_a_torn_line_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let decision = |verdict, picks: &[(u64, u16, f32)]| Decision {
        verdict: Decision::word(verdict),
        who: "anna".to_owned(),
        when: now(),
        model: "a.model, 600 steps".to_owned(),
        set: Some(1),
        classes: vec!["a".to_owned()],
        thresholds: vec![0.5],
        picks: picks.to_vec(),
    };
    let mut log = DecisionLog::open(folder.path()).unwrap();
    assert!(log.of(ItemId(3)).is_none());
    log.add(decision(Verdict::Accepted, &[(3, 0, 0.75), (4, 0, 0.5)])).unwrap();
    let path = folder.path().join(DECISIONS_FILE);
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend_from_slice(b"{\"verdict\":\"rej");
    std::fs::write(&path, torn).unwrap();
    let mut log = DecisionLog::open(folder.path()).unwrap();
    assert_eq!(log.damaged(), 1);
    log.add(decision(Verdict::Rejected, &[(4, 0, 0.5)])).unwrap();
    let log = DecisionLog::open(folder.path()).unwrap();
    assert_eq!((log.decisions().len(), log.damaged()), (2, 1));
    assert_eq!(log.of(ItemId(4)).unwrap().decision.verdict, "rejected", "the latest word");
    let first = log.of(ItemId(3)).unwrap();
    assert_eq!((first.decision.verdict.as_str(), first.decision.who.as_str(), first.score), ("accepted", "anna", 0.75));
}

#[test]
fn dates_are_iso() {
    assert_eq!(when::iso(951_827_696), "2000-02-29T12:34:56Z");
    assert!(!user().is_empty());
}
