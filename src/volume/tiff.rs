//! TIFF stacks, a page a section: opening reads the directories alone, and a region costs the strips or tiles that it touches.
//!
//! Rows that are not compressed are read straight from the file. A compressed strip or tile is given to the `tiff` crate as
//! an image of its own, whose directory is made here: so the decoder never sees a directory of the file, any thread can decode any
//! part, and a page of many strips is not read for the sake of one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use tiff::TiffError;
use tiff::decoder::{Decoder, Limits};

use super::mapped::MappedFile;
use super::tiff_directory::{Chunk, Page, Stack};
use super::tiff_spacing::Notes;
use super::voxel::{ByteOrder, Voxel, decode};
use super::{Fact, Level, VolumeError, VolumeInfo, VolumeSource, check_region, replace_not_finite};
use crate::geometry::VoxelBox;

/// Decompressed bytes that are kept for the next reads.
const CACHE_BYTES: usize = 256 << 20;
/// Below this many voxels a region of rows that are not compressed is read on the calling thread.
const PARALLEL_VOXELS: usize = 1 << 18;
/// Voxels of a piece of rows that are not compressed.
const PIECE_VOXELS: usize = 1 << 16;
/// Sections that are looked at for the mean that replaces NaN.
const MEAN_SECTIONS: usize = 8;
/// Voxels read at a time for that.
const MEAN_VOXELS: usize = 1 << 18;

/// An open TIFF stack.
pub(super) struct TiffVolume {
    info: VolumeInfo,
    levels: [Level; 1],
    order: ByteOrder,
    voxel: Voxel,
    pages: Vec<Page>,
    chunks: Vec<Chunk>,
    /// See [`Stack::stride`].
    stride: u64,
    file: MappedFile,
    cache: Mutex<Cache>,
    finite_mean: OnceLock<f32>,
}

impl TiffVolume {
    /// Maps `file`, which begins as TIFF does. `path` is what messages and [`VolumeInfo`] name.
    pub(super) fn open(file: File, path: &Path) -> Result<Self, VolumeError> {
        let read = |source| VolumeError::Read { path: path.to_path_buf(), source };
        let length = file.metadata().map_err(read)?.len();
        if usize::try_from(length).is_err() {
            return Err(VolumeError::TooLarge { length, path: path.to_path_buf() });
        }
        let file = MappedFile::new(file).map_err(read)?;
        let mut stack = Stack::parse(&file, path)?;
        let notes = Notes::read(&mut stack, path)?;
        take_images(&mut stack, &notes, length, path)?;
        let Stack { order, voxel, shape, pages, chunks, stride, warnings, facts, .. } = stack;
        Ok(Self {
            info: VolumeInfo {
                path: path.to_path_buf(),
                shape,
                spacing_angstrom: notes.spacing_angstrom,
                data_type: voxel.data_type().to_owned(),
                warnings,
                facts,
            },
            levels: [Level::full(shape)],
            order,
            voxel,
            pages,
            chunks,
            stride,
            file,
            cache: Mutex::default(),
            finite_mean: OnceLock::new(),
        })
    }

    /// The page of a section.
    fn page(&self, section: usize) -> &Page {
        if self.stride == 0 { &self.pages[section] } else { &self.pages[0] }
    }

    /// Where a chunk lies in the file; the directory has been checked against the file's length.
    fn place(&self, section: usize, chunk: usize) -> std::ops::Range<usize> {
        let Chunk { offset, bytes } = self.chunks[chunk];
        let start = (offset + section as u64 * self.stride) as usize;
        start..start + bytes as usize
    }

    fn read(&self, region: VoxelBox, parallel: bool, out: &mut [f32]) -> Result<(), VolumeError> {
        if out.is_empty() {
            return Ok(());
        }
        let whole = self.file.is_whole().map_err(|source| VolumeError::Read { path: self.info.path.clone(), source })?;
        if !whole {
            return Err(VolumeError::Shrunk { path: self.info.path.clone() });
        }
        // Parts of rows that share their chunks: each is decoded by one thread.
        let columns = region.shape()[2];
        let mut bands = Vec::new();
        let mut rest = out;
        let mut compressed = false;
        for section in region.start[0]..region.end[0] {
            let page = self.page(section);
            compressed |= !page.is_plain();
            let height = page.chunk_size[1];
            let mut y = region.start[1];
            while y < region.end[1] {
                let end = ((y / height + 1) * height).min(region.end[1]);
                let (part, after) = rest.split_at_mut((end - y) * columns);
                bands.push(Band { section, y, part });
                (rest, y) = (after, end);
            }
        }
        let read = |band: Band<'_>| self.read_band(band, region);
        if parallel && (compressed && bands.len() > 1 || region.voxels() >= PARALLEL_VOXELS) {
            bands.into_par_iter().try_for_each(read)
        } else {
            bands.into_iter().try_for_each(read)
        }
    }

