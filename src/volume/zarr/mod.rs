//! OME-Zarr 0.4 and 0.5, and bare Zarr arrays of version 2 or 3, from a folder or over HTTP(S).
//!
//! Nothing is read before it is asked for. A region is decoded in pieces (see [`array`]) on all cores, and the pieces are kept in
//! a cache of bounded size that all open volumes share. `zarrs` interprets the metadata and arranges the codecs;
//! decompression, storage, and every check of what a hostile or damaged file says are done here.

mod array;
mod blosc;
mod cache;
mod codec;
mod document;
mod http;
mod metadata;
mod request;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use self::array::ZarrArray;
use self::cache::{Key, Piece};
use self::http::HttpStore;
use self::metadata::{Node, Pyramid, PyramidLevel};
use self::request::Patience;
use self::store::{FolderStore, Store};
use super::{Fact, Level, VolumeError, VolumeInfo, VolumeSource, check_region, replace_not_finite};
use crate::geometry::VoxelBox;

/// Decoded bytes of a region that are held at a time.
const BATCH_BYTES: usize = 128 << 20;
/// The same where a piece is so large that fewer would leave processors idle.
const MOST_BATCH_BYTES: usize = 512 << 20;
/// Requests at a time to web servers.
const REQUESTS: usize = 8;
/// Folders above an array in which the image that it belongs to is looked for.
const PARENTS: usize = 3;
/// Pieces that the mean of the finite voxels is taken from.
const MEAN_PIECES: usize = 16;

/// Files that make a folder one of a Zarr hierarchy.
const METADATA_FILES: [&str; 4] = ["zarr.json", ".zarray", ".zattrs", ".zgroup"];

/// Whether `path` is a folder in which Zarr metadata lie.
pub(super) fn is_zarr_folder(path: &Path) -> bool {
    METADATA_FILES.iter().any(|name| path.join(name).is_file())
}

/// The folder that a metadata file, chosen in its place, stands for.
pub(super) fn folder_of_metadata(path: &Path) -> Option<&Path> {
    let name = path.file_name()?.to_str()?;
    METADATA_FILES.contains(&name).then(|| crate::files::folder_of(path))
}

/// Opens the folder of a group or array.
pub(super) fn open_folder(path: &Path) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    let store = Arc::new(Store::Folder(FolderStore::new(path)?));
    let Some(node) = Node::read(&store, "")? else {
        return Err(VolumeError::Unsupported {
            found: "a folder without Zarr metadata",
            advice: "choose a .zarr folder",
            path: path.into(),
        });
    };
    if let Node::Group(attributes) = &node {
        return Ok(Arc::new(ZarrVolume::of_group(store, attributes)?));
    }
    // An array that belongs to an image has its spacing there.
    let whole = std::path::absolute(path).map_err(|source| VolumeError::Open { path: path.to_path_buf(), source })?;
    let mut key = String::new();
    let mut folder = whole.as_path();
    for _ in 0..PARENTS {
        let (Some(parent), Some(name)) = (folder.parent(), folder.file_name().and_then(|name| name.to_str())) else { break };
        key = if key.is_empty() { name.to_owned() } else { format!("{name}/{key}") };
        folder = parent;
        if !is_zarr_folder(folder) {
            continue;
        }
        let group = Arc::new(Store::Folder(FolderStore::new(folder)?));
        if let Some(Node::Group(attributes)) = Node::read(&group, "")?
            && let Some(pyramid) = Pyramid::of(&attributes, Some(&key), &group)?
        {
            return Ok(Arc::new(ZarrVolume::new(group, pyramid, path)?));
        }
    }
    Ok(Arc::new(ZarrVolume::of_array(store, node)?))
}

/// Opens the group or array at a URL.
pub(super) fn open_url(url: &str) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    open_url_with(url, Patience::default())
}

fn open_url_with(url: &str, patience: Patience) -> Result<Arc<dyn VolumeSource>, VolumeError> {
    let store = Arc::new(Store::Web(Box::new(HttpStore::new(url, patience))));
    let Some(node) = Node::read(&store, "")? else {
        let refused = matches!(&*store, Store::Web(web) if web.forbids());
        let problem = if refused { "the server refuses access, or there is no Zarr" } else { "there is no Zarr at this address" };
        let advice = "give the address of the folder that holds zarr.json or .zattrs";
        return Err(VolumeError::Network { problem: problem.to_owned(), advice, url: url.to_owned() });
    };
    if let Node::Group(attributes) = &node {
        return Ok(Arc::new(ZarrVolume::of_group(store, attributes)?));
    }
    let mut key = String::new();
    let mut folder = store.clone();
    for _ in 0..PARENTS {
        let Store::Web(web) = &*folder else { break };
        let Some((parent, name)) = web.parent() else { break };
        key = if key.is_empty() { name } else { format!("{name}/{key}") };
        let group = Arc::new(Store::Web(Box::new(parent)));
        // What lies above the array is of use when it is there; it need not be anything.
        if let Ok(Some(Node::Group(attributes))) = Node::read(&group, "")
            && let Ok(Some(pyramid)) = Pyramid::of(&attributes, Some(&key), &group)
        {
            return Ok(Arc::new(ZarrVolume::new(group, pyramid, Path::new(url))?));
        }
        folder = group;
    }
    Ok(Arc::new(ZarrVolume::of_array(store, node)?))
}

