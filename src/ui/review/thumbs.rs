//! Sections through picks for the gallery: read on a thread of their own, the latest wishes first, and a bounded number kept.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use egui::{ColorImage, TextureHandle, TextureOptions};

use crate::geometry::VoxelBox;
use crate::labels::TomogramId;
use crate::render::{Plane, level_for};
use crate::volume::{VolumeError, VolumeSource};

#[cfg(test)]
mod tests;

/// Widest section in texels; a coarser level of detail, or blocks of voxels, serve where it would be wider.
const MOST_TEXELS: usize = 96;
/// Sections that are kept.
const MOST_KEPT: usize = 512;
/// Textures made in one frame at most, so that a frame stays short.
const PER_FRAME: usize = 32;

/// Names a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThumbKey {
    /// The cache that asks: another project's tomograms have the same identities.
    pub cache: u64,
    /// The tomogram.
    pub tomogram: TomogramId,
    /// The voxel in its middle, `(z, y, x)`.
    pub centre: [i64; 3],
    /// Voxels on either side of the middle.
    pub half: usize,
    /// Slices averaged.
    pub slab: usize,
}

/// A section to be read.
#[derive(Clone)]
pub struct Wanted {
    /// Which.
    pub key: ThumbKey,
    /// The tomogram's voxels.
    pub source: Arc<dyn VolumeSource>,
}

/// Two sections through one place, row by row; what lies outside the tomogram is NaN.
#[derive(Clone, Debug)]
pub struct Thumb {
    /// Width and height in texels.
    pub side: usize,
    /// The section in XY.
    pub xy: Vec<f32>,
    /// The section in XZ.
    pub xz: Vec<f32>,
}

#[derive(Default)]
struct Shared {
    wanted: Vec<Wanted>,
    busy: Option<ThumbKey>,
    done: Vec<(ThumbKey, Result<Thumb, VolumeError>)>,
    quit: bool,
}

