//! One array: checked before anything of it is believed, and decoded piece by piece.
//!
//! A piece is what is decoded and cached at once: an inner chunk of a shard; some sections of a chunk that is not compressed, or
//! by Blosc, which both can be read in parts; or a whole chunk.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use zarrs::array::codec::api::{ArrayPartialDecoderTraits, CodecOptions};
use zarrs::array::{Array, ArrayBytes, ArrayMetadata, ArraySubset};
use zarrs::metadata::v3::ArrayMetadataV3;

use super::cache::Piece;
use super::codec::{LONGEST_DECODED_BYTES, longest_encoding, register};
use super::document::{Access, Description, Fault, MOST_INNER_CHUNKS};
use super::metadata::{Node, problem};
use super::store::{Store, StoreView};
use crate::geometry::VoxelBox;
use crate::volume::voxel::{ByteOrder, Voxel, decode};
use crate::volume::{Fact, VolumeError};

/// Decoded bytes of a piece of a chunk that can be read in parts.
const PIECE_BYTES: u64 = 4 << 20;
/// Shards whose index is kept.
const SHARDS_KEPT: usize = 32;
/// An array of a hierarchy, of which the last three axes are read and the ones before have length 1.
pub(super) struct ZarrArray {
    array: Array<StoreView>,
    /// Key of its folder, for messages.
    key: String,
    /// What the metadata say, for people.
    pub(super) facts: Vec<Fact>,
    /// Leading axes of length 1.
    leading: usize,
    pub(super) shape: [usize; 3],
    chunk: [usize; 3],
    piece: [usize; 3],
    pub(super) voxel: Voxel,
    /// Bytes of a voxel.
    voxel_bytes: usize,
    fill: f32,
    /// Whether a piece is a whole chunk, decoded in one go.
    whole: bool,
    /// Shards with their index, those used last at the end; empty for arrays without.
    shards: Option<Mutex<Vec<Shard>>>,
}

type Shard = ([usize; 3], Arc<dyn ArrayPartialDecoderTraits>);

impl ZarrArray {
    /// The array that `node` describes, in the folder `key`. No chunk is read.
    pub(super) fn open(store: &Arc<Store>, key: &str, node: Node) -> Result<Self, VolumeError> {
        let name = if key.is_empty() { "the array".to_owned() } else { format!("array {key}") };
        let unsupported = |what: String, advice: &'static str| VolumeError::Zarr {
            problem: format!("{name}: {what}"),
            advice,
            path: store.path(),
        };
        let damaged = |what: String| problem(store, format!("{name}: {what}"));
        let described = Description::of(node).map_err(|fault| match fault {
            Fault::Damaged(what) => damaged(what),
            Fault::Unsupported(what, advice) => unsupported(what, advice),
        })?;
        let Description { document, shape, chunk, inner, access, voxel, voxel_bytes, facts } = described;
        let leading = shape.len() - 3;
        if let Some(axis) = (0..leading).find(|&axis| shape[axis] != 1) {
            let what = format!("{} channels or time points along axis {axis}, where a tomogram has one", shape[axis]);
            return Err(unsupported(what, "write the one that you want to a file of its own"));
        }
        // A chunk may be longer than the array along any axis.
        let beside = chunk[..leading].iter().fold(1_u64, |product, &size| product.saturating_mul(size));
        let [shape, chunk] = [&shape, &chunk].map(|sizes| [0, 1, 2].map(|axis| sizes[leading + axis] as usize));

        let chunk_bytes = bytes_of(chunk, voxel_bytes).saturating_mul(beside);
        let piece = match access {
            Access::Inner => [0, 1, 2].map(|axis| inner[leading + axis] as usize),
            Access::Whole => chunk,
            Access::Parts => part_of(chunk, voxel_bytes as u64),
        };
        // What must be decoded at once, and what must be read for it.
        let once = if access == Access::Whole { chunk_bytes } else { bytes_of(piece, voxel_bytes) };
        if once > LONGEST_DECODED_BYTES {
            let what = format!("{once} bytes would have to be decoded at once, more than {LONGEST_DECODED_BYTES}");
            return Err(unsupported(what, "write it in smaller chunks"));
        }
        let index = if access == Access::Inner { 16 * MOST_INNER_CHUNKS } else { 0 };
        // A web server may send a whole file where a part of it is asked for.
        let longest = if store.is_remote() { chunk_bytes.min(LONGEST_DECODED_BYTES) } else { once.max(PIECE_BYTES) };
        let view = StoreView { store: store.clone(), most_bytes: longest_encoding(longest).saturating_add(index) };

