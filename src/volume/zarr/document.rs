//! What the metadata of an array say, in either version, checked before anything of it is believed.

use serde_json::Value;
use zarrs::metadata::v2::ArrayMetadataV2;

use super::codec::{Coding, REGISTERED_PREFIX};
use super::metadata::{Node, brief};
use crate::volume::Fact;
use crate::volume::voxel::Voxel;

/// The most voxels along an axis, as of an MRC file.
const LONGEST_AXIS: u64 = i32::MAX as u64;
/// The most voxels of an array: 256 Gi, above any tomogram; more is a damaged shape.
const MOST_VOXELS: u64 = 1 << 38;
/// Axes of an OME-Zarr image, at most.
const MOST_AXES: usize = 5;
/// Inner chunks of a shard, at most: their index takes 16 bytes each.
pub(super) const MOST_INNER_CHUNKS: u64 = 1 << 22;
/// Shards within shards.
const DEEPEST_SHARDS: usize = 2;

const SUPPORTED: &str = "write it with the codecs bytes, blosc, zstd, gzip, zlib, crc32c, transpose or sharding";

/// How an array's chunks can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Some sections at a time.
    Parts,
    /// As a whole.
    Whole,
    /// By inner chunks.
    Inner,
}

/// Why an array cannot be read.
pub(super) enum Fault {
    /// The metadata make no sense: what.
    Damaged(String),
    /// They ask for something that is not read: what, and what to do.
    Unsupported(String, &'static str),
}

/// An array's metadata, understood.
pub(super) struct Description {
    /// As version 3, with the codecs that are decoded here under their registered names.
    pub(super) document: Value,
    /// All sizes, three to five of them, the last three being z, y and x.
    pub(super) shape: Vec<u64>,
    /// A chunk's sizes along the same axes.
    pub(super) chunk: Vec<u64>,
    /// The sizes of a shard's inner chunks; empty where there are none.
    pub(super) inner: Vec<u64>,
    pub(super) access: Access,
    pub(super) voxel: Voxel,
    pub(super) voxel_bytes: usize,
    pub(super) facts: Vec<Fact>,
}

impl Description {
    /// Checks the metadata of an array.
    pub(super) fn of(node: Node) -> Result<Self, Fault> {
        let version = if matches!(node, Node::ArrayV2(_)) { "2" } else { "3" };
        let mut document = match node {
            Node::ArrayV3(document) => document,
            Node::ArrayV2(document) => {
                check_shape(&document["shape"]).map_err(Fault::Damaged)?;
                check_chunk(&document["chunks"], &document["shape"]).map_err(Fault::Damaged)?;
                as_v3(document).map_err(|what| Fault::Unsupported(what, SUPPORTED))?
            }
            Node::Group(_) => return Err(Fault::Damaged("it is a group, not an array".to_owned())),
        };
        let shape = check_shape(&document["shape"]).map_err(Fault::Damaged)?;
        if document["chunk_grid"]["name"] != "regular" {
            return Err(Fault::Unsupported("its chunks are not of one size".to_owned(), "write it with a regular chunk grid"));
        }
        let chunk =
            check_chunk(&document["chunk_grid"]["configuration"]["chunk_shape"], &document["shape"]).map_err(Fault::Damaged)?;
        let (voxel, voxel_bytes) = voxel_of(&document["data_type"]).map_err(|found| {
            Fault::Unsupported(format!("voxels of type {found} cannot be shown"), "write it as float32 or an integer type")
        })?;
        if document["storage_transformers"].as_array().is_some_and(|list| !list.is_empty()) {
            return Err(Fault::Unsupported("it has storage transformers".to_owned(), SUPPORTED));
        }
        let (access, inner) =
            understand(&mut document["codecs"], &chunk, 0).map_err(|what| Fault::Unsupported(what, SUPPORTED))?;
        let facts = vec![
            Fact::new("Zarr", format!("version {version}, shape {shape:?}")),
            Fact::new(
                "chunks",
                if inner.is_empty() { format!("{chunk:?}") } else { format!("{inner:?} in shards of {chunk:?}") },
            ),
            Fact::new("codecs", codec_names(&document["codecs"])),
        ];
        Ok(Self { document, shape, chunk, inner, access, voxel, voxel_bytes, facts })
    }
}

/// The sizes of an array, when a tomogram can have them.
fn check_shape(shape: &Value) -> Result<Vec<u64>, String> {
    let sizes: Option<Vec<u64>> = shape.as_array().and_then(|sizes| sizes.iter().map(Value::as_u64).collect());
    let Some(sizes) = sizes else { return Err(format!("the shape is not a list of sizes: {}", shown(shape))) };
    if !(3..=MOST_AXES).contains(&sizes.len()) {
        return Err(format!("it has {} axes, where a tomogram has three, or up to two more of length 1", sizes.len()));
    }
    let voxels = sizes.iter().fold(1_u64, |voxels, &size| voxels.saturating_mul(size));
    if sizes.iter().any(|&size| size == 0 || size > LONGEST_AXIS) || voxels > MOST_VOXELS {
        return Err(format!("no tomogram has the shape {sizes:?}"));
    }
    Ok(sizes)
}

/// The sizes of a chunk.
fn check_chunk(chunk: &Value, shape: &Value) -> Result<Vec<u64>, String> {
    let sizes: Option<Vec<u64>> = chunk.as_array().and_then(|sizes| sizes.iter().map(Value::as_u64).collect());
    let axes = shape.as_array().map_or(0, Vec::len);
    match sizes {
        Some(sizes) if sizes.len() == axes && sizes.iter().all(|&size| size > 0 && size <= LONGEST_AXIS) => Ok(sizes),
        _ => Err(format!("no array can have the chunk shape {}", shown(chunk))),
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    brief(&value.to_string())
}

/// How a voxel is stored, and its bytes.
fn voxel_of(data_type: &Value) -> Result<(Voxel, usize), String> {
    let name = data_type.as_str().or_else(|| data_type["name"].as_str());
    Ok(match name {
        Some("int8") => (Voxel::Int8, 1),
        Some("uint8") => (Voxel::Uint8, 1),
        Some("int16") => (Voxel::Int16, 2),
        Some("uint16") => (Voxel::Uint16, 2),
        Some("int32") => (Voxel::Int32, 4),
        Some("uint32") => (Voxel::Uint32, 4),
        Some("int64") => (Voxel::Int64, 8),
        Some("uint64") => (Voxel::Uint64, 8),
        Some("float16") => (Voxel::Float16, 2),
        Some("float32") => (Voxel::Float32, 4),
        Some("float64") => (Voxel::Float64, 8),
        Some(other) => return Err(other.to_owned()),
        None => return Err(shown(data_type)),
    })
}

/// Version 2 metadata as version 3, which say the same in other words.
fn as_v3(mut document: Value) -> Result<Value, String> {
    if document["filters"].as_array().is_some_and(|filters| !filters.is_empty()) {
        return Err(format!("the filters {} are not supported", shown(&document["filters"])));
    }
    let compressor = document["compressor"].take();
    let coding = match &compressor {
        Value::Null => None,
        other => match other["id"].as_str().and_then(Coding::of) {
            Some(coding) => Some(coding),
            None => return Err(format!("the compressor {} is not supported", shown(&other["id"]))),
        },
    };
    let metadata: ArrayMetadataV2 =
        serde_json::from_value(document).map_err(|error| format!("the metadata are damaged ({error})"))?;
    let metadata = zarrs::convert::array_metadata_v2_to_v3(&metadata).map_err(|error| error.to_string())?;
    let mut document = serde_json::to_value(metadata).map_err(|error| error.to_string())?;
    if let (Some(coding), Some(codecs)) = (coding, document["codecs"].as_array_mut()) {
        codecs.push(serde_json::json!({"name": coding.registered_name()}));
    }
    Ok(document)
}

/// Checks a list of codecs for chunks of `chunk`, renames those that are decoded here, and tells how chunks can be read; for
/// shards with the inner chunk's shape.
fn understand(codecs: &mut Value, chunk: &[u64], depth: usize) -> Result<(Access, Vec<u64>), String> {
    let Some(list) = codecs.as_array_mut().filter(|list| !list.is_empty()) else {
        return Err(format!("no list of codecs but {}", shown(codecs)));
    };
    let only = list.len() == 1;
    let mut access = Access::Parts;
    let mut inner = Vec::new();
    let mut compressed = false;
    for codec in list {
        if codec.is_string() {
            *codec = serde_json::json!({"name": codec.take()});
        }
        let name = codec["name"].as_str().unwrap_or_default().to_owned();
        let coding = Coding::of(&name).or_else(|| Coding::ALL.into_iter().find(|coding| coding.registered_name() == name));
        if let Some(coding) = coding {
            if coding != Coding::Blosc || compressed {
                access = Access::Whole;
            }
            compressed = true;
            *codec = serde_json::json!({"name": coding.registered_name()});
            continue;
        }
        match name.as_str() {
            "bytes" => {}
            "transpose" => access = Access::Whole,
            "sharding_indexed" => {
                if depth >= DEEPEST_SHARDS {
                    return Err("shards within shards within shards are not supported".to_owned());
                }
                let configuration = &mut codec["configuration"];
                inner = check_inner(&configuration["chunk_shape"], chunk)?;
                understand(&mut configuration["codecs"], &inner, depth + 1)?;
                let (index, _) = understand(&mut configuration["index_codecs"], &[], DEEPEST_SHARDS)?;
                let plain = configuration["index_codecs"].as_array().is_some_and(|list| {
                    list.iter().all(|codec| codec["name"] == "bytes" || codec["name"] == Coding::Crc32c.registered_name())
                });
                if !plain || index == Access::Inner {
                    return Err("a shard index is only supported with the codecs bytes and crc32c".to_owned());
                }
                // With anything before or after, a shard is decoded as a whole.
                access = if only { Access::Inner } else { Access::Whole };
            }
            _ => return Err(format!("the codec {name:?} is not supported")),
        }
    }
    Ok((access, inner))
}

/// The names of codecs that [`understand`] has gone over.
fn codec_names(codecs: &Value) -> String {
    let name = |codec: &Value| {
        let name = codec["name"].as_str().unwrap_or_default();
        let name = name.strip_prefix(REGISTERED_PREFIX).unwrap_or(name);
        match codec["configuration"].get("codecs") {
            Some(inner) => format!("{name} ({})", codec_names(inner)),
            None => name.to_owned(),
        }
    };
    codecs.as_array().into_iter().flatten().map(name).collect::<Vec<_>>().join(", ")
}

/// The shape of a shard's inner chunks, which must fill it.
fn check_inner(inner: &Value, shard: &[u64]) -> Result<Vec<u64>, String> {
    let sizes: Option<Vec<u64>> = inner.as_array().and_then(|sizes| sizes.iter().map(Value::as_u64).collect());
    let fits = |sizes: &Vec<u64>| {
        sizes.len() == shard.len() && sizes.iter().zip(shard).all(|(&inner, &shard)| inner > 0 && shard % inner == 0)
    };
    match sizes {
        Some(sizes) if fits(&sizes) => {
            let count = sizes.iter().zip(shard).fold(1_u64, |count, (inner, shard)| count.saturating_mul(shard / inner));
            if count > MOST_INNER_CHUNKS {
                return Err(format!("{count} chunks in a shard are more than {MOST_INNER_CHUNKS}"));
            }
            Ok(sizes)
        }
        _ => Err(format!("chunks of {} do not fill a shard of {shard:?}", shown(inner))),
    }
}
