//! MRC volumes, mapped into memory: opening reads the header alone, and a region costs the pages that it touches.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::mapped::MappedFile;
use super::mrc_header::Header;
use super::voxel::{ByteOrder, Voxel, decode};
use super::{Level, VolumeError, VolumeInfo, VolumeSource, any_not_finite, check_region, replace_not_finite};
use crate::geometry::VoxelBox;

/// Below this many voxels a region is read on the calling thread.
const PARALLEL_VOXELS: usize = 1 << 18;
/// Voxels that one parallel task reads, at least.
const TASK_VOXELS: usize = 1 << 16;
/// Voxels held at a time when the file's axes are not in the usual order.
const BLOCK_VOXELS: usize = 16 << 20;
/// Voxels looked at for the mean that replaces NaN.
const MEAN_VOXELS: u64 = 1 << 20;

/// An open MRC file.
pub(super) struct MrcVolume {
    info: VolumeInfo,
    levels: [Level; 1],
    header: Header,
    file: MappedFile,
    data_start: usize,
    row_bytes: usize,
    /// Bytes of the file that one batch of a read touches, unless a section has more.
    batch_bytes: usize,
    /// Voxels that one batch holds when the file's axes are not in the usual order, unless a section has more.
    batch_voxels: usize,
    finite_mean: OnceLock<f32>,
}

impl MrcVolume {
    /// Maps `file`, which holds plain MRC data. `path` is what messages and [`VolumeInfo`] name: for a compressed volume it
    /// is not the file that is mapped.
    pub(super) fn open(file: File, mut header: Header, path: &Path) -> Result<Self, VolumeError> {
        let read = |source| VolumeError::Read { path: path.to_path_buf(), source };
        let length = file.metadata().map_err(read)?.len();
        let data_start = header.data_start(length, path)?;
        let too_large = || VolumeError::TooLarge { length, path: path.to_path_buf() };
        let shape = header.shape().ok_or_else(too_large)?;
        // From here on every offset into the data is below `length`, which fits.
        usize::try_from(length).map_err(|_| too_large())?;
        let file = MappedFile::new(file).map_err(read)?;
        Ok(Self {
            info: VolumeInfo {
                path: path.to_path_buf(),
                shape,
                spacing_angstrom: header.spacing_angstrom,
                data_type: header.voxel.data_type().to_owned(),
                warnings: std::mem::take(&mut header.warnings),
                facts: std::mem::take(&mut header.facts),
            },
            levels: [Level::full(shape)],
            data_start: data_start as usize,
            row_bytes: header.row_bytes() as usize,
            batch_bytes: MappedFile::bytes_at_once(),
            batch_voxels: BLOCK_VOXELS,
            header,
            file,
            finite_mean: OnceLock::new(),
        })
    }

    /// An error when the file is no longer as long as the map.
    fn check_length(&self) -> Result<(), VolumeError> {
        let path = || self.info.path.clone();
        let whole = self.file.is_whole().map_err(|source| VolumeError::Read { path: path(), source })?;
        if whole { Ok(()) } else { Err(VolumeError::Shrunk { path: path() }) }
    }

    /// Where a row of the file begins.
    fn row_start(&self, section: usize, row: usize) -> usize {
        self.data_start + (section * self.header.counts[1] as usize + row) * self.row_bytes
    }

    /// Converts `columns` of one row of the file.
    fn read_row(&self, section: usize, row: usize, columns: Range<usize>, out: &mut [f32]) {
        let start = self.row_start(section, row);
        decode(self.header.voxel, self.header.order, &self.file[start..start + self.row_bytes], columns, out);
    }

