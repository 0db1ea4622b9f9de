//! What the JSON documents of a Zarr hierarchy say: nodes, and the multiscales of OME-Zarr 0.4 and 0.5.
//!
//! The OME-Zarr types are written out here, because those of the `ome_zarr_metadata` crate keep scales as 32-bit numbers, which
//! turns 10.123 angstrom into 10.12300014, and refuse documents that have a field more or less than the specification, as many do.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::store::Store;
use crate::volume::{Fact, PLAUSIBLE_SPACING_ANGSTROM, VolumeError, anisotropy_warning, simplest_decimal};

/// Levels of detail beyond this are not those of an image.
const MOST_DATASETS: usize = 32;
/// Relative error of a product with a power of ten, which leaves digits that nobody wrote.
const ROUNDING: f64 = 1e-12;

const WRITE_AGAIN: &str = "copy or write it again";

/// What lies at a key: an array or a group.
pub(super) enum Node {
    ArrayV2(Value),
    ArrayV3(Value),
    /// A group and its attributes.
    Group(Value),
}

impl Node {
    /// Reads what lies at `key`, the empty one being the hierarchy's root; `None` when nothing does.
    pub(super) fn read(store: &Store, key: &str) -> Result<Option<Self>, VolumeError> {
        let at = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") };
        if let Some(mut document) = json(store, &at("zarr.json"))? {
            return match document["node_type"].as_str() {
                Some("array") => Ok(Some(Self::ArrayV3(document))),
                Some("group") => Ok(Some(Self::Group(document["attributes"].take()))),
                _ => Err(problem(store, format!("{}: neither an array nor a group", at("zarr.json")))),
            };
        }
        // A group's attributes are all that is wanted of it, so they come first: over a network each question takes time.
        let attributes = json(store, &at(".zattrs"))?;
        if let Some(attributes) = &attributes
            && attributes.get("multiscales").is_some()
        {
            return Ok(Some(Self::Group(attributes.clone())));
        }
        if let Some(document) = json(store, &at(".zarray"))? {
            return Ok(Some(Self::ArrayV2(document)));
        }
        match attributes {
            Some(attributes) => Ok(Some(Self::Group(attributes))),
            None => Ok(json(store, &at(".zgroup"))?.map(|_| Self::Group(Value::Null))),
        }
    }
}

/// A JSON document. `serde_json` itself refuses deep nesting.
fn json(store: &Store, key: &str) -> Result<Option<Value>, VolumeError> {
    let Some(bytes) = store.metadata(key)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(error) => Err(problem(store, format!("{key}: the metadata is not JSON ({error})"))),
    }
}

pub(super) fn problem(store: &Store, problem: String) -> VolumeError {
    VolumeError::Zarr { problem, advice: WRITE_AGAIN, path: store.path() }
}

/// Text from a file, cut where it is long.
pub(super) fn brief(text: &str) -> String {
    const CHARACTERS: usize = 100;
    if text.chars().count() <= CHARACTERS {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(CHARACTERS).collect::<String>())
    }
}

/// Part of a document: only what is needed, and tolerant of what is not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Multiscale {
    #[serde(default)]
    axes: Vec<AxisEntry>,
    #[serde(default)]
    datasets: Vec<Dataset>,
    #[serde(default)]
    coordinate_transformations: Vec<Transformation>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AxisEntry {
    /// As in version 0.3.
    Name(String),
    Axis {
        name: String,
        #[serde(default)]
        unit: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dataset {
    path: String,
    #[serde(default)]
    coordinate_transformations: Vec<Transformation>,
}

#[derive(Deserialize)]
struct Transformation {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    scale: Option<Vec<f64>>,
    #[serde(default)]
    translation: Option<Vec<f64>>,
}

/// An array of a pyramid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PyramidLevel {
    /// Key of the array.
    pub(super) path: String,
    /// Edges of a voxel, `(z, y, x)`, in the axes' own units.
    pub(super) scale: Option<[f64; 3]>,
}

/// The arrays of an image, finest first, and what the first one's voxels are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pyramid {
    pub(super) levels: Vec<PyramidLevel>,
    pub(super) spacing_angstrom: Option<f64>,
    pub(super) warnings: Vec<String>,
    pub(super) facts: Vec<Fact>,
}

