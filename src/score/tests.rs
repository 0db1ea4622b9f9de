use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::coordinates::{CoordinateRow, Unit};
use crate::geometry::{VoxelBox, distance};
use crate::labels::{Class, ClassId};

fn class(name: &str, radius_angstrom: f64) -> Class {
    Class { id: ClassId(0), name: name.to_owned(), radius_angstrom, colour: [0; 3] }
}

fn on_axis(xs: &[f64]) -> Vec<[f64; 3]> {
    xs.iter().map(|x| [0.0, 0.0, *x]).collect()
}

fn counts(true_positive: usize, false_positive: usize, false_negative: usize) -> Counts {
    Counts { true_positive, false_positive, false_negative }
}

fn pair(found: &[f64], truth: &[f64], ignored: &[f64]) -> Pair {
    Pair { found: vec![on_axis(found)], truth: vec![on_axis(truth)], ignored: vec![on_axis(ignored)] }
}

/// The definition, word for word, in quadratic time.
fn by_definition(found: &[[f64; 3]], truth: &[[f64; 3]], tolerance: f64) -> Counts {
    let hits = truth.iter().filter(|t| found.iter().any(|f| distance(*f, **t) <= tolerance)).count();
    counts(hits, found.len().max(hits) - hits, truth.len() - hits)
}

#[test]
fn distinct_references_are_counted() {
    let check = |found: &[f64], truth: &[f64], expected| {
        assert_eq!(match_points(&on_axis(found), &on_axis(truth), 30.0), expected, "{found:?} {truth:?}");
    };
    check(&[0.0], &[0.0], counts(1, 0, 0));
    // One candidate near two references finds both, and false positives never become negative.
    check(&[0.0], &[-20.0, 20.0], counts(2, 0, 0));
    // Duplicates of a candidate are wrong but one.
    check(&[0.0, 1.0, 2.0], &[0.0], counts(1, 2, 0));
    check(&[], &[0.0, 5.0], counts(0, 0, 2));
    check(&[0.0, 5.0], &[], counts(0, 2, 0));
    check(&[], &[], counts(0, 0, 0));
    // The tolerance belongs to it.
    check(&[30.0], &[0.0], counts(1, 0, 0));
    check(&[30.000001], &[0.0], counts(0, 1, 1));
    check(&[f64::NAN, 0.0], &[0.0, f64::INFINITY], counts(1, 1, 1));
    assert_eq!(match_points(&on_axis(&[1.0]), &on_axis(&[1.0]), 0.0), counts(1, 0, 0));
    assert_eq!(match_points(&on_axis(&[1.0]), &on_axis(&[1.0]), f64::NAN), counts(0, 1, 1));
}

#[test]
fn ratios_are_as_calculated_by_hand() {
    let c = counts(6, 2, 4);
    assert_eq!((c.precision(), c.recall()), (0.75, 0.6));
    assert!((c.f_beta(1.0) - 12.0 / 18.0).abs() < 1e-15);
    assert!((c.f_beta(4.0) - 17.0 * 6.0 / (17.0 * 6.0 + 16.0 * 4.0 + 2.0)).abs() < 1e-15);
    let none = Counts::default();
    assert_eq!((none.precision(), none.recall(), none.f_beta(1.0)), (0.0, 0.0, 0.0));
}

#[test]
fn what_is_ignored_is_neither_right_nor_wrong() {
    // Near an ignored position; near both an ignored one and a reference; far from all.
    let (found, truth, ignored) = (on_axis(&[100.0, 12.0, 500.0]), on_axis(&[0.0]), on_axis(&[100.0, 20.0]));
    let kept = without_ignored(&found, &truth, &ignored, 30.0);
    assert_eq!(kept, on_axis(&[12.0, 500.0]));
    assert_eq!(match_points(&kept, &truth, 30.0), counts(1, 1, 0));
    // What was not found there is no miss either.
    let result = evaluate(&[pair(&[], &[0.0], &[100.0])], &[class("a", 60.0)], None);
    assert_eq!((result.classes[0].1.truth, result.classes[0].1.found), (1, 0));
    let result = evaluate(&[pair(&[100.0, 0.0], &[0.0], &[100.0])], &[class("a", 60.0)], None);
    assert_eq!((result.classes[0].1.f1_half, result.classes[0].1.found), (1.0, 1));
}