    /// Reads rows of one section that lie in one row of chunks.
    fn read_band(&self, band: Band<'_>, region: VoxelBox) -> Result<(), VolumeError> {
        let page = self.page(band.section);
        let [chunk_columns, chunk_rows] = page.chunk_size;
        let columns = region.shape()[2];
        let rows = band.part.len() / columns;
        let across = self.info.shape[2].div_ceil(chunk_columns);
        let row_bytes = self.voxel.row_bytes(chunk_columns as u64) as usize;
        let first_row = band.y % chunk_rows;
        for column in region.start[2] / chunk_columns..=(region.end[2] - 1) / chunk_columns {
            let chunk = page.first_chunk + band.y / chunk_rows * across + column;
            let left = column * chunk_columns;
            let [from, to] = [region.start[2].max(left), region.end[2].min(left + chunk_columns)];
            let place = self.place(band.section, chunk);
            let wanted = first_row * row_bytes..(first_row + rows) * row_bytes;
            if page.is_plain() && columns == chunk_columns {
                return self.read_whole_rows(place.start + wanted.start, row_bytes, columns, band.part);
            }
            let decoded;
            let (bytes, order) = if page.is_plain() {
                let touched = place.start + wanted.start..place.start + wanted.end;
                self.file.prefetch(touched.clone());
                (&self.file[touched], self.order)
            } else {
                decoded = self.decoded(page, band.section, chunk)?;
                (&decoded[wanted], ByteOrder::NATIVE)
            };
            for (row, line) in band.part.chunks_exact_mut(columns).enumerate() {
                let out = &mut line[from - region.start[2]..to - region.start[2]];
                decode(self.voxel, order, &bytes[row * row_bytes..(row + 1) * row_bytes], from - left..to - left, out);
            }
            if page.is_plain() {
                self.file.has_touched(1, rows * row_bytes);
            }
        }
        Ok(())
    }

    /// Reads whole rows that are not compressed, from `start` in the file on, in pieces that a processor's cache holds.
    fn read_whole_rows(&self, start: usize, row_bytes: usize, columns: usize, out: &mut [f32]) -> Result<(), VolumeError> {
        let failed = |source: io::Error| {
            let path = self.info.path.clone();
            let shrunk = source.kind() == io::ErrorKind::UnexpectedEof;
            if shrunk { VolumeError::Shrunk { path } } else { VolumeError::Read { path, source } }
        };
        let rows = (PIECE_VOXELS / columns).clamp(1, out.len() / columns);
        out.chunks_mut(rows * columns).enumerate().try_for_each(|(index, values)| {
            let length = values.len() / columns * row_bytes;
            let decode_rows = |bytes: &[u8]| {
                for (values, bytes) in values.chunks_exact_mut(columns).zip(bytes.chunks_exact(row_bytes)) {
                    decode(self.voxel, self.order, bytes, 0..columns, values);
                }
            };
            self.file.read(start + index * rows * row_bytes, length, decode_rows).map_err(failed)
        })
    }

