//! Training as a front end sees it: a session on volumes with known particles.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::geometry::{VoxelBox, distance};
use crate::labels::{Class, ClassId, ItemId, Point, PointKind, Region, TomogramId, TomogramLabels};
use crate::pick::{PredictOptions, WindowLimits};
use crate::volume::{Level, MemoryVolume, VolumeError, VolumeInfo, VolumeSource};

/// Radius of the test particles in voxels of 10 A.
const RADIUS: f64 = 5.0;

fn classes() -> Vec<Class> {
    vec![Class { id: ClassId(7), name: "ball".to_owned(), radius_angstrom: 10.0 * RADIUS, colour: [230, 159, 0] }]
}

/// Dark Gaussian balls at random places, to fractions of a voxel, that do not touch; without noise.
fn balls(shape: [usize; 3], seed: u64) -> (Vec<f32>, Vec<[f64; 3]>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut centres: Vec<[f64; 3]> = Vec::new();
    for _ in 0..400 {
        let p = shape.map(|n| random.random_range(RADIUS..n as f64 - 1.0 - RADIUS));
        if centres.iter().all(|c| distance(*c, p) > 2.2 * RADIUS) {
            centres.push(p);
        }
    }
    let mut volume = vec![0.0; shape.iter().product()];
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let p = [z as f64, y as f64, x as f64];
                let sum: f64 = centres.iter().map(|c| (-distance(*c, p).powi(2) / (2.0 * 3.0f64.powi(2))).exp()).sum();
                volume[(z * shape[1] + y) * shape[2] + x] = -sum as f32;
            }
        }
    }
    (volume, centres)
}

fn tomogram(id: u32, source: Arc<dyn VolumeSource>, spacing: f64, centres: &[[f64; 3]], complete: bool) -> TrainingTomogram {
    let shape = source.info().shape;
    let mut labels = TomogramLabels::default();
    for (i, position) in centres.iter().enumerate() {
        let id = ItemId(i as u64);
        labels.points.insert(id, Point { id, position: *position, kind: PointKind::Particle(ClassId(7)) });
    }
    if complete {
        let id = ItemId(1_000_000);
        labels.regions.insert(id, Region { id, voxels: VoxelBox::whole(shape) });
    }
    TrainingTomogram { id: TomogramId(id), name: format!("tomogram {id}"), source, spacing_angstrom: spacing, labels }
}

fn ball_tomogram(id: u32, shape: [usize; 3], seed: u64) -> (TrainingTomogram, Vec<[f64; 3]>) {
    let (volume, centres) = balls(shape, seed);
    let source = Arc::new(MemoryVolume::new(volume, shape, 10.0).unwrap());
    (tomogram(id, source, 10.0, &centres, true), centres)
}

fn config(steps: usize) -> TrainConfig {
    TrainConfig { steps, crop: 32, batch: 1, device: DeviceChoice::Cpu, ..TrainConfig::default() }
}

fn set(tomogram: TrainingTomogram) -> TrainingSet {
    TrainingSet { classes: classes(), tomograms: vec![tomogram] }
}