#[test]
fn the_table_has_the_agreed_form_and_sums_counts_over_tomograms() {
    // Radius 60: tolerances 30 and 45. First tomogram: 1 hit, 1 miss, the second candidate at 40 hits only at 0.75.
    let pairs = [pair(&[0.0, 240.0], &[0.0, 200.0], &[]), pair(&[0.0, 1.0, 2.0], &[0.0], &[])];
    let result = evaluate(&pairs, &[class("ribosome", 60.0), class("absent", 60.0)], None);
    // At 0.5: TP 1+1, FP 1+2, FN 1. At 0.75: TP 2+1, FP 0+2, FN 0.
    let expected = serde_json::json!({
        "classes": {
            "ribosome": {"f1@0.5": 0.5, "f1@0.75": 0.75, "precision@0.5": 0.4, "recall@0.5": 2.0 / 3.0,
                "f4@0.5": 34.0 / 53.0, "true": 3, "found": 5},
            "absent": {"f1@0.5": 0.0, "f1@0.75": 0.0, "precision@0.5": 0.0, "recall@0.5": 0.0, "f4@0.5": 0.0,
                "true": 0, "found": 0},
        },
        "mean": {"f1@0.5": 0.5, "f1@0.75": 0.75},
        "czii": null,
    });
    assert_eq!(serde_json::to_value(&result).unwrap(), expected);
    let nothing = serde_json::to_value(evaluate(&[], &[class("a", 60.0)], None)).unwrap();
    assert_eq!(nothing["mean"]["f1@0.5"], serde_json::Value::Null);
}

#[test]
fn the_challenge_weighs_classes() {
    // F4 by hand: apo 17*8/(17*8+16*2+4) = 136/172; beta-gal 17*3/(51+16*5+1) = 51/132; ribosome 1; thyroglobulin 0; VLP 34/37.
    let scored = [
        ("apo-ferritin", counts(8, 4, 2)),
        ("beta-galactosidase", counts(3, 1, 5)),
        ("ribosome", counts(10, 0, 0)),
        ("thyroglobulin", counts(0, 7, 9)),
        ("virus-like-particle", counts(2, 3, 0)),
    ];
    let expected = (136.0 / 172.0 + 2.0 * 51.0 / 132.0 + 1.0 + 0.0 + 34.0 / 37.0) / 7.0;
    assert!((czii_score(&scored).unwrap().unwrap() - expected).abs() < 1e-12);
    let mut with_amylase = scored.to_vec();
    with_amylase.push(("beta-amylase", counts(0, 100, 100)));
    assert_eq!(czii_score(&with_amylase), czii_score(&scored));
    with_amylase.push(("proteasome", counts(1, 0, 0)));
    assert_eq!(czii_score(&with_amylase), Err(ScoreError::NotCzii("proteasome".into())));
    assert_eq!(czii_score(&[("beta-amylase", counts(1, 0, 0))]), Ok(None));
    let result = evaluate(&[pair(&[0.0, 500.0], &[0.0], &[])], &[class("apo-ferritin", 60.0)], None);
    assert_eq!(result.czii, Some(17.0 / 18.0));
}

#[test]
fn a_region_leaves_out_what_lies_outside() {
    // Voxels 2 and 3 along x at 10 angstrom: 15 to 35.
    let region = ScoreRegion { voxels: VoxelBox::new([0, 0, 2], [1, 1, 4]), spacing_angstrom: 10.0 };
    let result = evaluate(&[pair(&[15.0, 14.9, 35.0], &[34.9, 15.1, 36.0], &[])], &[class("a", 2.0)], Some(&region));
    let score = result.classes[0].1;
    assert_eq!((score.truth, score.found, score.recall_half, score.precision_half), (2, 1, 0.5, 1.0));
}

fn row(tomogram: Option<&str>, class: &str, x: f64, unit: Unit) -> CoordinateRow {
    let tomogram = tomogram.map(str::to_owned);
    CoordinateRow {
        tomogram,
        class: class.into(),
        xyz: [x, 1.0, 2.0],
        unit,
        shift_angstrom: [0.0; 3],
        score: None,
        source: None,
        line: 7,
    }
}