    /// The voxels of a compressed chunk, in this machine's byte order, from the cache or decompressed.
    fn decoded(&self, page: &Page, section: usize, chunk: usize) -> Result<Arc<Vec<u8>>, VolumeError> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache().get(chunk) {
            return Ok(found);
        }
        // Two threads may decompress the same chunk: that costs time, waiting for each other could cost as much.
        let failed = |source| VolumeError::TiffPage { page: section + 1, path: self.info.path.clone(), source };
        let [columns, rows] = page.chunk_size;
        let across = self.info.shape[2].div_ceil(columns);
        let rows = if page.tiled { rows } else { rows.min(self.info.shape[1] - (chunk - page.first_chunk) / across * rows) };
        let place = self.place(section, chunk);
        let bytes = &self.file[place.clone()];
        let decoded = Arc::new(decompress(self.order, self.voxel, page, [columns, rows], bytes).map_err(failed)?);
        self.file.has_read(place);
        cache().insert(chunk, Arc::clone(&decoded));
        Ok(decoded)
    }

    /// The mean of the finite voxels of sections spread evenly, or of all when those have none.
    ///
    /// It runs on the calling thread alone: were its work shared out, a thread waiting for it could take up another read of
    /// this volume, which waits for the same value.
    fn finite_mean(&self) -> Result<f32, VolumeError> {
        if let Some(mean) = self.finite_mean.get() {
            return Ok(*mean);
        }
        let all = self.info.shape[0];
        let sampled = all.min(MEAN_SECTIONS);
        let mut mean = self.mean_of((0..sampled).map(|k| (2 * k + 1) * all / (2 * sampled)))?;
        if mean.is_none() && sampled < all {
            mean = self.mean_of(0..all)?;
        }
        Ok(*self.finite_mean.get_or_init(|| mean.unwrap_or(0.0) as f32))
    }

    fn mean_of(&self, sections: impl Iterator<Item = usize>) -> Result<Option<f64>, VolumeError> {
        let [_, y, x] = self.info.shape;
        let mut buffer = Vec::new();
        let (mut count, mut sum) = (0_u64, 0.0_f64);
        for section in sections {
            for slab in super::slabs([1, y, x], MEAN_VOXELS) {
                let region = VoxelBox::new([section, slab.start[1], slab.start[2]], [section + 1, slab.end[1], slab.end[2]]);
                buffer.resize(region.voxels(), 0.0);
                self.read(region, false, &mut buffer)?;
                for value in buffer.iter().filter(|value| value.is_finite()) {
                    count += 1;
                    sum += f64::from(*value);
                }
            }
        }
        Ok((count > 0).then(|| sum / count as f64))
    }
}

impl VolumeSource for TiffVolume {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        self.read_region_as_stored(level, region, out)?;
        if self.voxel.is_float() && out.iter().any(|value| !value.is_finite()) {
            let mean = self.finite_mean()?;
            replace_not_finite(out, || mean);
        }
        Ok(())
    }

    fn read_region_as_stored(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        check_region(&self.levels, level, region, out.len(), &self.info.path)?;
        self.read(region, true, out)
    }
}

/// Rows from `y` on of a section, to be read into `part`.
struct Band<'a> {
    section: usize,
    y: usize,
    part: &'a mut [f32],
}

/// Compares the pages with the images that the description speaks of. ImageJ writes a stack of more than 4 GB with a directory for
/// its first image alone; the others follow one after the other.
fn take_images(stack: &mut Stack, notes: &Notes, length: u64, path: &Path) -> Result<(), VolumeError> {
    let pages = stack.pages.len() as u64;
    let Some(images) = notes.images.filter(|images| *images != pages) else { return Ok(()) };
    let [page, ..] = stack.pages.as_slice() else { return Ok(()) };
    let one_piece = !page.tiled && page.is_plain() && page.chunk_size == [stack.shape[2], stack.shape[1]];
    if notes.is_imagej && pages == 1 && one_piece {
        let Chunk { offset, bytes } = stack.chunks[page.first_chunk];
        let promised = u128::from(offset) + u128::from(bytes) * u128::from(images);
        if promised > u128::from(length) {
            return Err(VolumeError::Truncated { length, promised, path: path.to_path_buf() });
        }
        // The images lie in the file, so they can be counted.
        stack.shape[0] = images as usize;
        stack.stride = bytes;
        stack
            .facts
            .push(Fact::new("images", format!("{images} one after the other behind a single directory, as ImageJ writes them")));
        return Ok(());
    }
    stack.warnings.push(format!("the description speaks of {images} images, the file has {pages}: those in the file are read"));
    Ok(())
}

/// Decompresses a strip or tile of `columns` and `rows` to this machine's byte order.
fn decompress(order: ByteOrder, voxel: Voxel, page: &Page, size: [usize; 2], bytes: &[u8]) -> Result<Vec<u8>, TiffError> {
    let [columns, rows] = size;
    let head = directory_of(order, voxel, page, size, bytes.len());
    let length = voxel.row_bytes(columns as u64) as usize * rows;
    let mut limits = Limits::default();
    limits.intermediate_buffer_size = bytes.len();
    limits.decoding_buffer_size = length;
    let mut decoder = Decoder::new(TwoPieces { head: &head, tail: bytes, at: 0 })?.with_limits(limits);
    let mut decoded = vec![0; length];
    decoder.read_chunk_bytes(0, &mut decoded)?;
    Ok(decoded)
}