        register();
        let metadata: ArrayMetadataV3 =
            serde_json::from_value(document).map_err(|error| damaged(format!("the metadata are damaged ({error})")))?;
        let array = Array::new_with_metadata(Arc::new(view), &format!("/{key}"), ArrayMetadata::V3(metadata))
            .map_err(|error| damaged(format!("the metadata are damaged ({error})")))?;
        let mut fill = [0.0];
        let stored = array.fill_value().as_ne_bytes();
        if stored.len() != voxel_bytes {
            return Err(damaged("the fill value is not a voxel".to_owned()));
        }
        decode(voxel, ByteOrder::NATIVE, stored, 0..1, &mut fill);
        Ok(Self {
            array,
            key: key.to_owned(),
            facts,
            leading,
            shape,
            chunk,
            piece,
            voxel,
            voxel_bytes,
            fill: fill[0],
            whole: access == Access::Whole,
            shards: (access == Access::Inner).then(Mutex::default),
        })
    }

    /// Bytes of the pieces that one section needs where chunks decode only as a whole: with fewer cached, reading section by
    /// section would decode each chunk once for every one of its sections.
    pub(super) fn layer_bytes(&self) -> usize {
        if !self.whole {
            return 0;
        }
        let depth = self.chunk[0].min(self.shape[0]);
        depth.saturating_mul(self.shape[1]).saturating_mul(self.shape[2]).saturating_mul(self.voxel_bytes)
    }

    /// Decoded bytes of a piece, at most.
    pub(super) fn piece_bytes(&self) -> usize {
        (0..3).fold(self.voxel_bytes, |bytes, axis| bytes.saturating_mul(self.piece[axis].min(self.shape[axis])))
    }

    /// The pieces that hold voxels of `region`, in order of their voxels.
    pub(super) fn pieces(&self, region: VoxelBox) -> impl Iterator<Item = VoxelBox> + use<> {
        let along = |axis: usize| {
            let (chunk, piece, size) = (self.chunk[axis], self.piece[axis], self.shape[axis]);
            let end = region.end[axis];
            let first = region.start[axis] / chunk * chunk + region.start[axis] % chunk / piece * piece;
            std::iter::successors(Some(first..piece_end(first, chunk, piece, size)), move |last| {
                (last.end < end).then(|| last.end..piece_end(last.end, chunk, piece, size))
            })
        };
        let [z, y, x] = [along(0), along(1), along(2)];
        z.flat_map(move |z| {
            let x = x.clone();
            y.clone().flat_map(move |y| {
                let z = z.clone();
                x.clone().map(move |x| VoxelBox::new([z.start, y.start, x.start], [z.end, y.end, x.end]))
            })
        })
    }

    /// Decodes a piece, one of [`Self::pieces`], on this thread alone.
    pub(super) fn decode(&self, piece: VoxelBox) -> Result<Piece, VolumeError> {
        let chunk: [usize; 3] = [0, 1, 2].map(|axis| piece.start[axis] / self.chunk[axis]);
        let indices = self.with_leading(chunk, 0);
        let failed = |what: String| {
            let key = self.array.chunk_key(&indices);
            let store = &self.array.storage().store;
            let advice = if store.is_remote() { "check the network, then the data" } else { "copy or download it again" };
            VolumeError::Zarr { problem: format!("chunk {} cannot be read: {what}", key.as_str()), advice, path: store.path() }
        };
        // The pieces of one chunk are spread over threads already; see the cache for why this must stay on one.
        let options = CodecOptions::default().with_concurrent_target(1);
        // `zarrs` panics on some damaged chunks, as on an index of a shard that overflows: that must not end the program.
        let decoded =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.decode_piece(piece, chunk, &indices, &options)));
        let piece_bytes = bytes_of(piece.shape(), self.voxel_bytes);
        match decoded {
            Ok(Ok(None)) => Ok(Piece::Fill),
            Ok(Ok(Some(bytes))) if bytes.len() as u64 == piece_bytes => Ok(Piece::Voxels(bytes)),
            Ok(Ok(Some(bytes))) => Err(failed(format!("it holds {} bytes instead of {piece_bytes}", bytes.len()))),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed("it is damaged".to_owned())),
        }
    }

    fn decode_piece(
        &self,
        piece: VoxelBox,
        chunk: [usize; 3],
        indices: &[u64],
        options: &CodecOptions,
    ) -> Result<Option<Vec<u8>>, String> {
        let start: [usize; 3] = [0, 1, 2].map(|axis| piece.start[axis] - chunk[axis] * self.chunk[axis]);
        if self.whole {
            let bytes: Option<ArrayBytes<'static>> =
                self.array.retrieve_chunk_if_exists_opt(indices, options).map_err(|error| error.to_string())?;
            let Some(bytes) = bytes else { return Ok(None) };
            let bytes = bytes.into_fixed().map_err(|error| error.to_string())?.into_owned();
            return Ok(Some(self.cropped(bytes, piece.shape())));
        }
        let store = &self.array.storage().store;
        if let Store::Folder(folder) = &**store
            && folder.length(self.array.chunk_key(indices).as_str()).map_err(|error| error.to_string())?.is_none()
        {
            return Ok(None);
        }
        let decoder = self.partial_decoder(chunk, indices, options)?;
        let ranges: Vec<Range<u64>> = std::iter::repeat_n(0..1, self.leading)
            .chain((0..3).map(|axis| start[axis] as u64..(start[axis] + piece.shape()[axis]) as u64))
            .collect();
        let subset = ArraySubset::new_with_ranges(&ranges);
        let bytes = decoder.partial_decode(&subset, options).map_err(|error| error.to_string())?;
        Ok(Some(bytes.into_fixed().map_err(|error| error.to_string())?.into_owned()))
    }

    /// What reads parts of a chunk; of a shard with its index, which is kept.
    fn partial_decoder(
        &self,
        chunk: [usize; 3],
        indices: &[u64],
        options: &CodecOptions,
    ) -> Result<Arc<dyn ArrayPartialDecoderTraits>, String> {
        let make = || self.array.partial_decoder_opt(indices, options).map_err(|error| error.to_string());
        let Some(shards) = &self.shards else { return make() };
        let kept = || shards.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = kept();
            if let Some(place) = kept.iter().position(|(shard, _)| *shard == chunk) {
                let shard = kept.remove(place);
                let decoder = shard.1.clone();
                kept.push(shard);
                return Ok(decoder);
            }
        }
        let decoder = make()?;
        let mut kept = kept();
        if kept.len() >= SHARDS_KEPT {
            kept.remove(0);
        }
        kept.push((chunk, decoder.clone()));
        Ok(decoder)
    }

    /// The part of a whole chunk that lies in the array; `bytes` hold at least the chunk, the leading axes' first entry first.
    fn cropped(&self, bytes: Vec<u8>, shape: [usize; 3]) -> Vec<u8> {
        let [_, chunk_rows, chunk_columns] = self.chunk;
        let row = shape[2] * self.voxel_bytes;
        if shape == self.chunk && bytes.len() as u64 == bytes_of(self.chunk, self.voxel_bytes) {
            return bytes;
        }
        let mut cropped = Vec::with_capacity(shape[0] * shape[1] * row);
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                let start = (z * chunk_rows + y) * chunk_columns * self.voxel_bytes;
                cropped.extend_from_slice(&bytes[start..start + row]);
            }
        }
        cropped
    }

    fn with_leading(&self, last: [usize; 3], leading: u64) -> Vec<u64> {
        std::iter::repeat_n(leading, self.leading).chain(last.into_iter().map(|index| index as u64)).collect()
    }

    /// Copies section `z` of `region`, as far as `piece` holds it, to its place in `section`, `(y, x)` of the region.
    pub(super) fn copy_section(&self, z: usize, piece: (&VoxelBox, &Piece), region: &VoxelBox, section: &mut [f32]) {
        let (place, voxels) = piece;
        let common = place.intersection(region);
        let columns = region.shape()[2];
        let [_, piece_rows, piece_columns] = place.shape();
        for y in common.start[1]..common.end[1] {
            let at = (y - region.start[1]) * columns + common.start[2] - region.start[2];
            let out = &mut section[at..at + common.shape()[2]];
            match voxels {
                Piece::Fill => out.fill(self.fill),
                Piece::Voxels(bytes) => {
                    let row = ((z - place.start[0]) * piece_rows + y - place.start[1]) * piece_columns * self.voxel_bytes;
                    let row = &bytes[row..row + piece_columns * self.voxel_bytes];
                    let first = common.start[2] - place.start[2];
                    decode(self.voxel, ByteOrder::NATIVE, row, first..first + out.len(), out);
                }
            }
        }
    }

    /// The finite values of a piece: how many, and their sum.
    pub(super) fn finite_sum(&self, place: &VoxelBox, piece: &Piece) -> (u64, f64) {
        let mut row = vec![0.0; place.shape()[2]];
        let (mut count, mut sum) = (0, 0.0);
        for z in place.start[0]..place.end[0] {
            for y in place.start[1]..place.end[1] {
                let line = VoxelBox::new([z, y, place.start[2]], [z + 1, y + 1, place.end[2]]);
                self.copy_section(z, (place, piece), &line, &mut row);
                for value in row.iter().filter(|value| value.is_finite()) {
                    count += 1;
                    sum += f64::from(*value);
                }
            }
        }
        (count, sum)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

/// Where the piece that begins at `start` ends along an axis.
fn piece_end(start: usize, chunk: usize, piece: usize, size: usize) -> usize {
    let chunk_end = (start / chunk).saturating_add(1).saturating_mul(chunk);
    start.saturating_add(piece).min(chunk_end).min(size)
}

fn bytes_of(shape: [usize; 3], voxel_bytes: usize) -> u64 {
    shape.into_iter().fold(voxel_bytes as u64, |bytes, size| bytes.saturating_mul(size as u64))
}

/// Whole sections of a chunk, or whole rows where a section is too large: bytes that follow one another.
fn part_of(chunk: [usize; 3], voxel_bytes: u64) -> [usize; 3] {
    let row = voxel_bytes.saturating_mul(chunk[2] as u64);
    let section = row.saturating_mul(chunk[1] as u64);
    if section <= PIECE_BYTES {
        [((PIECE_BYTES / section) as usize).clamp(1, chunk[0]), chunk[1], chunk[2]]
    } else {
        [1, ((PIECE_BYTES / row) as usize).clamp(1, chunk[1]), chunk[2]]
    }
}