/// An image of a Zarr hierarchy, with its levels of detail.
struct ZarrVolume {
    info: VolumeInfo,
    levels: Vec<Level>,
    /// One for each level.
    arrays: Vec<ZarrArray>,
    /// Its number in the cache.
    number: u64,
    is_remote: bool,
    finite_mean: OnceLock<f32>,
}

impl Drop for ZarrVolume {
    fn drop(&mut self) {
        cache::shared().forget(self.number);
    }
}

impl ZarrVolume {
    fn of_group(store: Arc<Store>, attributes: &serde_json::Value) -> Result<Self, VolumeError> {
        let path = store.path();
        match Pyramid::of(attributes, None, &store)? {
            Some(pyramid) => Self::new(store, pyramid, &path),
            None => {
                let children = match &*store {
                    Store::Folder(folder) => folder.children(),
                    Store::Web(_) => Vec::new(),
                };
                let inside = if children.is_empty() { String::new() } else { format!(" (it holds {})", children.join(", ")) };
                let problem = format!("a Zarr group without the multiscales of an image{inside}");
                Err(VolumeError::Zarr { problem, advice: "open an image or an array inside it", path })
            }
        }
    }

    fn of_array(store: Arc<Store>, node: Node) -> Result<Self, VolumeError> {
        let path = store.path();
        let array = ZarrArray::open(&store, "", node)?;
        let warnings = vec!["no multiscales: spacing unknown, give the spacing".to_owned()];
        let facts = vec![Fact::new("form", "Zarr array")];
        Ok(Self::from_parts(&store, &path, (None, warnings, facts), vec![Level::full(array.shape)], vec![array]))
    }

    fn new(store: Arc<Store>, pyramid: Pyramid, path: &Path) -> Result<Self, VolumeError> {
        let Pyramid { levels: datasets, spacing_angstrom, mut warnings, facts } = pyramid;
        let open = |dataset: &PyramidLevel| match Node::read(&store, &dataset.path)? {
            Some(node) => ZarrArray::open(&store, &dataset.path, node),
            None => Err(metadata::problem(&store, format!("the array {} is not there", dataset.path))),
        };
        let mut opened: Vec<_> = if store.is_remote() {
            network(|| datasets.par_iter().map(open).collect())
        } else {
            datasets.iter().map(open).collect()
        };
        let first = opened.remove(0)?;
        let mut levels = vec![Level::full(first.shape)];
        let mut arrays = vec![first];
        for (dataset, array) in datasets[1..].iter().zip(opened) {
            let key = &dataset.path;
            match array.map(|array| (factor(datasets[0].scale, dataset.scale, arrays[0].shape, array.shape), array)) {
                Ok((Some(factor), array)) => {
                    let last = &levels[levels.len() - 1];
                    if (0..3).all(|axis| factor[axis] >= last.factor[axis]) && array.shape != last.shape {
                        levels.push(Level { shape: array.shape, factor });
                        arrays.push(array);
                    } else {
                        warnings.push(format!("level {key} is not coarser than the one before: it is not used"));
                    }
                }
                Ok((None, _)) => warnings.push(format!("the size of level {key} does not match its scale: it is not used")),
                Err(error) => warnings.push(format!("level {key} is not used: {error}")),
            }
        }
        Ok(Self::from_parts(&store, path, (spacing_angstrom, warnings, facts), levels, arrays))
    }

    fn from_parts(
        store: &Store,
        path: &Path,
        (spacing_angstrom, mut warnings, mut facts): (Option<f64>, Vec<String>, Vec<Fact>),
        levels: Vec<Level>,
        arrays: Vec<ZarrArray>,
    ) -> Self {
        if let Store::Folder(folder) = store
            && !folder.has_chunks(arrays[0].key())
        {
            warnings.push("no chunk of the array is there, so every voxel has its fill value: was it copied whole?".to_owned());
        }
        let number = cache::new_volume();
        if let Some(bytes) = arrays.iter().map(ZarrArray::layer_bytes).max() {
            cache::shared().reserve(number, bytes);
        }
        facts.extend(arrays[0].facts.iter().cloned());
        let info = VolumeInfo {
            path: path.to_path_buf(),
            shape: arrays[0].shape,
            spacing_angstrom,
            data_type: arrays[0].voxel.data_type().to_owned(),
            warnings,
            facts,
        };
        Self { info, levels, arrays, number, is_remote: store.is_remote(), finite_mean: OnceLock::new() }
    }