/// A TIFF header and the directory of an image of a single strip, whose `bytes` follow it.
fn directory_of(order: ByteOrder, voxel: Voxel, page: &Page, [columns, rows]: [usize; 2], bytes: usize) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    const ENTRIES: usize = 11;
    const LENGTH: usize = 8 + 2 + 12 * ENTRIES + 4;
    let bits = voxel.row_bytes(1) * 8;
    let format = match voxel {
        Voxel::Int8 | Voxel::Int16 | Voxel::Int32 | Voxel::Int64 => 2,
        _ if voxel.is_float() => 3,
        _ => 1,
    };
    // Sizes were checked to have 32 bits when the file was opened.
    let entries: [(u16, u16, u32); ENTRIES] = [
        (256, LONG, columns as u32),
        (257, LONG, rows as u32),
        (258, SHORT, bits as u32),
        (259, SHORT, u32::from(page.compression.number())),
        (262, SHORT, 1),
        (273, LONG, LENGTH as u32),
        (277, SHORT, 1),
        (278, LONG, rows as u32),
        (279, LONG, bytes as u32),
        (317, SHORT, u32::from(page.predictor)),
        (339, SHORT, format),
    ];
    let short = |value: u16| if order == ByteOrder::Little { value.to_le_bytes() } else { value.to_be_bytes() };
    let long = |value: u32| if order == ByteOrder::Little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut head = Vec::with_capacity(LENGTH);
    head.extend(if order == ByteOrder::Little { b"II" } else { b"MM" });
    head.extend(short(42));
    head.extend(long(8));
    head.extend(short(ENTRIES as u16));
    for (tag, kind, value) in entries {
        head.extend(short(tag));
        head.extend(short(kind));
        head.extend(long(1));
        if kind == SHORT {
            head.extend(short(value as u16));
            head.extend([0, 0]);
        } else {
            head.extend(long(value));
        }
    }
    head.extend(long(0));
    head
}

/// Two slices read as one file.
struct TwoPieces<'a> {
    head: &'a [u8],
    tail: &'a [u8],
    at: u64,
}

impl Read for TwoPieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        let rest = match at.checked_sub(self.head.len()) {
            None => &self.head[at..],
            Some(at) => self.tail.get(at..).unwrap_or_default(),
        };
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for TwoPieces<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = (self.head.len() + self.tail.len()) as u64;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => end.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// Decompressed chunks by their numbers, of a bounded size in all.
#[derive(Default)]
struct Cache {
    places: HashMap<usize, usize>,
    chunks: Vec<(usize, Arc<Vec<u8>>)>,
    bytes: usize,
    /// Changes with every insertion, for choosing what goes.
    state: u64,
}

impl Cache {
    fn get(&self, chunk: usize) -> Option<Arc<Vec<u8>>> {
        self.places.get(&chunk).map(|place| Arc::clone(&self.chunks[*place].1))
    }

    /// Keeps a chunk, in place of others where there is no room. Those that go are chosen at random: slices along z touch every
    /// page in turn, of which an order by age would always drop the one that is needed next.
    fn insert(&mut self, chunk: usize, decoded: Arc<Vec<u8>>) {
        if self.places.contains_key(&chunk) || decoded.len() > CACHE_BYTES {
            return;
        }
        while self.bytes + decoded.len() > CACHE_BYTES {
            // Knuth's multiplier; the high bits are the random ones.
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (self.state >> 33) as usize % self.chunks.len();
            let (gone, bytes) = self.chunks.swap_remove(place);
            self.bytes -= bytes.len();
            self.places.remove(&gone);
            if let Some((moved, _)) = self.chunks.get(place) {
                self.places.insert(*moved, place);
            }
        }
        self.bytes += decoded.len();
        self.places.insert(chunk, self.chunks.len());
        self.chunks.push((chunk, decoded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_within_its_bound_and_finds_what_it_keeps() {
        let mut cache = Cache::default();
        let size = CACHE_BYTES / 10;
        for chunk in 0..100 {
            cache.insert(chunk, Arc::new(vec![chunk as u8; size]));
            assert!(cache.bytes <= CACHE_BYTES);
            assert_eq!(cache.bytes, cache.chunks.len() * size);
            assert_eq!(cache.get(chunk).unwrap()[0], chunk as u8, "the newest is kept");
        }
        let kept: Vec<usize> = (0..100).filter(|chunk| cache.get(*chunk).is_some()).collect();
        assert_eq!(kept.len(), 10);
        assert!(kept.iter().all(|chunk| cache.get(*chunk).unwrap()[size - 1] == *chunk as u8));
        cache.insert(1000, Arc::new(vec![0; CACHE_BYTES + 1]));
        assert!(cache.get(1000).is_none());
    }
}
