//! A picture of a slice with its picks, for those without a window.

use std::path::Path;

use anyhow::Context as _;
use image::{Rgb, RgbImage};

use crate::geometry::VoxelBox;
use crate::labels::Class;
use crate::train::{Pick, TrainingTomogram};
use crate::volume::ContrastLimits;

/// Pixels per voxel.
const ZOOM: u32 = 4;

/// Writes the slice `z` with the circle in which it cuts each pick's sphere.
pub(super) fn write_slice(
    path: &Path,
    tomogram: &TrainingTomogram,
    z: usize,
    classes: &[Class],
    picks: &[Pick],
) -> anyhow::Result<()> {
    let [_, height, width] = tomogram.source.info().shape;
    let mut slice = vec![0.0; height * width];
    tomogram.source.read_region(0, VoxelBox::new([z, 0, 0], [z + 1, height, width]), &mut slice)?;
    let limits = ContrastLimits::of(tomogram.source.as_ref())?;
    let (low, high) = (limits.low, limits.high.max(limits.low + f32::EPSILON));
    let mut picture = RgbImage::from_fn(width as u32 * ZOOM, height as u32 * ZOOM, |x, y| {
        let value = slice[(y / ZOOM) as usize * width + (x / ZOOM) as usize];
        let grey = ((value - low) / (high - low) * 255.0).clamp(0.0, 255.0) as u8;
        Rgb([grey; 3])
    });
    for pick in picks {
        let class = &classes[pick.class];
        let radius = class.radius_angstrom / tomogram.spacing_angstrom;
        let section = radius * radius - (pick.position[0] - z as f64).powi(2);
        if section > 0.0 {
            circle(&mut picture, [pick.position[1], pick.position[2]], section.sqrt(), class.colour);
        }
    }
    picture.save(path).with_context(|| format!("cannot write the picture {}", path.display()))
}

/// A ring of two pixels round `(y, x)`, both in voxels.
fn circle(picture: &mut RgbImage, [y, x]: [f64; 2], radius: f64, colour: [u8; 3]) {
    let zoom = f64::from(ZOOM);
    // A voxel's centre is half a voxel from its first pixel.
    let (cx, cy, r) = ((x + 0.5) * zoom, (y + 0.5) * zoom, radius * zoom);
    let range =
        |centre: f64, size: u32| ((centre - r - 2.0).max(0.0) as u32)..((centre + r + 3.0).clamp(0.0, f64::from(size)) as u32);
    for py in range(cy, picture.height()) {
        for px in range(cx, picture.width()) {
            let distance = (f64::from(px) + 0.5 - cx).hypot(f64::from(py) + 0.5 - cy);
            if (distance - r).abs() <= 1.0 {
                picture.put_pixel(px, py, Rgb(colour));
            }
        }
    }
}