#[test]
fn noise_free_positions_are_right_to_half_a_voxel_for_even_and_odd_sizes() {
    let (labelled, _) = ball_tomogram(1, [40, 56, 56], 1);
    let mut trainer = Trainer::new(config(160), &set(labelled)).unwrap();
    let losses: Vec<f32> = (0..160).map(|_| trainer.step().unwrap().supervised).collect();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    assert!(mean(&losses[130..]) < 0.3 * mean(&losses[..10]), "{losses:?}");
    assert!(trainer.choose_thresholds(|_| ControlFlow::Continue(())).unwrap());

    for (shape, spacing, flips) in [([40, 56, 56], 10.0, false), ([41, 57, 55], 10.0, true), ([40, 56, 56], 12.5, false)] {
        // A tomogram at another spacing shows the same particles at another size, and is rescaled.
        let (volume, centres) = balls(shape, 2);
        let mut truth = centres;
        let mut source: Arc<dyn VolumeSource> = Arc::new(MemoryVolume::new(volume, shape, 10.0).unwrap());
        if spacing != 10.0 {
            source = Arc::new(crate::volume::ResampledVolume::new(source, 10.0, spacing).unwrap());
            truth.iter_mut().flatten().for_each(|v| *v *= 10.0 / spacing);
        }
        let test = tomogram(2, source, spacing, &[], false);
        let options = PredictOptions {
            windows: WindowLimits { edge: 48, voxels: 48 * 48 * 48, overlap: 12 },
            flips,
            ..PredictOptions::default()
        };
        let picked = trainer.picker().pick(&test, &options, |_| ControlFlow::Continue(())).unwrap().unwrap();
        let threshold = picked.picks.thresholds[0];
        let found: Vec<_> = picked.picks.picks.iter().filter(|pick| pick.score >= threshold).collect();
        assert_eq!(found.len(), truth.len(), "{shape:?} at {spacing} A: threshold {threshold}");
        let errors: Vec<f64> =
            truth.iter().map(|t| found.iter().map(|pick| distance(pick.position, *t)).fold(f64::MAX, f64::min)).collect();
        let worst = errors.iter().fold(0.0f64, |a, b| a.max(*b));
        let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
        println!("{shape:?} at {spacing} A, flips {flips}: {} found, rms {rms:.3}, worst {worst:.3} voxels", found.len());
        assert!(rms < 0.5, "{shape:?} at {spacing} A: rms {rms}, worst {worst}");
        // No drift to one side, which a half-cell mistake would cause.
        for axis in 0..3 {
            let bias: f64 = truth
                .iter()
                .filter_map(|t| {
                    let nearest = found.iter().min_by(|a, b| distance(a.position, *t).total_cmp(&distance(b.position, *t)))?;
                    Some(nearest.position[axis] - t[axis])
                })
                .sum::<f64>()
                / truth.len() as f64;
            assert!(bias.abs() < 0.25, "{shape:?} at {spacing} A: bias {bias} along axis {axis}");
        }
        assert!(picked.picks.picks.windows(2).all(|w| w[0].score >= w[1].score));
    }
}

#[test]
fn every_kind_of_network_learns() {
    let (labelled, _) = ball_tomogram(1, [40, 48, 48], 4);
    let (mut other, _) = ball_tomogram(2, [40, 48, 48], 5);
    other.labels = TomogramLabels::default();
    let set = TrainingSet { classes: classes(), tomograms: vec![labelled, other] };
    for (preset, output_stride) in
        [(Preset::Compact, Some(4)), (Preset::VNetCompact, None), (Preset::FpnCompact, None), (Preset::FpnCompact, Some(4))]
    {
        // Co-training at the end: the teacher's flipped views need the stride too.
        let config = TrainConfig { preset, output_stride, cotrain_steps: 2, ..config(60) };
        let mut trainer = Trainer::new(config, &set).unwrap();
        let losses: Vec<f32> = (0..62).map(|_| trainer.step().unwrap().supervised).collect();
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        let (first, last) = (mean(&losses[..5]), mean(&losses[50..]));
        println!("{preset:?} {output_stride:?}: {first:.4} to {last:.4}");
        assert!(last < 0.5 * first, "{preset:?} {output_stride:?}: {losses:?}");
    }
}

#[test]
fn large_particles_have_coarse_heatmaps_unless_another_stride_is_asked_for() {
    let stride = |config: TrainConfig, radius: f64| config.network(2, radius).map(|network| network.output_stride());
    let of = |preset| TrainConfig { preset, ..TrainConfig::default() };
    assert_eq!([6.0, 5.99, 5.0].map(|radius| stride(of(Preset::Compact), radius)), [Some(4), Some(4), Some(2)]);
    assert_eq!([Preset::Fpn, Preset::ResNet34, Preset::VNet].map(|preset| stride(of(preset), 8.0)), [Some(4), Some(4), Some(1)]);
    assert_eq!(stride(TrainConfig { output_stride: Some(2), ..of(Preset::Compact) }, 8.0), Some(2));
    assert_eq!(stride(TrainConfig { detector: Detector::Segmentation, ..of(Preset::Compact) }, 8.0), Some(2));

    // It is the smallest class that counts.
    let (labelled, _) = ball_tomogram(1, [32, 32, 32], 5);
    let with_radii = |radii: [f64; 2]| {
        let class = |(index, radius): (usize, f64)| Class {
            id: ClassId(7 + index as u32),
            radius_angstrom: 10.0 * radius,
            ..classes().remove(0)
        };
        let classes = radii.into_iter().enumerate().map(class).collect();
        let trainer = Trainer::new(config(1), &TrainingSet { classes, tomograms: vec![labelled.clone()] }).unwrap();
        trainer.checkpoint().metadata.network.output_stride()
    };
    assert_eq!([with_radii([6.0, 12.0]), with_radii([RADIUS, 12.0])], [4, 2]);
}