impl Pyramid {
    /// The first image of a group's attributes; `None` when there is none. With `dataset`, the pyramid begins at that one, and
    /// there is none when it is not part of the image.
    pub(super) fn of(attributes: &Value, dataset: Option<&str>, store: &Store) -> Result<Option<Self>, VolumeError> {
        let images = attributes.pointer("/ome/multiscales").or_else(|| attributes.get("multiscales"));
        let Some(images) = images.and_then(Value::as_array).filter(|images| !images.is_empty()) else { return Ok(None) };
        let bad = |what: String| problem(store, format!("the multiscales metadata are damaged: {what}"));
        let mut warnings = Vec::new();
        if images.len() > 1 {
            warnings.push(format!("{} images in one group: the first is used", images.len()));
        }
        let mut image = Multiscale::deserialize(&images[0]).map_err(|error| bad(error.to_string()))?;
        if image.datasets.is_empty() {
            return Err(bad("no datasets".to_owned()));
        }
        if image.datasets.len() > MOST_DATASETS {
            return Err(bad(format!("{} datasets, more than {MOST_DATASETS}", image.datasets.len())));
        }
        if let Some(wanted) = dataset {
            let Some(first) = image.datasets.iter().position(|dataset| dataset.path.trim_matches('/') == wanted) else {
                return Ok(None);
            };
            image.datasets.drain(..first);
        }
        check_axes(&image.axes).map_err(|what| VolumeError::Zarr {
            problem: what,
            advice: "write the image with the axes z, y, x in this order",
            path: store.path(),
        })?;
        let mut levels = Vec::with_capacity(image.datasets.len());
        for dataset in &image.datasets {
            let path = key_of(&dataset.path).ok_or_else(|| VolumeError::Zarr {
                problem: format!("the dataset path {:?} leads out of the folder", dataset.path),
                advice: "give paths inside the .zarr folder in its metadata",
                path: store.path(),
            })?;
            let own = scale(&dataset.coordinate_transformations, image.axes.len());
            let common = if image.coordinate_transformations.is_empty() {
                Some([1.0; 3])
            } else {
                scale(&image.coordinate_transformations, image.axes.len())
            };
            let scale = own.zip(common).map(|(own, common)| std::array::from_fn(|axis| own[axis] * common[axis]));
            levels.push(PyramidLevel { path, scale });
        }
        let spacing_angstrom = spacing(levels[0].scale, &image.axes, &mut warnings);
        let shifts = image.datasets[0].coordinate_transformations.iter().chain(&image.coordinate_transformations);
        if let Some(shift) = shifts.filter_map(|t| t.translation.as_ref()).find(|shift| shift.iter().any(|value| *value != 0.0)) {
            warnings.push(format!("a translation of {shift:?} is not used: positions count from the first voxel"));
        }
        let version = attributes.pointer("/ome/version").or_else(|| images[0].get("version")).and_then(Value::as_str);
        let form = version.map_or_else(|| "OME-Zarr".to_owned(), |version| format!("OME-Zarr {}", brief(version)));
        let axes: Vec<String> =
            image.axes.iter().map(|axis| format!("{} in {}", axis.name(), axis.unit().unwrap_or("?"))).collect();
        let mut facts = vec![Fact::new("form", form)];
        if !axes.is_empty() {
            facts.push(Fact::new("axes", brief(&axes.join(", "))));
        }
        Ok(Some(Self { levels, spacing_angstrom, warnings, facts }))
    }
}