    fn piece(&self, level: usize, place: VoxelBox) -> Result<Arc<Piece>, VolumeError> {
        let key = Key { volume: self.number, level, start: place.start };
        cache::shared().get(key, || self.arrays[level].decode(place))
    }

    /// Reads a checked region, some pieces at a time.
    fn read(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        let [_, rows, columns] = region.shape();
        if out.is_empty() {
            return Ok(());
        }
        let array = &self.arrays[level];
        let piece_bytes = array.piece_bytes().max(1);
        let at_once =
            BATCH_BYTES.max(rayon::current_num_threads().saturating_mul(piece_bytes).min(MOST_BATCH_BYTES)) / piece_bytes;
        let mut places = array.pieces(region).peekable();
        while places.peek().is_some() {
            let batch: Vec<VoxelBox> = places.by_ref().take(at_once.max(1)).collect();
            let decode = || batch.par_iter().map(|&place| self.piece(level, place)).collect::<Result<Vec<_>, _>>();
            let pieces = match batch.as_slice() {
                [only] => vec![self.piece(level, *only)?],
                _ if self.is_remote => network(decode)?,
                _ => decode()?,
            };
            let sections = out.par_chunks_exact_mut(rows * columns).zip(region.start[0]..region.end[0]);
            sections.for_each(|(section, z)| {
                for (place, piece) in batch.iter().zip(&pieces) {
                    if (place.start[0]..place.end[0]).contains(&z) {
                        array.copy_section(z, (place, piece), &region, section);
                    }
                }
            });
        }
        Ok(())
    }

    /// The mean of the finite voxels of pieces spread evenly over the coarsest level, or of all its pieces when those have none.
    ///
    /// It runs on the calling thread alone: were its work shared out, a thread waiting for it could take up another read of this
    /// volume, which waits for the same value.
    fn finite_mean(&self) -> f32 {
        *self.finite_mean.get_or_init(|| {
            let level = self.arrays.len() - 1;
            let array = &self.arrays[level];
            let whole = VoxelBox::whole(array.shape);
            let count = array.pieces(whole).count();
            let mean_of = |step: usize| {
                let (mut count, mut sum) = (0, 0.0);
                for place in array.pieces(whole).step_by(step) {
                    if let Ok(piece) = self.piece(level, place) {
                        let (more, added) = array.finite_sum(&place, &piece);
                        (count, sum) = (count + more, sum + added);
                    }
                }
                (count > 0).then(|| sum / count as f64)
            };
            let step = count.div_ceil(MEAN_PIECES).max(1);
            mean_of(step).or_else(|| if step > 1 { mean_of(1) } else { None }).unwrap_or(0.0) as f32
        })
    }
}

impl VolumeSource for ZarrVolume {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        self.read_region_as_stored(level, region, out)?;
        if self.arrays[level].voxel.is_float() {
            replace_not_finite(out, || self.finite_mean());
        }
        Ok(())
    }

    fn read_region_as_stored(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        check_region(&self.levels, level, region, out.len(), &self.info.path)?;
        self.read(level, region, out)
    }
}

/// Full-resolution voxels per voxel of a level: from the scales where there are any, else from the shapes, of which the former
/// may differ by the rounding of one voxel.
fn factor(full: Option<[f64; 3]>, coarse: Option<[f64; 3]>, full_shape: [usize; 3], shape: [usize; 3]) -> Option<[f64; 3]> {
    let by_shape = [0, 1, 2].map(|axis| full_shape[axis] as f64 / shape[axis] as f64);
    let Some((full, coarse)) = full.zip(coarse) else { return Some(by_shape.map(f64::round)) };
    let factor = [0, 1, 2].map(|axis| {
        let ratio = coarse[axis] / full[axis];
        // Scales are rounded when they are written: 2.0001 is 2.
        if (ratio - ratio.round()).abs() < 1e-3 { ratio.round() } else { ratio }
    });
    let fits = |axis: usize| factor[axis] >= 1.0 && (full_shape[axis] as f64 / factor[axis] - shape[axis] as f64).abs() <= 1.0;
    (0..3).all(fits).then_some(factor)
}

/// Runs `task` with threads of their own for its parallel parts, which wait for the network and so leave processors free.
fn network<T: Send>(task: impl FnOnce() -> T + Send) -> T {
    static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
        ThreadPoolBuilder::new().num_threads(REQUESTS).thread_name(|index| format!("zarr request {index}")).build().ok()
    });
    match &*POOL {
        Some(pool) => pool.install(task),
        None => task(),
    }
}
