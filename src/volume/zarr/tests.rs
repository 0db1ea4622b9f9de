//! Tests of the whole reader on hierarchies that `zarrs` itself writes, and on the shared fixtures.

mod hostile;
mod manifest;
mod reading;
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use zarrs::array::{Array, ArrayMetadata, ArraySubset, Element};
use zarrs::filesystem::FilesystemStore;

use crate::geometry::VoxelBox;
use crate::volume::{VolumeError, VolumeSource, open};

/// A folder and the hierarchy in it.
pub(super) struct Hierarchy {
    pub(super) folder: TempDir,
}

impl Hierarchy {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("x.zarr")
    }

    pub(super) fn open(&self) -> Result<Arc<dyn VolumeSource>, VolumeError> {
        open(&self.path())
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes an array whose voxel number `i` is `value(i)`.
    pub(super) fn array<T: Element + Clone>(&self, key: &str, metadata: &Value, value: impl Fn(usize) -> T) {
        let store = Arc::new(FilesystemStore::new(self.path()).unwrap());
        let metadata: ArrayMetadata = if metadata["zarr_format"] == 2 {
            ArrayMetadata::V2(serde_json::from_value(metadata.clone()).unwrap())
        } else {
            ArrayMetadata::V3(serde_json::from_value(metadata.clone()).unwrap())
        };
        let array = Array::new_with_metadata(store, &format!("/{key}"), metadata).unwrap();
        array.store_metadata().unwrap();
        let shape = array.shape().to_vec();
        let values: Vec<T> = (0..shape.iter().product::<u64>() as usize).map(value).collect();
        array.store_array_subset(&ArraySubset::new_with_shape(shape), &values).unwrap();
    }

    /// Version 2 multiscales of arrays `0`, `1` and so on, with voxels of `scales` along z, y, x.
    pub(super) fn multiscales_v2(&self, unit: Option<&str>, scales: &[[f64; 3]]) {
        self.write(".zgroup", r#"{"zarr_format": 2}"#);
        self.write(".zattrs", json!({"multiscales": [multiscale(unit, scales)]}).to_string());
    }

    pub(super) fn multiscales_v3(&self, unit: Option<&str>, scales: &[[f64; 3]]) {
        let ome = json!({"version": "0.5", "multiscales": [multiscale(unit, scales)]});
        self.write("zarr.json", json!({"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}).to_string());
    }
}

pub(super) fn multiscale(unit: Option<&str>, scales: &[[f64; 3]]) -> Value {
    let axis = |name: &str| match unit {
        Some(unit) => json!({"name": name, "type": "space", "unit": unit}),
        None => json!({"name": name, "type": "space"}),
    };
    let dataset = |(index, scale): (usize, &[f64; 3])| json!({"path": index.to_string(), "coordinateTransformations": [{"type": "scale", "scale": scale}]});
    let datasets: Vec<Value> = scales.iter().enumerate().map(dataset).collect();
    json!({"version": "0.4", "axes": [axis("z"), axis("y"), axis("x")], "datasets": datasets})
}

/// Version 2 metadata with Blosc.
pub(super) fn v2(shape: &[usize], chunks: &[usize], dtype: &str) -> Value {
    json!({
        "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "fill_value": 0, "order": "C", "filters": null,
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}, "dimension_separator": "/"
    })
}

/// Version 3 metadata with the given codecs.
pub(super) fn v3(shape: &[usize], chunks: &[usize], data_type: &str, codecs: &Value) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": data_type, "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "codecs": codecs
    })
}

/// A sharded array's codecs.
pub(super) fn sharded(inner: &[usize], codecs: &Value) -> Value {
    json!([{"name": "sharding_indexed", "configuration": {
        "chunk_shape": inner, "codecs": codecs, "index_location": "end",
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    }}])
}

pub(super) fn read(source: &dyn VolumeSource, level: usize, region: VoxelBox) -> Result<Vec<f32>, VolumeError> {
    let mut out = vec![f32::NAN; region.voxels()];
    source.read_region(level, region, &mut out).map(|()| out)
}

pub(super) fn read_all(source: &dyn VolumeSource) -> Result<Vec<f32>, VolumeError> {
    read(source, 0, VoxelBox::whole(source.info().shape))
}

/// The files of a folder, relative, those of subfolders included.
pub(super) fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
