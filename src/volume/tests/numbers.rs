//! Statistics, normalisation, contrast and descriptions.

use super::super::{
    ContrastLimits, Description, HISTOGRAM_BINS, MemoryVolume, Normalisation, Statistics, VolumeError, VolumeSource, VoxelSample,
    describe, slabs,
};
use super::{MrcBytes, file, noise, open_bytes, voxels_of};
use crate::geometry::VoxelBox;

fn volume(data: Vec<f32>, shape: [usize; 3]) -> MemoryVolume {
    MemoryVolume::new(data, shape, 10.0).unwrap()
}

/// Mean and standard deviation by the definition.
fn plain(values: &[f32]) -> (f64, f64) {
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, square.sqrt())
}

#[test]
fn statistics_are_those_of_the_definition() {
    let mut data = noise(40 * 50 * 61, 1);
    // A large mean would lose the deviation to rounding if squares were summed as they are.
    data.iter_mut().for_each(|value| *value += 100_000.0);
    let (mean, std) = plain(&data);
    let finite = data.clone();
    data.extend([f32::NAN; 50 * 61 - 1]);
    data.push(f32::INFINITY);
    let statistics = Statistics::of(&volume(data, [41, 50, 61])).unwrap();
    assert!((statistics.mean - mean).abs() < 1e-9 * mean, "{} {mean}", statistics.mean);
    assert!((statistics.std - std).abs() < 1e-9 * std, "{} {std}", statistics.std);
    assert_eq!(statistics.min, finite.iter().copied().fold(f32::INFINITY, f32::min));
    assert_eq!(statistics.max, finite.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    assert_eq!(statistics.not_finite, 50 * 61);
}

#[test]
fn statistics_without_a_finite_voxel_are_nan() {
    let statistics = Statistics::of(&volume(vec![f32::NAN; 8], [2, 2, 2])).unwrap();
    assert!(statistics.min.is_nan() && statistics.mean.is_nan() && statistics.std.is_nan());
    assert_eq!(statistics.not_finite, 8);
}

#[test]
fn slabs_cover_each_voxel_once_and_in_order() {
    for shape in [[5, 4, 3], [1, 7, 2], [3, 1, 9]] {
        for voxels in [0, 1, 5, 12, 13, 25, 1000] {
            let covered: Vec<[usize; 3]> = slabs(shape, voxels).flat_map(voxels_of).collect();
            assert_eq!(covered, voxels_of(VoxelBox::whole(shape)).collect::<Vec<_>>(), "{shape:?} by {voxels}");
            assert!(slabs(shape, voxels).all(|slab| slab.voxels() <= voxels.max(shape[2])), "{shape:?} by {voxels}");
        }
    }
}

#[test]
fn normalisation_of_noise_is_its_mean_and_deviation() {
    let data: Vec<f32> = noise(30 * 60 * 70, 2).iter().map(|value| 5.0 + 3.0 * value).collect();
    let (mean, std) = plain(&data);
    let normalisation = Normalisation::of(&volume(data.clone(), [30, 60, 70])).unwrap();
    assert!((f64::from(normalisation.mean) - mean).abs() < 0.005 * std);
    assert!((f64::from(normalisation.deviation) / std - 1.0).abs() < 0.01, "{normalisation:?} {std}");
    let mut normalised = data;
    normalisation.apply(&mut normalised);
    let (mean, std) = plain(&normalised);
    assert!(mean.abs() < 0.005 && (std - 1.0).abs() < 0.01);
}

#[test]
fn a_few_hot_voxels_and_padding_do_not_change_the_normalisation() {
    let shape = [40, 60, 70];
    let plain_data = noise(40 * 60 * 70, 3);
    let expected = Normalisation::of(&volume(plain_data.clone(), shape)).unwrap();
    let mut hot = plain_data;
    hot.iter_mut().step_by(3001).for_each(|value| *value = 1e6);
    // Padding of zeros on every side, different in width.
    let padded_shape = [60, 90, 100];
    let mut padded = vec![0.0; 60 * 90 * 100];
    for (voxel, value) in voxels_of(VoxelBox::whole(shape)).zip(&hot) {
        padded[((voxel[0] + 5) * 90 + voxel[1] + 20) * 100 + voxel[2] + 13] = *value;
    }
    let found = Normalisation::of(&volume(padded, padded_shape)).unwrap();
    assert!((found.mean - expected.mean).abs() < 0.01, "{found:?} {expected:?}");
    assert!((found.deviation - expected.deviation).abs() < 0.01, "{found:?} {expected:?}");
}

#[test]
fn a_large_volume_is_sampled_evenly_and_sparsely() {
    // A gradient along z and y shows where samples come from; NaN in between are left out.
    let shape = [300, 250, 80];
    let mut data: Vec<f32> = voxels_of(VoxelBox::whole(shape)).map(|[z, y, _]| (z + 1000 * y) as f32).collect();
    data.iter_mut().step_by(997).for_each(|value| *value = f32::NAN);
    let finite: Vec<f32> = data.iter().copied().filter(|value| value.is_finite()).collect();
    let mut sample = VoxelSample::of(&volume(data, shape)).unwrap();
    assert!(sample.values().len() < 4_300_000 && sample.values().len() > 3_000_000, "{}", sample.values().len());
    assert!(sample.values().iter().all(|value| value.is_finite()));
    let (mean, std) = plain(&finite);
    let normalisation = sample.normalisation();
    assert!((f64::from(normalisation.mean) - mean).abs() < 0.01 * std, "{normalisation:?}, {mean} {std}");
    assert!((f64::from(normalisation.deviation) / std - 1.0).abs() < 0.01, "{normalisation:?}, {mean} {std}");
}

#[test]
fn deviation_and_contrast_are_usable_whatever_the_volume() {
    let sparse = |count: usize| {
        let mut data = vec![0.0; 4096];
        data[..count].fill(1.0);
        data
    };
    let cases = [vec![7.0; 4096], vec![f32::NAN; 4096], vec![-1e30; 4096], sparse(1), sparse(4095), sparse(2000)];
    for data in cases {
        let first = data[0];
        let mut sample = VoxelSample::of(&volume(data.clone(), [16, 16, 16])).unwrap();
        let normalisation = sample.normalisation();
        assert!(normalisation.deviation > 0.0 && normalisation.mean.is_finite(), "{first}: {normalisation:?}");
        let limits = sample.contrast_limits();
        assert!(limits.low < limits.high && limits.low.is_finite() && limits.high.is_finite(), "{first}: {limits:?}");
        assert!(limits.histogram.low <= limits.low && limits.histogram.high >= limits.high);
        assert_eq!(limits.histogram.counts.len(), HISTOGRAM_BINS);
    }
    assert_eq!(Normalisation::of(&volume(vec![7.0; 64], [4, 4, 4])).unwrap(), Normalisation { mean: 7.0, deviation: 1.0 });
}

#[test]
fn contrast_limits_leave_half_a_percent_out_at_either_end() {
    let data: Vec<f32> = (0..100_000).map(|index| ((index * 7919) % 100_000) as f32).collect();
    let limits = ContrastLimits::of(&volume(data, [10, 100, 100])).unwrap();
    assert!((limits.low - 500.0).abs() <= 1.0 && (limits.high - 99_499.0).abs() <= 1.0, "{limits:?}");
    // An even distribution fills the bins evenly, from the smallest value to the largest.
    assert_eq!((limits.histogram.low, limits.histogram.high), (0.0, 99_999.0));
    assert_eq!(limits.histogram.counts.iter().sum::<u32>(), 100_000);
    assert!(limits.histogram.counts.iter().all(|count| (380..400).contains(count)), "{:?}", limits.histogram.counts);
}

#[test]
fn the_histogram_stays_near_the_limits_when_a_few_voxels_lie_far_out() {
    let mut data = noise(64_000, 4);
    data[0] = 1e9;
    let limits = ContrastLimits::of(&volume(data, [40, 40, 40])).unwrap();
    assert!(limits.histogram.high < 12.0 && limits.histogram.counts.iter().filter(|count| **count > 50).count() > 100);
}

#[test]
fn a_description_has_exactly_the_promised_fields() {
    let mut mrc = MrcBytes::new(2, [4, 3, 2]);
    mrc.values[23] = f32::NAN;
    let (_folder, path) = file(&mrc.bytes());
    let description = describe(&path, &[[0, 0, 1], [1, 2, 3]]).unwrap();
    let json = serde_json::to_value(&description).unwrap();
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let promised = ["data_type", "max", "mean", "min", "shape", "spacing_angstrom", "std", "values", "warnings"];
    let further = ["facts", "levels", "not_finite"];
    assert_eq!(keys, {
        let mut all = [&promised[..], &further].concat();
        all.sort_unstable();
        all
    });
    assert_eq!(json["facts"][0], serde_json::json!({"name": "form", "value": "MRC, mode 2 (float32)"}));
    assert_eq!(json["levels"], serde_json::json!([{"shape": [2, 3, 4], "factor": [1.0, 1.0, 1.0]}]));
    assert_eq!(json["not_finite"], 1);
    assert_eq!(json["shape"], serde_json::json!([2, 3, 4]));
    assert_eq!(json["values"][0], serde_json::json!({"voxel": [0, 0, 1], "value": mrc.value([0, 0, 1])}));
    assert_eq!(description.values[1].value, description.mean as f32);
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
    assert!(description.warnings[0].starts_with("1 voxel is not finite"));
    let text = description.to_string();
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["4 x 3 x 2 voxels", "10 angstrom", "float32", "voxel z 0, y 0, x 1", "warning 1 voxel", "byte order little-endian"]
    {
        assert!(words.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_description_of_nothing_but_nan_has_null_statistics() {
    let source = open_bytes(&MrcBytes { values: vec![f32::NAN; 24], ..MrcBytes::new(2, [4, 3, 2]) }.bytes()).unwrap();
    let description = Description::of(source.as_ref(), &[]).unwrap();
    assert!(serde_json::to_value(&description).unwrap()["min"].is_null());
    assert!(description.warnings[0].contains("no voxel is finite"));
}

#[test]
fn a_voxel_outside_cannot_be_described() {
    let (_folder, path) = file(&MrcBytes::new(1, [4, 3, 2]).bytes());
    assert!(describe(&path, &[[1, 2, 3]]).is_ok());
    for voxel in [[2, 0, 0], [0, 3, 0], [0, 0, 4], [usize::MAX; 3]] {
        assert!(matches!(describe(&path, &[voxel]), Err(VolumeError::Voxel { .. })), "{voxel:?}");
    }
}

#[test]
fn the_same_statistics_come_whatever_the_number_of_threads() {
    let source = volume(noise(50 * 70 * 90, 5), [50, 70, 90]);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Statistics::of(&source).unwrap())
    };
    assert_eq!(on(1), on(3));
    assert_eq!(source.info().shape, [50, 70, 90]);
}