/// The key that a relative path stands for, unless it leads elsewhere.
pub(super) fn key_of(path: &str) -> Option<String> {
    let is_plain = |part: &&str| !part.is_empty() && *part != "..";
    if path.starts_with('/') || path.contains(['\\', '\0', ':']) || Path::new(path).is_absolute() {
        return None;
    }
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').filter(|part| *part != ".").collect();
    (parts.iter().all(is_plain)).then(|| parts.join("/"))
}

/// The last three axes must be z, y and x, when they are named so at all.
fn check_axes(axes: &[AxisEntry]) -> Result<(), String> {
    let names: Vec<String> = axes.iter().map(|axis| axis.name().to_lowercase()).collect();
    let last = &names[names.len().saturating_sub(3)..];
    let mut sorted = last.to_vec();
    sorted.sort();
    if sorted == ["x", "y", "z"] && last != ["z", "y", "x"] {
        return Err(format!("the axes are {} and not z, y, x", last.join(", ")));
    }
    Ok(())
}

impl AxisEntry {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Axis { name, .. } => name,
        }
    }

    fn unit(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Axis { unit, .. } => unit.as_deref().filter(|unit| !unit.trim().is_empty()),
        }
    }
}

/// The product of the scales along the last three axes; `None` when there is none or something else is in the list.
fn scale(transformations: &[Transformation], axes: usize) -> Option<[f64; 3]> {
    let mut product = None;
    for Transformation { kind, scale, .. } in transformations {
        match (kind.as_str(), scale) {
            ("scale", Some(scale)) if scale.len() >= 3 && (axes == 0 || scale.len() == axes) => {
                let last = &scale[scale.len() - 3..];
                let [z, y, x] = product.unwrap_or([1.0; 3]);
                product = Some([z * last[0], y * last[1], x * last[2]]);
            }
            ("translation" | "identity", _) => {}
            _ => return None,
        }
    }
    product
}

/// Angstrom in a unit of length.
fn unit_angstrom(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        "angstrom" | "Angstrom" | "ångström" | "Ångström" | "Å" | "\u{212b}" | "A" => 1.0,
        "picometer" | "picometre" | "pm" => 0.01,
        "nanometer" | "nanometre" | "nm" => 10.0,
        "micrometer" | "micrometre" | "micron" | "um" | "µm" | "μm" => 1e4,
        "millimeter" | "millimetre" | "mm" => 1e7,
        "meter" | "metre" | "m" => 1e10,
        _ => return None,
    })
}

/// The spacing that a scale and the axes' units give, with warnings on what was assumed.
fn spacing(scale: Option<[f64; 3]>, axes: &[AxisEntry], warnings: &mut Vec<String>) -> Option<f64> {
    let Some(scale) = scale else {
        warnings.push("no scale that can be understood: spacing unknown, give the spacing".to_owned());
        return None;
    };
    let units: Vec<Option<&str>> = axes.iter().skip(axes.len().saturating_sub(3)).map(AxisEntry::unit).collect();
    let mut angstrom = scale;
    if units.iter().all(Option::is_none) {
        if scale == [1.0; 3] {
            warnings.push(
                "a scale of exactly 1 without a unit, which programs write when they do not know it: give the spacing".into(),
            );
            return None;
        }
        warnings.push("no unit: angstrom assumed".to_owned());
    } else {
        for (axis, unit) in units.iter().enumerate() {
            match unit.map_or(Some(1.0), unit_angstrom) {
                Some(factor) => angstrom[axis] *= factor,
                None => {
                    warnings.push(format!("the unit {:?} is not one of length: give the spacing", unit.unwrap_or_default()));
                    return None;
                }
            }
        }
        if units.iter().any(Option::is_none) {
            warnings.push("an axis has no unit: angstrom assumed".to_owned());
        }
    }
    let [z, y, x] = angstrom.map(|value| simplest_decimal(value, ROUNDING));
    if !PLAUSIBLE_SPACING_ANGSTROM.contains(&x) {
        warnings.push(format!("spacing unknown, the metadata say {x} angstrom: give the spacing"));
        return None;
    }
    warnings.extend(anisotropy_warning([x, y, z]));
    Some(x)
}