#[test]
fn a_segmentation_finds_the_particles_with_either_loss_and_from_its_file() {
    let (labelled, _) = ball_tomogram(1, [40, 56, 56], 1);
    let (mut test, truth) = ball_tomogram(2, [41, 57, 55], 2);
    test.labels = TomogramLabels::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.model");
    for segmentation_loss in [SegmentationLoss::CrossEntropy, SegmentationLoss::Tversky] {
        let config = TrainConfig { detector: Detector::Segmentation, segmentation_loss, ..config(70) };
        let mut trainer = Trainer::new(config, &set(labelled.clone())).unwrap();
        let losses: Vec<f32> = (0..70).map(|_| trainer.step().unwrap().supervised).collect();
        assert!(losses[60..].iter().sum::<f32>() < 0.7 * losses[..10].iter().sum::<f32>(), "{losses:?}");
        assert!(trainer.choose_thresholds(|_| ControlFlow::Continue(())).unwrap());
        trainer.checkpoint().save(&path).unwrap();

        let device = crate::model::select(DeviceChoice::Cpu).unwrap().device;
        let loaded = crate::model::Checkpoint::load(&path, &device).unwrap();
        let picker = crate::pick::Picker { metadata: &loaded.metadata, network: &loaded.network, device: &device };
        let options =
            PredictOptions { windows: WindowLimits { edge: 48, voxels: 48 * 48 * 48, overlap: 12 }, ..PredictOptions::default() };
        let pick =
            |picker: &crate::pick::Picker<'_>| picker.pick(&test, &options, |_| ControlFlow::Continue(())).unwrap().unwrap();
        let picked = pick(&picker);
        assert_eq!(picked.picks, pick(&trainer.picker()).picks, "the file is the model");
        let heatmaps = picked.heatmaps.expect("asked for");
        assert!(heatmaps.classes.len() == 1 && heatmaps.classes[0].iter().all(|p| (0.0..=1.0).contains(p)));

        let found: Vec<_> = picked.picks.above_thresholds().map(|pick| pick.position).collect();
        let errors: Vec<[f64; 3]> = truth
            .iter()
            .filter_map(|t| {
                let nearest = found.iter().min_by(|a, b| distance(**a, *t).total_cmp(&distance(**b, *t)))?;
                (distance(*nearest, *t) <= 0.5 * RADIUS).then(|| std::array::from_fn(|axis| nearest[axis] - t[axis]))
            })
            .collect();
        let bias: [f64; 3] = std::array::from_fn(|axis| errors.iter().map(|e| e[axis]).sum::<f64>() / errors.len() as f64);
        println!(
            "{segmentation_loss:?}: {} found, {} right of {}, bias {bias:.3?} voxels",
            found.len(),
            errors.len(),
            truth.len()
        );
        assert!(errors.len() as f64 >= 0.85 * truth.len() as f64, "{} of {} found", errors.len(), truth.len());
        assert!(errors.len() as f64 >= 0.85 * found.len() as f64, "{} of {} right", errors.len(), found.len());
        assert!(bias.iter().all(|b| b.abs() < 0.25), "{bias:?}");
    }
}

#[test]
fn crops_drawn_ahead_are_those_drawn_on_demand_and_never_of_former_labels() {
    let shape = [32, 40, 40];
    let (labelled, centres) = ball_tomogram(1, shape, 3);
    let fewer = tomogram(1, labelled.source.clone(), 10.0, &centres[..1], true);
    let data = Arc::new(TrainingData::new(&set(labelled), None, None).unwrap());
    let settings = config(20);
    for threads in [1, 3] {
        let (mut ahead, mut on_demand) = (crops::Drawer::start(&settings, 2, threads), crops::Drawer::start(&settings, 2, 0));
        for step in 0..6 {
            let a = ahead.batch(&data, step, 20).unwrap();
            let b = on_demand.batch(&data, step, 20).unwrap();
            assert!(a.voxels == b.voxels && a.heatmap == b.heatmap && a.weight == b.weight, "step {step}");
        }
        // The labels change while the batches of the next steps are already drawn: all particles but one go.
        let changed = Arc::new(TrainingData::new(&set(fewer.clone()), None, Some(&data)).unwrap());
        for step in 6..12 {
            let a = ahead.batch(&changed, step, 20).unwrap();
            let b = on_demand.batch(&changed, step, 20).unwrap();
            assert!(a.voxels == b.voxels && a.heatmap == b.heatmap, "the former labels were taught in step {step}");
        }
    }
}

