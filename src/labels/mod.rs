//! What the biologist has said about her tomograms: classes, positions, explicit negatives and complete regions.
//!
//! The functional core is [`Annotations`], changed only by applying an [`Edit`]. An edit is a value that knows its inverse,
//! so undo ([`History`]) and the journal of a project need nothing more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::geometry::VoxelBox;

mod edit;
mod history;
mod palette;
mod query;
#[cfg(test)]
mod tests;

pub use edit::{Edit, EditError, MAX_COORDINATE};
pub use history::{History, MAX_HISTORY};
pub use palette::{cue, default_colour};
pub use query::LabelCounts;

/// Names a class within one project; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassId(pub u32);

/// Names a tomogram within one project; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TomogramId(pub u32);

/// Names a point or a region within one project; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemId(pub u64);

/// A kind of particle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its identity within the project.
    pub id: ClassId,
    /// Its name, unique within the project, not empty, without control characters or spaces around it.
    pub name: String,
    /// Radius of the particle in angstrom, positive and finite; kept to a millionth.
    #[serde(serialize_with = "serialize_rounded")]
    pub radius_angstrom: f64,
    /// Colour in sRGB.
    pub colour: [u8; 3],
}

/// What a point says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// A particle of this class is centred here.
    Particle(ClassId),
    /// No particle of any class is here.
    Negative,
}

/// A label at one position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its identity within the project.
    pub id: ItemId,
    /// Continuous voxel index `(z, y, x)` at full resolution; kept to a millionth of a voxel.
    #[serde(serialize_with = "serialize_rounded_position")]
    pub position: [f64; 3],
    /// What it says.
    pub kind: PointKind,
}

/// A box in which everything has been labelled: what is not labelled there is background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its identity within the project.
    pub id: ItemId,
    /// The voxels, at full resolution.
    pub voxels: VoxelBox,
}

/// The labels of one tomogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TomogramLabels {
    /// Positions and negatives.
    pub points: BTreeMap<ItemId, Point>,
    /// Complete regions.
    pub regions: BTreeMap<ItemId, Region>,
}

impl TomogramLabels {
    /// Whether nothing has been said about the tomogram.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.regions.is_empty()
    }

    /// Positions `(z, y, x)` of the particles of `class`.
    pub fn particles(&self, class: ClassId) -> impl Iterator<Item = [f64; 3]> + '_ {
        self.points.values().filter(move |point| point.kind == PointKind::Particle(class)).map(|point| point.position)
    }
}

/// All classes and labels of a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Annotations {
    /// Classes in the order in which they are shown; keys 1 to 9 choose the first nine.
    pub classes: Vec<Class>,
    /// Labels per tomogram; a tomogram without an entry has none.
    pub tomograms: BTreeMap<TomogramId, TomogramLabels>,
    /// The next identity to hand out, greater than any in use.
    pub next_id: u64,
}

/// `value` to a millionth, which is how positions and radii are kept. A number with so few digits survives JSON exactly, so
/// what is read back from a project equals what was in memory, and edits can be compared with `==`.
pub(crate) fn rounded(value: f64) -> f64 {
    // Adding zero turns a negative zero into a positive one.
    (value * 1e6).round() / 1e6 + 0.0
}

/// [`rounded`] for a position.
pub(crate) fn rounded_position(position: [f64; 3]) -> [f64; 3] {
    position.map(rounded)
}

fn serialize_rounded<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    rounded(*value).serialize(serializer)
}

fn serialize_rounded_position<S: serde::Serializer>(position: &[f64; 3], serializer: S) -> Result<S::Ok, S::Error> {
    rounded_position(*position).serialize(serializer)
}