    /// Reads a checked region, a batch of the file's sections at a time; returns whether voxels may be NaN or infinite.
    fn read(&self, region: VoxelBox, out: &mut [f32]) -> Result<bool, VolumeError> {
        if out.is_empty() {
            return Ok(false);
        }
        let [sections, rows, columns] = self.header.axes.map(|axis| region.start[axis]..region.end[axis]);
        let in_order = self.header.axes == [0, 1, 2];
        if in_order && columns.len() as u64 == self.header.counts[2] {
            return self.read_whole_rows(sections, rows, out);
        }
        let section_voxels = rows.len() * columns.len();
        let section_bytes = rows.len() * self.row_bytes;
        let mut at_once = (self.batch_bytes / section_bytes).max(1);
        if !in_order {
            at_once = at_once.min(self.batch_voxels / section_voxels).max(1);
        }
        let mut block = Vec::new();
        for start in sections.clone().step_by(at_once) {
            let batch = start..(start + at_once).min(sections.end);
            self.check_length()?;
            self.prefetch(&batch, &rows);
            let read = |index: usize, values: &mut [f32]| {
                self.read_row(batch.start + index / rows.len(), rows.start + index % rows.len(), columns.clone(), values);
            };
            if in_order {
                let first = (batch.start - sections.start) * section_voxels;
                for_rows(columns.len(), &mut out[first..first + batch.len() * section_voxels], read);
            } else {
                // Reading in the file's order and turning the block afterwards touches every page once.
                block.resize(batch.len() * section_voxels, 0.0);
                for_rows(columns.len(), &mut block, read);
                let starts = [batch.start, rows.start, columns.start];
                self.turn(&block, starts, [batch.len(), rows.len(), columns.len()], region, out);
            }
            let without_gaps = batch.len() == 1 || rows.len() as u64 == self.header.counts[1];
            if without_gaps && 2 * columns.len() as u64 >= self.header.counts[2] {
                self.file.has_read(self.row_start(batch.start, rows.start)..self.row_start(batch.end - 1, rows.end));
            } else {
                self.file.has_touched(batch.len(), section_bytes);
            }
        }
        Ok(self.header.voxel.is_float())
    }

    /// Reads whole rows that are in the usual order, in pieces that a processor's cache holds, past the map.
    fn read_whole_rows(&self, sections: Range<usize>, rows: Range<usize>, out: &mut [f32]) -> Result<bool, VolumeError> {
        self.check_length()?;
        self.prefetch(&sections, &rows);
        let columns = self.header.counts[2] as usize;
        let failed = |source: io::Error| {
            let path = self.info.path.clone();
            if source.kind() == ErrorKind::UnexpectedEof {
                VolumeError::Shrunk { path }
            } else {
                VolumeError::Read { path, source }
            }
        };
        // Rows that follow one another in the file, counted over sections when these are whole.
        let run = if rows.len() as u64 == self.header.counts[1] { sections.len() * rows.len() } else { rows.len() };
        let piece = (TASK_VOXELS / columns).clamp(1, run);
        let as_stored = self.header.voxel == Voxel::Float32 && self.header.order == ByteOrder::NATIVE;
        let read = |(index, values): (usize, &mut [f32])| {
            // The runs are cut into pieces each for itself.
            let pieces = run.div_ceil(piece);
            let start = self.row_start(sections.start + index / pieces, rows.start) + index % pieces * piece * self.row_bytes;
            if as_stored {
                self.file.read_to(start, bytemuck::cast_slice_mut(values)).map_err(failed)?;
                // Looked at while the cache still holds them, and so below.
                return Ok(any_not_finite(values));
            }
            let length = values.len() / columns * self.row_bytes;
            let decode_rows = |bytes: &[u8]| {
                for (values, bytes) in values.chunks_exact_mut(columns).zip(bytes.chunks_exact(self.row_bytes)) {
                    decode(self.header.voxel, self.header.order, bytes, 0..columns, values);
                }
                self.header.voxel.is_float() && any_not_finite(values)
            };
            self.file.read(start, length, decode_rows).map_err(failed)
        };
        let pieces = out.chunks_mut(run * columns).flat_map(|run| run.chunks_mut(piece * columns)).enumerate();
        if sections.len() * rows.len() * columns < PARALLEL_VOXELS {
            return pieces.into_iter().try_fold(false, |found, piece| Ok(found | read(piece)?));
        }
        pieces.collect::<Vec<_>>().into_par_iter().map(read).try_reduce(|| false, |a, b| Ok(a | b))
    }

    /// Announces a read of `rows` in `sections` of the file.
    fn prefetch(&self, sections: &Range<usize>, rows: &Range<usize>) {
        if rows.len() as u64 == self.header.counts[1] {
            self.file.prefetch(self.row_start(sections.start, 0)..self.row_start(sections.end, 0));
        } else {
            for section in sections.clone() {
                self.file.prefetch(self.row_start(section, rows.start)..self.row_start(section, rows.end));
            }
        }
    }