#[test]
fn rows_are_grouped_by_tomogram() {
    let classes = [class("a", 60.0), class("b", 60.0)];
    let angstrom = |tomogram, class, x| row(tomogram, class, x, Unit::Angstrom);
    // One table without names, one with a single name: one tomogram.
    let one = pairs_from_rows(
        &classes,
        &[angstrom(None, "b", 5.0)],
        &[angstrom(Some("TS_1"), "a", 6.0)],
        &[row(None, "b", 3.0, Unit::Voxel)],
        Some(10.0),
    )
    .unwrap();
    assert_eq!(one.pairs.len(), 1);
    assert_eq!(one.pairs[0].found, [vec![], vec![[2.0, 1.0, 5.0]]]);
    assert_eq!(one.pairs[0].truth, [vec![[2.0, 1.0, 6.0]], vec![]]);
    assert_eq!(one.pairs[0].ignored[1], [[20.0, 10.0, 30.0]]);
    // Several: by name, and what the truth does not speak of is left out and named.
    let found = [angstrom(Some("rec_TS_1"), "a", 1.0), angstrom(Some("TS_2"), "a", 2.0), angstrom(Some("TS_3"), "a", 3.0)];
    let truth = [angstrom(Some("TS_2.tomostar"), "a", 2.0), angstrom(Some("TS_1"), "a", 9.0)];
    let several = pairs_from_rows(&classes, &found, &truth, &[], None).unwrap();
    assert_eq!(several.pairs.len(), 2);
    assert_eq!(several.pairs[0].found[0], [[2.0, 1.0, 1.0]]);
    assert_eq!(several.pairs[0].truth[0], [[2.0, 1.0, 9.0]]);
    assert_eq!(several.without_truth, ["TS_3"]);
    let fails = |found: &[CoordinateRow]| pairs_from_rows(&classes, found, &truth, &[], None).unwrap_err().to_string();
    assert!(fails(&[angstrom(None, "a", 1.0)]).contains("line 7 of the picks names no tomogram"));
    assert!(fails(&[angstrom(Some("TS_1"), "c", 1.0)]).contains("\"c\""));
    assert!(fails(&[row(Some("TS_1"), "a", 1.0, Unit::Voxel)]).contains("spacing"));
    // Nothing at all is one tomogram in which nothing was found.
    assert_eq!(pairs_from_rows(&classes, &[], &[], &[], None).unwrap().pairs.len(), 1);
}

fn run(picks: &[(f64, f32)], truth: &[f64]) -> ScoredRun {
    ScoredRun { picks: picks.iter().map(|(x, score)| ([0.0, 0.0, *x], *score)).collect(), truth: on_axis(truth) }
}

#[test]
fn thresholds_lie_in_the_middle_of_the_best_stretch() {
    // Two hits at 0.9 and 0.7, wrong ones from 0.3 down.
    let clear = run(&[(0.0, 0.9), (100.0, 0.7), (500.0, 0.3), (600.0, 0.1)], &[0.0, 100.0]);
    assert_eq!(best_threshold(std::slice::from_ref(&clear), 60.0, 0.5, 1.0), (0.5, 1.0));
    // All picks are right: nothing below the lowest score is known.
    let right = run(&[(0.0, 0.75), (100.0, 0.5)], &[0.0, 100.0]);
    assert_eq!(best_threshold(&[right], 60.0, 0.5, 1.0), (0.5, 1.0));
    // A candidate that finds two references leaves room for one without a hit: 0.8 and 0.4 are as good as each other.
    let plateau = run(&[(0.0, 0.8), (900.0, 0.4), (901.0, 0.2)], &[-20.0, 20.0]);
    assert_eq!(best_threshold(&[plateau], 60.0, 0.5, 1.0), (0.5, 1.0));
    // Recall counts more than precision at beta 4, so the threshold sinks.
    let mixed = run(&[(0.0, 0.9), (500.0, 0.8), (600.0, 0.7), (650.0, 0.65), (100.0, 0.6), (700.0, 0.2)], &[0.0, 100.0]);
    let f1 = best_threshold(std::slice::from_ref(&mixed), 60.0, 0.5, 1.0);
    let f4 = best_threshold(&[mixed], 60.0, 0.5, 4.0);
    assert!(f1.0 > 0.8 && (f1.1 - 2.0 / 3.0).abs() < 1e-12, "{f1:?}");
    assert!((0.2..=0.6).contains(&f4.0) && (f4.1 - 34.0 / 37.0).abs() < 1e-12, "{f4:?}");
    // Nothing to learn from.
    for empty in [vec![], vec![run(&[], &[0.0])], vec![run(&[(0.0, 0.9)], &[])], vec![run(&[(0.0, f32::NAN)], &[0.0])]] {
        assert_eq!(best_threshold(&empty, 60.0, 0.5, 1.0), (FALLBACK_THRESHOLD, 0.0));
    }
    // Neighbouring numbers have no middle: the worse pick stays out.
    let low = 0.5f32;
    let high = low.next_up();
    assert_eq!(best_threshold(&[run(&[(0.0, high), (500.0, low)], &[0.0])], 60.0, 0.5, 1.0), (high, 1.0));
}