/// The thread's handle. Dropping it ends the thread after the section at hand.
pub struct ThumbLoader {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

fn lock(mutex: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ThumbLoader {
    /// Starts the thread; `wake` is called from it when a section has been read.
    ///
    /// # Errors
    /// When the operating system refuses the thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new((Mutex::new(Shared::default()), Condvar::new()));
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new().name("gallery sections".to_owned()).spawn(move || {
            let (mutex, changed) = &*for_thread;
            loop {
                let wanted = {
                    let mut guard = lock(mutex);
                    loop {
                        if guard.quit {
                            return;
                        }
                        if !guard.wanted.is_empty() {
                            let wanted = guard.wanted.remove(0);
                            guard.busy = Some(wanted.key);
                            break wanted;
                        }
                        guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                    }
                };
                let thumb = read_thumb(wanted.source.as_ref(), &wanted.key);
                let mut guard = lock(mutex);
                guard.busy = None;
                guard.done.push((wanted.key, thumb));
                drop(guard);
                wake();
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Says what is wanted now, in this order; what was wanted before and is not any more is never read.
    pub fn want(&self, mut wanted: Vec<Wanted>) {
        let (mutex, changed) = &*self.shared;
        let mut guard = lock(mutex);
        let busy = guard.busy;
        wanted.retain(|one| Some(one.key) != busy && guard.done.iter().all(|(key, _)| *key != one.key));
        guard.wanted = wanted;
        drop(guard);
        changed.notify_one();
    }

    /// What has been read since the last call.
    pub fn take(&self) -> Vec<(ThumbKey, Result<Thumb, VolumeError>)> {
        std::mem::take(&mut lock(&self.shared.0).done)
    }
}

impl Drop for ThumbLoader {
    fn drop(&mut self) {
        let (mutex, changed) = &*self.shared;
        lock(mutex).quit = true;
        changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread for gallery sections panicked");
        }
    }
}

/// Reads both sections through a place.
fn read_thumb(source: &dyn VolumeSource, key: &ThumbKey) -> Result<Thumb, VolumeError> {
    let width = 2 * key.half + 1;
    let levels = source.levels();
    let level = level_for(levels, Plane::Xy, width as f64 / MOST_TEXELS as f64);
    let level_info = levels.get(level).copied().unwrap_or_else(|| crate::volume::Level::full(source.info().shape));
    // A coarse level has larger voxels along x and y alike; along z it may not.
    let centre: [i64; 3] = std::array::from_fn(|axis| ((key.centre[axis] as f64 + 0.5) / level_info.factor[axis]).floor() as i64);
    let half: [i64; 3] = std::array::from_fn(|axis| (key.half as f64 / level_info.factor[axis]).round().max(1.0) as i64);
    let slab: [i64; 3] = std::array::from_fn(|axis| (key.slab as f64 / 2.0 / level_info.factor[axis]).floor() as i64);
    let section = |plane: Plane| {
        let (across, down, deep) = (plane.horizontal(), plane.vertical(), plane.depth());
        let size = [2 * half[across] + 1, 2 * half[down] + 1];
        let mut values = vec![f32::NAN; (size[0] * size[1]) as usize];
        let mut start = [0; 3];
        let mut end = [0; 3];
        for axis in 0..3 {
            let reach = if axis == deep { slab[axis] } else { half[axis] };
            let limit = level_info.shape[axis] as i64;
            start[axis] = (centre[axis] - reach).clamp(0, limit) as usize;
            end[axis] = (centre[axis] + reach + 1).clamp(0, limit) as usize;
        }
        let region = VoxelBox::new(start, end);
        if !region.is_empty() {
            let mut voxels = vec![0.0; region.voxels()];
            source.read_region(level, region, &mut voxels)?;
            let shape = region.shape();
            let stride = [shape[1] * shape[2], shape[2], 1];
            for row in 0..shape[down] {
                for column in 0..shape[across] {
                    let first = row * stride[down] + column * stride[across];
                    let sum: f32 = (0..shape[deep]).map(|slice| voxels[first + slice * stride[deep]]).sum();
                    let x = start[across] as i64 + column as i64 - (centre[across] - half[across]);
                    let y = start[down] as i64 + row as i64 - (centre[down] - half[down]);
                    values[(y * size[0] + x) as usize] = sum / shape[deep] as f32;
                }
            }
        }
        Ok::<_, VolumeError>((size.map(|n| n as usize), values))
    };
    let (xy_size, xy) = section(Plane::Xy)?;
    let (xz_size, xz) = section(Plane::Xz)?;
    let side = xy_size[0].min(MOST_TEXELS);
    Ok(Thumb { side, xy: fit(xy_size, &xy, side), xz: fit(xz_size, &xz, side) })
}

/// The mean of the values that fall on each of `side` by `side` texels; where there are fewer values than texels, the nearest.
fn fit(size: [usize; 2], values: &[f32], side: usize) -> Vec<f32> {
    if size == [side, side] {
        return values.to_vec();
    }
    let range = |texel: usize, length: usize| {
        let from = texel * length / side;
        from..((texel + 1) * length / side).clamp(from + 1, length.max(from + 1)).min(length)
    };
    let mut out = Vec::with_capacity(side * side);
    for row in 0..side {
        for column in 0..side {
            let rows = range(row, size[1]);
            let columns = range(column, size[0]);
            let (mut sum, mut count) = (0.0, 0);
            for value in rows.flat_map(|y| &values[y * size[0] + columns.start..y * size[0] + columns.end]) {
                sum += value;
                count += 1;
            }
            out.push(sum / count as f32);
        }
    }
    out
}

/// How a section is made grey.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grey {
    /// Values shown black and white.
    pub contrast: [f32; 2],
    /// Dark for bright.
    pub invert: bool,
    /// Interpolate between voxels.
    pub smooth: bool,
}

struct Cached {
    thumb: Thumb,
    texture: Option<(Grey, TextureHandle)>,
    used: u64,
}

/// Sections that have been read, and their textures.
pub struct ThumbCache {
    serial: u64,
    kept: HashMap<ThumbKey, Cached>,
    failed: HashSet<ThumbKey>,
    frame: u64,
    made: usize,
    /// What the gallery showed in this frame and does not have.
    missing: Vec<ThumbKey>,
}

/// What the gallery can show of a section.
pub enum Shown {
    /// A texture with XY on the left and XZ on the right.
    Texture(TextureHandle),
    /// It is on its way.
    Waiting,
    /// It cannot be read.
    Failed,
}

impl Default for ThumbCache {
    fn default() -> Self {
        Self::new()
    }
}

impl ThumbCache {
    /// An empty cache.
    pub fn new() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            kept: HashMap::new(),
            failed: HashSet::new(),
            frame: 0,
            made: 0,
            missing: Vec::new(),
        }
    }

    /// Different for every cache.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Sections that could not be read are asked for again.
    pub fn retry(&mut self) {
        self.failed.clear();
    }

    /// A new frame begins.
    pub fn begin_frame(&mut self) {
        self.frame += 1;
        self.made = 0;
        self.missing.clear();
    }

    /// Takes in what has been read; the first failure is given back, to be said.
    pub fn take_in(&mut self, read: Vec<(ThumbKey, Result<Thumb, VolumeError>)>) -> Option<VolumeError> {
        let mut failure = None;
        for (key, thumb) in read.into_iter().filter(|(key, _)| key.cache == self.serial) {
            match thumb {
                Ok(thumb) => {
                    self.kept.insert(key, Cached { thumb, texture: None, used: self.frame });
                }
                Err(error) => {
                    if self.failed.is_empty() {
                        failure = Some(error);
                    }
                    self.failed.insert(key);
                }
            }
        }
        if self.kept.len() > MOST_KEPT {
            let mut ages: Vec<u64> = self.kept.values().map(|cached| cached.used).collect();
            ages.sort_unstable();
            let limit = ages[self.kept.len() - MOST_KEPT];
            self.kept.retain(|_, cached| cached.used >= limit);
        }
        failure
    }

    /// The texture of a section; one that is missing is asked for.
    pub fn get(&mut self, ctx: &egui::Context, key: ThumbKey, grey: Grey) -> Shown {
        if self.failed.contains(&key) {
            return Shown::Failed;
        }
        let Some(cached) = self.kept.get_mut(&key) else {
            self.missing.push(key);
            return Shown::Waiting;
        };
        cached.used = self.frame;
        match &cached.texture {
            Some((made_for, texture)) if *made_for == grey => Shown::Texture(texture.clone()),
            old => {
                if self.made >= PER_FRAME {
                    ctx.request_repaint();
                    return old.as_ref().map_or(Shown::Waiting, |(_, texture)| Shown::Texture(texture.clone()));
                }
                self.made += 1;
                let options = if grey.smooth { TextureOptions::LINEAR } else { TextureOptions::NEAREST };
                let texture = ctx.load_texture("section", image(&cached.thumb, grey), options);
                cached.texture = Some((grey, texture.clone()));
                Shown::Texture(texture)
            }
        }
    }

    /// What the gallery showed in this frame and does not have.
    pub fn missing(&self) -> &[ThumbKey] {
        &self.missing
    }

    /// Number of sections that are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Both sections side by side.
fn image(thumb: &Thumb, grey: Grey) -> ColorImage {
    let [low, high] = grey.contrast;
    let scale = 255.0 / if (high - low).abs() > f32::EPSILON { high - low } else { 1.0 };
    let mut pixels = Vec::with_capacity(8 * thumb.side * thumb.side);
    let mut add = |value: &f32| {
        // What lies outside the tomogram stays clear.
        let level = ((value - low) * scale).clamp(0.0, 255.0) as u8;
        let level = if grey.invert { 255 - level } else { level };
        pixels.extend(if value.is_finite() { [level, level, level, 255] } else { [0; 4] });
    };
    for row in 0..thumb.side {
        let range = row * thumb.side..(row + 1) * thumb.side;
        thumb.xy[range.clone()].iter().for_each(&mut add);
        thumb.xz[range].iter().for_each(&mut add);
    }
    ColorImage::from_rgba_premultiplied([2 * thumb.side, thumb.side], &pixels)
}