#[test]
fn a_step_follows_labels_that_change_during_the_run() {
    let (labelled, centres) = ball_tomogram(1, [32, 40, 40], 3);
    let fewer = set(tomogram(1, labelled.source.clone(), 10.0, &centres[..1], true));
    let mut trainer = Trainer::new(config(8), &set(labelled.clone())).unwrap();
    let mut other = Trainer::new(config(8), &set(labelled)).unwrap();
    for _ in 0..2 {
        assert_eq!(trainer.step().unwrap(), other.step().unwrap());
    }
    trainer.update(&fewer).unwrap();
    assert_ne!(trainer.step().unwrap(), other.step().unwrap());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (labelled, _) = ball_tomogram(1, [32, 40, 40], 3);
    let run = |seed| {
        let mut trainer = Trainer::new(TrainConfig { seed, ..config(3) }, &set(labelled.clone())).unwrap();
        [(); 3].map(|()| trainer.step().unwrap())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_volume_thinner_than_the_crop_trains() {
    let (labelled, _) = ball_tomogram(1, [20, 24, 40], 4);
    let mut trainer = Trainer::new(config(2), &set(labelled)).unwrap();
    assert!(trainer.step().unwrap().supervised.is_finite());
    assert!(trainer.choose_thresholds(|_| ControlFlow::Continue(())).unwrap());
}

#[test]
fn co_training_needs_something_unlabelled_and_reports_both_losses() {
    let (labelled, _) = ball_tomogram(1, [32, 40, 40], 8);
    let (mut other, _) = ball_tomogram(2, [32, 40, 40], 9);
    other.labels = TomogramLabels::default();
    let config = TrainConfig { cotrain_steps: 2, ..config(1) };
    let alone = Trainer::new(config.clone(), &set(labelled.clone())).unwrap();
    assert_eq!(alone.steps_planned(), 1, "a complete tomogram alone leaves nothing to co-train on");
    let both = TrainingSet { classes: classes(), tomograms: vec![labelled.clone(), other] };
    let mut trainer = Trainer::new(config.clone(), &both).unwrap();
    assert_eq!(trainer.steps_planned(), 3);
    let losses = [(); 3].map(|()| trainer.step().unwrap());
    assert_eq!(losses[0].consistency, None);
    assert!(losses[1..].iter().all(|loss| loss.consistency.is_some_and(|l| l.is_finite() && l > 0.0)), "{losses:?}");
    // The unlabelled rest of a labelled tomogram serves as well.
    let mut partly = labelled;
    partly.labels.regions.clear();
    assert_eq!(Trainer::new(config, &set(partly)).unwrap().steps_planned(), 3);
}

#[test]
fn a_supervised_run_and_a_mean_teacher_leave_out_what_they_are_named_for() {
    let (labelled, _) = ball_tomogram(1, [32, 40, 40], 8);
    let (mut other, _) = ball_tomogram(2, [32, 40, 40], 9);
    other.labels = TomogramLabels::default();
    let both = TrainingSet { classes: classes(), tomograms: vec![labelled, other] };
    let run = |config: TrainConfig| {
        let mut trainer = Trainer::new(TrainConfig { cotrain_steps: 2, ..config }, &both).unwrap();
        (0..trainer.steps_planned()).map(|_| trainer.step().unwrap()).collect::<Vec<_>>()
    };
    let supervised = run(TrainConfig { method: Method::Supervised, ..config(1) });
    assert_eq!(supervised.len(), 1);
    let plain = TrainConfig { method: Method::MeanTeacher, ..config(1) };
    let teacher = run(plain.clone());
    assert!(teacher[1].consistency.is_some() && teacher[1].difference.is_some_and(|d| d > 0.0));
    // Parts that only the full method has change nothing here, and with both off it is the same run.
    assert_eq!(teacher, run(TrainConfig { multi_view: false, drop_block: 0.5, ..plain }));
    assert_eq!(teacher, run(TrainConfig { multi_view: false, drop_block: 0.0, ..config(1) }));
    assert_ne!(teacher, run(TrainConfig { drop_block: 0.0, ..config(1) }), "four views teach otherwise than one");
    assert_ne!(teacher, run(TrainConfig { multi_view: false, ..config(1) }), "DropBlock hides something");
}

#[test]
fn a_resumed_run_continues_the_same_curve() {
    let (labelled, _) = ball_tomogram(1, [32, 40, 40], 8);
    let (mut other, _) = ball_tomogram(2, [32, 40, 40], 9);
    other.labels = TomogramLabels::default();
    let both = TrainingSet { classes: classes(), tomograms: vec![labelled, other] };
    let config = TrainConfig { cotrain_steps: 4, ramp: 2, ..config(3) };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("half.run");
    let mut whole = Trainer::new(config.clone(), &both).unwrap();
    let mut losses = Vec::new();
    for step in 0..7 {
        // In either stage.
        if step == 2 || step == 5 {
            whole.save_run(&file).unwrap();
            let mut again = Trainer::resume(&file, config.clone(), &both).unwrap();
            assert_eq!(again.steps_done(), step);
            losses = (step..7).map(|_| again.step().unwrap()).collect();
        }
        let loss = whole.step().unwrap();
        if let Some(expected) = (!losses.is_empty()).then(|| losses.remove(0)) {
            assert_eq!(loss, expected, "step {step}");
        }
    }
    let run = RunFile::read(&file).unwrap();
    assert_eq!((run.config, run.metadata.steps), (config.clone(), 5));

    // Neither kind of file passes for the other, and other classes are refused.
    let model = folder.path().join("a.model");
    whole.checkpoint().save(&model).unwrap();
    let refusal =
        |path: &std::path::Path, set: &TrainingSet| Trainer::resume(path, config.clone(), set).err().unwrap().to_string();
    assert!(refusal(&model, &both).contains("finished model"), "{}", refusal(&model, &both));
    let device = crate::model::select(DeviceChoice::Cpu).unwrap().device;
    assert!(crate::model::Checkpoint::load(&file, &device).unwrap_err().to_string().contains("--resume"));
    let mut renamed = both.clone();
    renamed.classes[0].name = "cube".to_owned();
    assert!(refusal(&file, &renamed).contains("other classes"));
    let bytes = std::fs::read(&file).unwrap();
    for length in (0..bytes.len()).step_by(bytes.len() / 50) {
        std::fs::write(&file, &bytes[..length]).unwrap();
        assert!(!refusal(&file, &both).is_empty());
    }
}

#[test]
fn thresholds_of_positions_alone_leave_room_for_particles_that_score_less() {
    let (complete, centres) = ball_tomogram(1, [32, 48, 48], 8);
    let sparse = tomogram(1, complete.source.clone(), 10.0, &centres, false);
    let mut trainer = Trainer::new(config(60), &set(sparse.clone())).unwrap();
    for _ in 0..60 {
        trainer.step().unwrap();
    }
    assert!(trainer.choose_thresholds(|_| ControlFlow::Continue(())).unwrap());
    let options = PredictOptions::default();
    let picked = trainer.picker().pick(&sparse, &options, |_| ControlFlow::Continue(())).unwrap().unwrap();
    let score = |centre: &[f64; 3]| {
        let near = picked.picks.picks.iter().filter(|pick| crate::geometry::distance(pick.position, *centre) <= 2.0);
        near.map(|pick| pick.score).fold(0.0, f32::max)
    };
    let mut scores: Vec<f32> = centres.iter().map(score).collect();
    scores.sort_by(f32::total_cmp);
    let median = scores[scores.len() / 2];
    let metadata = trainer.checkpoint().metadata;
    assert!(median > 0.3, "{scores:?}");
    assert!(metadata.thresholds[0] <= 0.81 * median, "{:?} of {scores:?}", metadata.thresholds);
    assert!(metadata.recall_thresholds[0] <= 0.51 * median, "{:?} of {scores:?}", metadata.recall_thresholds);
}

/// A tomogram of which one half is empty, complete in this and a quarter of the other, and the same without labels: the whole holds over
/// twice as many picks in as many voxels.
fn twice_as_dense_without_labels() -> TrainingSet {
    let shape = [40, 56, 112];
    let (full, centres) = balls([40, 56, 56], 1);
    let volume: Vec<f32> = full.chunks(56).flat_map(|row| row.iter().copied().chain([0.0; 56])).collect();
    let source = Arc::new(MemoryVolume::new(volume, shape, 10.0).unwrap());
    let mut labelled = tomogram(1, source, 10.0, &centres, true);
    labelled.labels.regions.values_mut().for_each(|region| region.voxels.start[2] = 42);
    let unlabelled = tomogram(2, labelled.source.clone(), 10.0, &[], false);
    TrainingSet { classes: classes(), tomograms: vec![labelled, unlabelled] }
}

/// Sixty steps.
fn trained(config: TrainConfig, set: &TrainingSet) -> Trainer {
    let mut trainer = Trainer::new(TrainConfig { steps: 60, ..config }, set).unwrap();
    for _ in 0..60 {
        trainer.step().unwrap();
    }
    trainer
}

#[test]
fn thresholds_are_carried_over_to_unlabelled_tomograms_with_every_method() {
    let set = twice_as_dense_without_labels();
    let thresholds = |method, carry_thresholds| {
        let mut trainer = trained(TrainConfig { method, cotrain_steps: 1, carry_thresholds, ..config(60) }, &set);
        assert!(trainer.choose_thresholds(|_| ControlFlow::Continue(())).unwrap());
        let metadata = trainer.checkpoint().metadata;
        (metadata.thresholds[0], metadata.recall_thresholds[0])
    };
    for method in [Method::Semi, Method::Supervised] {
        let (f1, f4) = thresholds(method, false);
        let (carried, carried_f4) = thresholds(method, true);
        assert!(carried > 1.01 * f1 && carried <= 2.0 * f1, "{method:?}: {f1} to {carried}");
        assert!((carried / f1 - carried_f4 / f4).abs() < 1e-3, "{method:?}: one factor for both");
    }
}

#[test]
fn choosing_thresholds_tells_how_far_it_is_and_keeps_what_it_has_when_it_is_ended() {
    let mut trainer = trained(TrainConfig { method: Method::Supervised, ..config(60) }, &twice_as_dense_without_labels());
    let mut chosen = |last: f32| {
        let mut heard = Vec::new();
        let is_chosen = trainer.choose_thresholds(|share| {
            heard.push(share);
            if share >= last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (is_chosen.unwrap(), trainer.checkpoint().metadata.thresholds[0], heard)
    };
    let (is_chosen, threshold, _) = chosen(0.0);
    assert_eq!((is_chosen, threshold), (false, 0.5), "ended before anything is known");
    let (is_chosen, labelled, _) = chosen(0.6);
    assert!(is_chosen && labelled != 0.5, "ended while unlabelled tomograms are counted: {labelled}");
    let (is_chosen, carried, heard) = chosen(2.0);
    assert!(is_chosen && carried > 1.01 * labelled, "{labelled} to {carried}");
    assert!(heard.windows(2).all(|pair| pair[0] <= pair[1]), "{heard:?}");
    assert!(heard.last().is_some_and(|share| *share > 0.99), "{heard:?}");
    // Half of the voxels are the labelled tomogram's.
    assert!(heard.iter().any(|share| (share - 0.5).abs() < 0.01), "{heard:?}");
}

#[test]
fn with_many_labels_thresholds_come_from_some_that_were_not_taught() {
    let (labelled, centres) = ball_tomogram(1, [64, 64, 64], 8);
    assert!(centres.len() >= 60, "{} balls", centres.len());
    let mut trainer = Trainer::new(config(60), &set(labelled.clone())).unwrap();
    let held = trainer.data().held_out_per_class()[0];
    assert!((8..=centres.len() / 3).contains(&held), "{held} of {}", centres.len());
    for _ in 0..60 {
        trainer.step().unwrap();
    }
    assert!(trainer.choose_thresholds(|_| ControlFlow::Continue(())).unwrap());
    let metadata = trainer.checkpoint().metadata;
    assert_eq!(metadata.held_out, [true]);
    assert!(metadata.recall_thresholds[0] <= metadata.thresholds[0], "recall wants no fewer picks");
    assert!(trainer.held_out_f1(|_| ControlFlow::Continue(())).unwrap().is_some_and(|f1| f1 > 0.5));

    let mut few = labelled;
    let whole = few.labels.regions.clone();
    few.labels.points.retain(|id, _| id.0 < 20);
    few.labels.regions = whole;
    let trainer = Trainer::new(config(1), &set(few)).unwrap();
    assert_eq!(trainer.data().held_out_per_class(), [0]);
    assert_eq!(trainer.held_out_f1(|_| ControlFlow::Continue(())).unwrap(), None);
}

#[test]
fn a_segmentation_has_a_live_view_and_no_co_training() {
    let (labelled, _) = ball_tomogram(1, [32, 40, 40], 6);
    let config = TrainConfig { detector: Detector::Segmentation, live_view_secs: Some(0.0), ..config(10_000) };
    let session = Session::start(|| {}).unwrap();
    session.send(Command::Focus { tomogram: TomogramId(1), position: [16, 20, 20] }).unwrap();
    session.send(Command::Train { config: config.clone(), set: set(labelled.clone()) }).unwrap();
    until(&session, "a live view", |event| matches!(event, Event::LiveView));
    let view = session.take_live_view().expect("there");
    assert_eq!(view.heatmap.channels.iter().map(|channel| channel.len()).collect::<Vec<_>>(), [16 * 20 * 20]);
    assert!(view.heatmap.channels[0].iter().any(|value| *value > 0));
    session.send(Command::Stop).unwrap();
    until(&session, "the end", |event| matches!(event, Event::Finished { stopped: true, .. }));

    let refused = Trainer::new(TrainConfig { cotrain_steps: 5, ..config }, &set(labelled)).err().expect("refused").to_string();
    assert!(refused.contains("labelled crops alone"), "{refused}");
}

#[test]
fn what_cannot_be_trained_on_is_said_with_its_remedy() {
    let (labelled, _) = ball_tomogram(1, [32, 32, 32], 5);
    let message = |config: TrainConfig, set: &TrainingSet| Trainer::new(config, set).err().expect("refused").to_string();
    assert!(message(config(1), &TrainingSet::default()).contains("no class"));
    let mut empty = labelled.clone();
    empty.labels = TomogramLabels::default();
    assert!(message(config(1), &set(empty)).contains("click at least a few particles"));
    let unknown = TrainingTomogram { spacing_angstrom: f64::NAN, ..labelled.clone() };
    assert!(message(config(1), &set(unknown)).contains("spacing of tomogram 1 is unknown"));
    assert!(message(TrainConfig { crop: 30, ..config(1) }, &set(labelled.clone())).contains("multiple of 8"));
    let refused = TrainConfig { preset: Preset::VNetCompact, output_stride: Some(2), ..config(1) };
    assert!(message(refused, &set(labelled.clone())).contains("output stride"));
    assert!(message(TrainConfig { output_stride: Some(3), ..config(1) }, &set(labelled.clone())).contains("output stride"));
    assert!(message(TrainConfig { steps: 0, ..config(1) }, &set(labelled)).contains("at least 1"));
}

fn until(session: &Session, what: &str, mut accept: impl FnMut(&Event) -> bool) -> Event {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut seen = Vec::new();
    while Instant::now() < deadline {
        if let Some(event) = session.wait_event(Duration::from_secs(5)).expect("the thread lives") {
            if accept(&event) {
                return event;
            }
            seen.push(event);
        }
    }
    panic!("{what} did not come; seen: {seen:?}");
}

#[test]
fn a_session_trains_pauses_takes_new_labels_stops_saves_and_picks() {
    let (labelled, centres) = ball_tomogram(1, [32, 40, 40], 6);
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("ball.model");
    let session = Session::start(|| {}).unwrap();
    session.send(Command::Focus { tomogram: TomogramId(1), position: [16, 20, 20] }).unwrap();
    let config = TrainConfig { live_view_secs: None, ..config(10_000) };
    session.send(Command::Train { config, set: set(labelled.clone()) }).unwrap();
    until(&session, "start", |event| matches!(event, Event::Started { device, .. } if device.starts_with("CPU")));
    until(&session, "three steps", |event| matches!(event, Event::Progress(progress) if progress.step == 3));
    assert!(session.take_live_view().is_none(), "nobody asked for it");
    session.send(Command::LiveViewEvery(Some(0.0))).unwrap();
    until(&session, "a live view", |event| matches!(event, Event::LiveView));
    let view = session.take_live_view().expect("there");
    assert_eq!(view.heatmap.tomogram, TomogramId(1));
    assert_eq!(view.heatmap.channels[0].len(), 16 * 20 * 20);

    session.send(Command::Pause).unwrap();
    until(&session, "the pause", |event| matches!(event, Event::Paused));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!session.events().any(|event| matches!(event, Event::Progress(_))), "paused means paused");

    let mut fewer = labelled.clone();
    fewer.labels.points.retain(|id, _| id.0 > 0);
    session.send(Command::UpdateSet(set(fewer))).unwrap();
    let mut none = labelled.clone();
    none.labels = TomogramLabels::default();
    session.send(Command::UpdateSet(set(none))).unwrap();
    until(&session, "the note", |event| matches!(event, Event::Note(text) if text.contains("former labels")));
    session.send(Command::Resume).unwrap();
    until(&session, "progress after the pause", |event| matches!(event, Event::Progress(_)));

    session.send(Command::Stop).unwrap();
    let end = until(&session, "the end", |event| matches!(event, Event::Finished { .. }));
    assert!(matches!(end, Event::Finished { stopped: true, .. }));
    session.send(Command::SaveModel(model.clone())).unwrap();
    until(&session, "the file", |event| matches!(event, Event::ModelSaved(path) if *path == model));

    session.send(Command::LoadModel { path: model, device: DeviceChoice::Cpu }).unwrap();
    let loaded = until(&session, "the model", |event| matches!(event, Event::ModelLoaded { .. }));
    assert!(
        matches!(loaded, Event::ModelLoaded { classes, spacing_angstrom, .. } if classes == self::classes() && spacing_angstrom == 10.0)
    );
    session.send(Command::Pick { tomograms: vec![labelled], flips: false }).unwrap();
    let picked = until(&session, "the picks", |event| matches!(event, Event::Picked(_)));
    assert!(matches!(picked, Event::Picked(set) if set.tomogram == TomogramId(1) && set.picks.len() <= 50 * centres.len()));
}

#[test]
fn without_a_model_picking_and_saving_fail_with_the_remedy() {
    let session = Session::start(|| {}).unwrap();
    session.send(Command::SaveModel("x.model".into())).unwrap();
    until(&session, "the refusal", |event| matches!(event, Event::Failed(text) if text.contains("train one or load one")));
    session.send(Command::Pick { tomograms: vec![], flips: false }).unwrap();
    until(&session, "the refusal", |event| matches!(event, Event::Failed(text) if text.contains("train one or load one")));
    session.send(Command::LoadModel { path: "/nowhere.model".into(), device: DeviceChoice::Cpu }).unwrap();
    until(&session, "the refusal", |event| matches!(event, Event::Failed(text) if text.contains("/nowhere.model")));
}

/// A volume whose disk goes away, or whose reader has a fault.
struct Treacherous {
    inner: MemoryVolume,
    gone: Arc<AtomicBool>,
    panics: bool,
}

impl VolumeSource for Treacherous {
    fn info(&self) -> &VolumeInfo {
        self.inner.info()
    }
    fn levels(&self) -> &[Level] {
        self.inner.levels()
    }
    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        if self.gone.load(Ordering::Relaxed) {
            assert!(!self.panics, "the reader has a fault");
            // Any refusal will do: a region outside the volume is one.
            return self.inner.read_region(99, region, out);
        }
        self.inner.read_region(level, region, out)
    }
}

#[test]
fn a_volume_that_fails_during_training_ends_the_run_and_not_the_session() {
    for panics in [false, true] {
        let (volume, centres) = balls([32, 32, 32], 7);
        let gone = Arc::new(AtomicBool::new(false));
        let inner = MemoryVolume::new(volume, [32, 32, 32], 10.0).unwrap();
        let source = Arc::new(Treacherous { inner, gone: gone.clone(), panics });
        let labelled = tomogram(1, source, 10.0, &centres, true);
        let session = Session::start(|| {}).unwrap();
        session.send(Command::Train { config: config(10_000), set: set(labelled.clone()) }).unwrap();
        until(&session, "a step", |event| matches!(event, Event::Progress(_)));
        gone.store(true, Ordering::Relaxed);
        until(
            &session,
            "the failure",
            |event| matches!(event, Event::Failed(text) if !panics || text.contains("Labels are safe")),
        );
        gone.store(false, Ordering::Relaxed);
        session.send(Command::Train { config: config(2), set: set(labelled) }).unwrap();
        until(&session, "the second run", |event| matches!(event, Event::Finished { stopped: false, steps: 2, .. }));
    }
}