    /// Copies `block`, `lengths` sections, rows and columns of the file from `starts`, to its place in `out`, which holds
    /// `region`.
    fn turn(&self, block: &[f32], starts: [usize; 3], lengths: [usize; 3], region: VoxelBox, out: &mut [f32]) {
        // First voxel, extent and stride of the block along z, y and x.
        let (mut start, mut length, mut stride) = ([0; 3], [0; 3], [0; 3]);
        let steps = [lengths[1] * lengths[2], lengths[2], 1];
        for (place, axis) in self.header.axes.into_iter().enumerate() {
            (start[axis], length[axis], stride[axis]) = (starts[place], lengths[place], steps[place]);
        }
        let [_, rows, columns] = region.shape();
        for_rows(columns, out, |index, row| {
            let position = [region.start[0] + index / rows, region.start[1] + index % rows];
            if (0..2).any(|axis| !(start[axis]..start[axis] + length[axis]).contains(&position[axis])) {
                return;
            }
            let first = (position[0] - start[0]) * stride[0] + (position[1] - start[1]) * stride[1];
            let offset = start[2] - region.start[2];
            for (x, value) in row[offset..offset + length[2]].iter_mut().enumerate() {
                *value = block[first + x * stride[2]];
            }
        });
    }

    /// The mean of the finite voxels, from rows spread evenly over the file, or from all when those have none.
    ///
    /// It runs on the calling thread alone: were its work shared out, a thread waiting for it could take up another read of
    /// this volume, which waits for the same value.
    fn finite_mean(&self) -> f32 {
        *self.finite_mean.get_or_init(|| {
            let [sections, rows, columns] = self.header.counts;
            let all = sections * rows;
            let sampled = (MEAN_VOXELS / columns).clamp(1, all);
            let mean =
                self.mean_of_rows((0..sampled).map(|k| ((2 * k + 1) as u128 * all as u128 / (2 * sampled) as u128) as u64));
            mean.or_else(|| if sampled < all { self.mean_of_rows(0..all) } else { None }).unwrap_or(0.0) as f32
        })
    }

    fn mean_of_rows(&self, indices: impl Iterator<Item = u64>) -> Option<f64> {
        let (rows, columns) = (self.header.counts[1], self.header.counts[2] as usize);
        let mut row = vec![0.0; columns];
        let (mut count, mut sum) = (0_u64, 0.0_f64);
        for index in indices {
            self.read_row((index / rows) as usize, (index % rows) as usize, 0..columns, &mut row);
            for value in row.iter().filter(|value| value.is_finite()) {
                count += 1;
                sum += f64::from(*value);
            }
        }
        (count > 0).then(|| sum / count as f64)
    }
}

impl VolumeSource for MrcVolume {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        check_region(&self.levels, level, region, out.len(), &self.info.path)?;
        if self.read(region, out)? {
            replace_not_finite(out, || self.finite_mean());
        }
        Ok(())
    }

    fn read_region_as_stored(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        check_region(&self.levels, level, region, out.len(), &self.info.path)?;
        self.read(region, out).map(|_| ())
    }
}

/// Calls `task` with the index of each row of `columns` voxels in `out` and the row, on all cores when it is worth it.
fn for_rows(columns: usize, out: &mut [f32], task: impl Fn(usize, &mut [f32]) + Sync) {
    if out.len() < PARALLEL_VOXELS {
        out.chunks_exact_mut(columns).enumerate().for_each(|(index, row)| task(index, row));
    } else {
        let rows = TASK_VOXELS.div_ceil(columns);
        out.par_chunks_mut(rows * columns).enumerate().for_each(|(chunk, part)| {
            part.chunks_exact_mut(columns).enumerate().for_each(|(index, row)| task(chunk * rows + index, row));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::tests::{MrcBytes, file, voxels_of};
    use super::*;

    #[test]
    fn a_region_read_in_many_batches_is_whole() {
        for axes in [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
            let mut mrc = MrcBytes::new(1, [9, 8, 7]);
            mrc.axes = axes;
            let (_folder, path) = file(&mrc.bytes());
            let mut head = [0; 1024];
            File::open(&path).unwrap().read_exact(&mut head).unwrap();
            let header = Header::parse(&head, &path).unwrap();
            let mut volume = MrcVolume::open(File::open(&path).unwrap(), header, &path).unwrap();
            for (batch_bytes, batch_voxels) in [(1, usize::MAX), (usize::MAX, 1), (300, 130)] {
                (volume.batch_bytes, volume.batch_voxels) = (batch_bytes, batch_voxels);
                for start in [[0, 0, 0], [1, 2, 3]] {
                    let region = VoxelBox::new(start, volume.info.shape);
                    let expected: Vec<f32> = voxels_of(region).map(|voxel| mrc.value(voxel)).collect();
                    let mut found = vec![f32::NAN; expected.len()];
                    volume.read_region(0, region, &mut found).unwrap();
                    assert_eq!(found, expected, "{axes:?}, {batch_bytes} bytes, {batch_voxels} voxels");
                }
            }
        }
    }
}
