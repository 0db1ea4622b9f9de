//! What several benchmarks work on.
#![allow(dead_code, reason = "each benchmark uses its part")]

use std::sync::Arc;

use semietpicker::labels::{Class, ClassId, ItemId, Point, PointKind, Region, TomogramId, TomogramLabels};
use semietpicker::train::{DeviceChoice, TrainConfig, TrainingSet, TrainingTomogram};
use semietpicker::volume::MemoryVolume;

/// Edge of a voxel of the volumes here, in angstrom.
pub const SPACING: f64 = 10.0;

/// Repeatable noise of about zero mean and unit deviation.
pub fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..len)
        .map(|_| {
            let mut sum = 0.0;
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                sum += (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
            }
            sum
        })
        .collect()
}

/// A tomogram of noise without labels.
pub fn tomogram(shape: [usize; 3]) -> TrainingTomogram {
    let volume = MemoryVolume::new(noise(shape.iter().product()), shape, SPACING).expect("as many voxels as the shape says");
    TrainingTomogram {
        id: TomogramId(0),
        name: "noise".to_owned(),
        source: Arc::new(volume),
        spacing_angstrom: SPACING,
        labels: TomogramLabels::default(),
    }
}

/// Six classes of the usual sizes.
pub fn classes() -> Vec<Class> {
    let radii = [60.0, 90.0, 75.0, 150.0, 130.0, 135.0];
    (0u32..)
        .zip(radii)
        .map(|(i, radius_angstrom)| Class { id: ClassId(i), name: format!("class-{i}"), radius_angstrom, colour: [200, 100, 50] })
        .collect()
}

/// A completely labelled tomogram with particles of six classes.
pub fn training_set(shape: [usize; 3]) -> TrainingSet {
    let mut tomogram = tomogram(shape);
    let classes = classes();
    for i in 0..60u64 {
        let position = std::array::from_fn(|axis| ((i * [31, 57, 97][axis]) % shape[axis] as u64) as f64);
        let id = ItemId(i);
        let kind = PointKind::Particle(classes[i as usize % classes.len()].id);
        tomogram.labels.points.insert(id, Point { id, position, kind });
    }
    let id = ItemId(1000);
    tomogram.labels.regions.insert(id, Region { id, voxels: semietpicker::geometry::VoxelBox::whole(shape) });
    TrainingSet { classes, tomograms: vec![tomogram] }
}

/// Settings of a run on the CPU.
pub fn config(crop: usize, batch: usize, steps: usize) -> TrainConfig {
    TrainConfig { crop, batch, steps, device: DeviceChoice::Cpu, live_view_secs: None, ..TrainConfig::default() }
}