#[test]
fn the_median_score_counts_what_is_not_found_as_nothing() {
    // Found at 0.9 and at 0.5, the better of two picks; the third is not.
    let some = run(&[(0.0, 0.9), (100.0, 0.2), (110.0, 0.5), (300.0, 0.8)], &[0.0, 100.0, 200.0]);
    assert_eq!(median_found_score(std::slice::from_ref(&some), 60.0, 0.5), Some(0.5));
    assert_eq!(median_found_score(&[some, run(&[(0.0, 0.75)], &[0.0])], 60.0, 0.5), Some(0.625));
    assert_eq!(median_found_score(&[run(&[], &[0.0, 1.0]), run(&[(0.0, 0.7)], &[0.0])], 60.0, 0.5), Some(0.0));
    assert_eq!(median_found_score(&[run(&[(0.0, 0.7)], &[])], 60.0, 0.5), None);
}

fn places(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<[f64; 3]>> {
    prop::collection::vec(prop::array::uniform3((0..40i32).prop_map(|x| f64::from(x) * 5.0)), count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// On a lattice, where many distances equal the tolerance.
    #[test]
    fn matching_equals_its_definition(found in places(0..60), truth in places(0..60), tolerance in 0..20i32) {
        let tolerance = f64::from(tolerance) * 5.0;
        prop_assert_eq!(match_points(&found, &truth, tolerance), by_definition(&found, &truth, tolerance));
    }

    /// The threshold found is as good as the best of all, and its score is what matching gives there.
    #[test]
    fn the_sweep_equals_trying_every_threshold(
        runs in prop::collection::vec((places(0..25), places(0..12), prop::collection::vec(0..12u8, 25)), 1..4),
        beta in prop_oneof![Just(1.0), Just(4.0)],
    ) {
        let runs: Vec<ScoredRun> = runs.into_iter().map(|(found, truth, scores)| ScoredRun {
            picks: found.into_iter().zip(scores).map(|(position, score)| (position, f32::from(score) / 16.0 + 0.1)).collect(),
            truth,
        }).collect();
        let at = |threshold: f32| runs.iter().map(|run| {
            let kept: Vec<_> = run.picks.iter().filter(|pick| pick.1 >= threshold).map(|pick| pick.0).collect();
            by_definition(&kept, &run.truth, 30.0)
        }).sum::<Counts>().f_beta(beta);
        let best = (0..14).map(|score| at(score as f32 / 16.0 + 0.1)).fold(0.0, f64::max);
        let (threshold, score) = best_threshold(&runs, 60.0, 0.5, beta);
        prop_assert!((score - best).abs() < 1e-12, "{} {}", score, best);
        if best > 0.0 {
            prop_assert_eq!(at(threshold), best);
        }
    }
}

#[test]
fn a_hundred_thousand_points_take_a_moment() {
    // A cubic lattice 100 angstrom apart with candidates 20 off, beside 1 in 10 wrong ones; also with an absurd tolerance.
    let truth: Vec<[f64; 3]> =
        (0..100_000).map(|i| [f64::from(i % 46), f64::from(i / 46 % 46), f64::from(i / 2116)].map(|x| x * 100.0)).collect();
    let mut found: Vec<[f64; 3]> = truth.iter().map(|point| [point[0] + 20.0, point[1], point[2]]).collect();
    found.extend(truth.iter().step_by(10).map(|point| [point[0] + 50.0, point[1], point[2]]));
    let start = Instant::now();
    assert_eq!(match_points(&found, &truth, 30.0), counts(100_000, 10_000, 0));
    assert_eq!(match_points(&found, &truth, 1e6), counts(100_000, 10_000, 0));
    let picks = found.iter().enumerate().map(|(i, point)| (*point, if i < 100_000 { 0.5 + i as f32 * 4e-6 } else { 0.3 }));
    let (threshold, score) = best_threshold(&[ScoredRun { picks: picks.collect(), truth }], 60.0, 0.5, 1.0);
    assert!((threshold, score) == (0.4, 1.0), "{threshold} {score}");
    let elapsed = start.elapsed();
    println!("matching and sweeping 1e5 points took {elapsed:?}");
    assert!(elapsed.as_secs() < 10, "{elapsed:?}");
}
