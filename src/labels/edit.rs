//! One change of the labels, as a value that knows its inverse.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Annotations, Class, ClassId, ItemId, Point, PointKind, Region, TomogramId, TomogramLabels, rounded, rounded_position,
    serialize_rounded_position,
};

/// The largest magnitude of a coordinate of a label, in voxels, and of a radius, in angstrom. It is far beyond any tomogram;
/// below it a millionth is still exact in an `f64`.
pub const MAX_COORDINATE: f64 = 1e9;

/// Identities stay below this, so that every JSON reader keeps them exact.
const MAX_ID: u64 = 1 << 53;

/// A change of [`Annotations`]. It carries both what was and what will be, so that [`Edit::inverse`] needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// A new point.
    AddPoint {
        /// Where.
        tomogram: TomogramId,
        /// The point, with an identity from [`Annotations::new_id`].
        point: Point,
    },
    /// A point goes away.
    RemovePoint {
        /// Where.
        tomogram: TomogramId,
        /// The point as it is.
        point: Point,
    },
    /// A point moves.
    MovePoint {
        /// Where.
        tomogram: TomogramId,
        /// Which point.
        id: ItemId,
        /// Voxel index `(z, y, x)` at which it is.
        #[serde(serialize_with = "serialize_rounded_position")]
        from: [f64; 3],
        /// Voxel index `(z, y, x)` at which it will be.
        #[serde(serialize_with = "serialize_rounded_position")]
        to: [f64; 3],
    },
    /// A point says something else.
    SetKind {
        /// Where.
        tomogram: TomogramId,
        /// Which point.
        id: ItemId,
        /// What it says.
        from: PointKind,
        /// What it will say.
        to: PointKind,
    },
    /// A new complete region.
    AddRegion {
        /// Where.
        tomogram: TomogramId,
        /// The region, with an identity from [`Annotations::new_id`].
        region: Region,
    },
    /// A complete region goes away.
    RemoveRegion {
        /// Where.
        tomogram: TomogramId,
        /// The region as it is.
        region: Region,
    },
    /// A complete region changes its extent.
    SetRegion {
        /// Where.
        tomogram: TomogramId,
        /// The region as it is.
        from: Region,
        /// The region as it will be, of the same identity.
        to: Region,
    },
    /// A new class.
    AddClass {
        /// Its place among the classes, at most their number.
        index: usize,
        /// The class, with an identity from [`Annotations::new_class_id`].
        class: Class,
    },
    /// A class goes away; only when no point is of it ([`Annotations::remove_class_edit`] removes its points first).
    RemoveClass {
        /// Its place among the classes.
        index: usize,
        /// The class as it is.
        class: Class,
    },
    /// A class changes its name, radius or colour.
    ChangeClass {
        /// The class as it is.
        from: Class,
        /// The class as it will be, of the same identity.
        to: Class,
    },
    /// Several edits that are done and undone as one: all of them, or none.
    Batch {
        /// For the undo menu.
        name: String,
        /// In the order in which they are applied.
        edits: Vec<Edit>,
    },
}

/// Why an edit cannot be applied. The labels are as they were before.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EditError {
    /// Not finite, or beyond [`MAX_COORDINATE`].
    #[error("position {0:?} is not a place in a tomogram: use finite voxel indices up to 1e9")]
    Position([f64; 3]),
    /// The identity is in use, or too large.
    #[error("the identity {} of a new label is already in use or out of range: take one from new_id", .0.0)]
    Id(ItemId),
    /// No point of this identity.
    #[error("there is no label {} in tomogram {}", .1.0, .0.0)]
    NoPoint(TomogramId, ItemId),
    /// No region of this identity.
    #[error("there is no complete region {} in tomogram {}", .1.0, .0.0)]
    NoRegion(TomogramId, ItemId),
    /// What the edit takes for granted is not so any more.
    #[error("the {0} has been changed since this edit was made: repeat it")]
    Changed(&'static str),
    /// A region without a voxel, or beyond [`MAX_COORDINATE`].
    #[error("a complete region must contain at least one voxel and lie in the tomogram: draw it again")]
    EmptyRegion,
    /// No class of this identity.
    #[error("there is no class with the identity {}: add the class first", .0.0)]
    NoClass(ClassId),
    /// The identity of a new class is in use, or too large.
    #[error("the identity {} of a new class is already in use or out of range: take one from new_class_id", .0.0)]
    ClassId(ClassId),
    /// A place beyond the end of the list of classes.
    #[error("there is no place {0} in a list of {1} classes")]
    ClassIndex(usize, usize),
    /// Empty, surrounded by spaces, or with control characters.
    #[error(
        "{0:?} cannot be the name of a class: give at least one character, no spaces around it, no line breaks or other control characters"
    )]
    ClassName(String),
    /// The name is in use.
    #[error("there is already a class named {0:?}: choose another name")]
    DuplicateClassName(String),
    /// Not a radius.
    #[error(
        "the radius {radius_angstrom} Å of class {class:?} is not positive and finite: give the particle's radius in angstrom"
    )]
    Radius {
        /// The class.
        class: String,
        /// What was given.
        radius_angstrom: f64,
    },
    /// Points are of the class.
    #[error("class {class:?} still has {points} labels: remove them first")]
    ClassInUse {
        /// The class.
        class: String,
        /// Their number.
        points: usize,
    },
}

impl Edit {
    /// The edit that takes this one back exactly.
    pub fn inverse(&self) -> Self {
        match self.clone() {
            Self::AddPoint { tomogram, point } => Self::RemovePoint { tomogram, point },
            Self::RemovePoint { tomogram, point } => Self::AddPoint { tomogram, point },
            Self::MovePoint { tomogram, id, from, to } => Self::MovePoint { tomogram, id, from: to, to: from },
            Self::SetKind { tomogram, id, from, to } => Self::SetKind { tomogram, id, from: to, to: from },
            Self::AddRegion { tomogram, region } => Self::RemoveRegion { tomogram, region },
            Self::RemoveRegion { tomogram, region } => Self::AddRegion { tomogram, region },
            Self::SetRegion { tomogram, from, to } => Self::SetRegion { tomogram, from: to, to: from },
            Self::AddClass { index, class } => Self::RemoveClass { index, class },
            Self::RemoveClass { index, class } => Self::AddClass { index, class },
            Self::ChangeClass { from, to } => Self::ChangeClass { from: to, to: from },
            Self::Batch { name, edits } => Self::Batch { name, edits: edits.iter().rev().map(Self::inverse).collect() },
        }
    }

    /// Whether the edit changes nothing because it is a batch of nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Batch { edits, .. } if edits.iter().all(Self::is_empty))
    }

    /// What the edit does, in a few words for the undo menu, such as `add ribosome`. `annotations` names the classes.
    pub fn describe(&self, annotations: &Annotations) -> String {
        let kind_name = |kind: &PointKind| match kind {
            PointKind::Negative => "“not a particle”".to_owned(),
            PointKind::Particle(id) => annotations.class(*id).map_or_else(|| "label".to_owned(), |class| class.name.clone()),
        };
        match self {
            Self::AddPoint { point, .. } => format!("add {}", kind_name(&point.kind)),
            Self::RemovePoint { point, .. } => format!("remove {}", kind_name(&point.kind)),
            Self::MovePoint { .. } => "move point".to_owned(),
            Self::SetKind { to, .. } => format!("change label to {}", kind_name(to)),
            Self::AddRegion { .. } => "add complete region".to_owned(),
            Self::RemoveRegion { .. } => "remove complete region".to_owned(),
            Self::SetRegion { .. } => "change complete region".to_owned(),
            Self::AddClass { class, .. } => format!("add class {}", class.name),
            Self::RemoveClass { class, .. } => format!("remove class {}", class.name),
            Self::ChangeClass { from, to } if from.name != to.name => format!("rename class {} to {}", from.name, to.name),
            Self::ChangeClass { from, .. } => format!("change class {}", from.name),
            Self::Batch { name, .. } => name.clone(),
        }
    }
}

impl Annotations {
    /// Applies an edit. Positions and radii are kept to a millionth of a voxel or angstrom.
    ///
    /// # Errors
    /// When a position is not finite, an identity or a class name is taken, a class is unknown, a radius is not positive, a
    /// region is empty, or the labels are not as the edit takes for granted. Nothing has changed then, for a batch neither.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), EditError> {
        match edit {
            Edit::AddPoint { tomogram, point } => self.add_point(*tomogram, *point),
            Edit::RemovePoint { tomogram, point } => {
                let present = *self.point_mut(*tomogram, point.id)?;
                if present != (Point { position: rounded_position(point.position), ..*point }) {
                    return Err(EditError::Changed("label"));
                }
                self.drop_items(*tomogram, |labels| labels.points.remove(&point.id).is_some());
                Ok(())
            }
            Edit::MovePoint { tomogram, id, from, to } => {
                let to = valid_position(*to)?;
                let point = self.point_mut(*tomogram, *id)?;
                if point.position != rounded_position(*from) {
                    return Err(EditError::Changed("label"));
                }
                point.position = to;
                Ok(())
            }
            Edit::SetKind { tomogram, id, from, to } => {
                self.check_kind(*to)?;
                let point = self.point_mut(*tomogram, *id)?;
                if point.kind != *from {
                    return Err(EditError::Changed("label"));
                }
                point.kind = *to;
                Ok(())
            }
            Edit::AddRegion { tomogram, region } => {
                valid_region(region)?;
                self.claim_id(region.id)?;
                self.tomograms.entry(*tomogram).or_default().regions.insert(region.id, *region);
                Ok(())
            }
            Edit::RemoveRegion { tomogram, region } => {
                if *self.region_mut(*tomogram, region.id)? != *region {
                    return Err(EditError::Changed("complete region"));
                }
                self.drop_items(*tomogram, |labels| labels.regions.remove(&region.id).is_some());
                Ok(())
            }
            Edit::SetRegion { tomogram, from, to } => {
                valid_region(to)?;
                let region = self.region_mut(*tomogram, from.id)?;
                if *region != *from || from.id != to.id {
                    return Err(EditError::Changed("complete region"));
                }
                *region = *to;
                Ok(())
            }
            Edit::AddClass { index, class } => self.add_class(*index, class),
            Edit::RemoveClass { index, class } => {
                if self.classes.get(*index) != Some(&stored(class)) {
                    return Err(EditError::Changed("class"));
                }
                let points = self.count(class.id);
                if points > 0 {
                    return Err(EditError::ClassInUse { class: class.name.clone(), points });
                }
                self.classes.remove(*index);
                Ok(())
            }
            Edit::ChangeClass { from, to } => {
                let index = self.class_index(from.id).ok_or(EditError::NoClass(from.id))?;
                if self.classes[index] != stored(from) || from.id != to.id {
                    return Err(EditError::Changed("class"));
                }
                self.check_class(to)?;
                self.classes[index] = stored(to);
                Ok(())
            }
            Edit::Batch { edits, .. } => self.apply_all(edits),
        }
    }

    /// The same labels after every rule has been checked, for labels that come from a file.
    ///
    /// # Errors
    /// The first rule of [`Annotations::apply`] that is broken.
    pub fn checked(&self) -> Result<Self, EditError> {
        let mut checked = Self { next_id: self.next_id.min(MAX_ID), ..Self::default() };
        for class in &self.classes {
            checked.add_class(checked.classes.len(), class)?;
        }
        for (tomogram, labels) in &self.tomograms {
            // The key rules: should a record inside disagree with it, the edit below refuses it.
            for (id, point) in &labels.points {
                if *id != point.id {
                    return Err(EditError::Id(*id));
                }
                checked.add_point(*tomogram, *point)?;
            }
            for (id, region) in &labels.regions {
                if *id != region.id {
                    return Err(EditError::Id(*id));
                }
                checked.apply(&Edit::AddRegion { tomogram: *tomogram, region: *region })?;
            }
        }
        Ok(checked)
    }

    fn apply_all(&mut self, edits: &[Edit]) -> Result<(), EditError> {
        let next_id = self.next_id;
        for (count, edit) in edits.iter().enumerate() {
            if let Err(error) = self.apply(edit) {
                for done in edits[..count].iter().rev() {
                    let taken_back = self.apply(&done.inverse());
                    debug_assert!(taken_back.is_ok(), "an edit just applied has an inverse that applies: {taken_back:?}");
                }
                self.next_id = next_id;
                return Err(error);
            }
        }
        Ok(())
    }

    fn add_point(&mut self, tomogram: TomogramId, point: Point) -> Result<(), EditError> {
        let position = valid_position(point.position)?;
        self.check_kind(point.kind)?;
        self.claim_id(point.id)?;
        self.tomograms.entry(tomogram).or_default().points.insert(point.id, Point { position, ..point });
        Ok(())
    }

    fn add_class(&mut self, index: usize, class: &Class) -> Result<(), EditError> {
        if index > self.classes.len() {
            return Err(EditError::ClassIndex(index, self.classes.len()));
        }
        if self.class(class.id).is_some() || class.id.0 == u32::MAX {
            return Err(EditError::ClassId(class.id));
        }
        self.check_class(class)?;
        self.next_id = self.next_id.max(u64::from(class.id.0) + 1);
        self.classes.insert(index, stored(class));
        Ok(())
    }

    /// Whether `class` may stand beside the classes of other identities.
    fn check_class(&self, class: &Class) -> Result<(), EditError> {
        if class.name.trim() != class.name || class.name.is_empty() || class.name.chars().any(char::is_control) {
            return Err(EditError::ClassName(class.name.clone()));
        }
        if self.classes.iter().any(|other| other.id != class.id && other.name == class.name) {
            return Err(EditError::DuplicateClassName(class.name.clone()));
        }
        // The rounded radius is what will be kept: a tiny one would become zero. A comparison with NaN is false.
        let radius = rounded(class.radius_angstrom);
        if !(radius > 0.0 && radius <= MAX_COORDINATE) {
            return Err(EditError::Radius { class: class.name.clone(), radius_angstrom: class.radius_angstrom });
        }
        Ok(())
    }

    fn check_kind(&self, kind: PointKind) -> Result<(), EditError> {
        match kind {
            PointKind::Particle(class) if self.class(class).is_none() => Err(EditError::NoClass(class)),
            _ => Ok(()),
        }
    }

    /// Makes sure that no label has the identity `id`, and that it is never handed out again.
    fn claim_id(&mut self, id: ItemId) -> Result<(), EditError> {
        let taken = self.tomograms.values().any(|labels| labels.points.contains_key(&id) || labels.regions.contains_key(&id));
        if taken || id.0 >= MAX_ID {
            return Err(EditError::Id(id));
        }
        self.next_id = self.next_id.max(id.0 + 1);
        Ok(())
    }

    fn point_mut(&mut self, tomogram: TomogramId, id: ItemId) -> Result<&mut Point, EditError> {
        self.tomograms.get_mut(&tomogram).and_then(|labels| labels.points.get_mut(&id)).ok_or(EditError::NoPoint(tomogram, id))
    }

    fn region_mut(&mut self, tomogram: TomogramId, id: ItemId) -> Result<&mut Region, EditError> {
        self.tomograms.get_mut(&tomogram).and_then(|labels| labels.regions.get_mut(&id)).ok_or(EditError::NoRegion(tomogram, id))
    }

    /// Removes something, and the tomogram's entry with its last label, so that undo restores equal annotations.
    fn drop_items(&mut self, tomogram: TomogramId, remove: impl FnOnce(&mut TomogramLabels) -> bool) {
        if let Some(labels) = self.tomograms.get_mut(&tomogram)
            && remove(labels)
            && labels.is_empty()
        {
            self.tomograms.remove(&tomogram);
        }
    }
}

/// The class as it is kept.
fn stored(class: &Class) -> Class {
    Class { radius_angstrom: rounded(class.radius_angstrom), ..class.clone() }
}

fn valid_position(position: [f64; 3]) -> Result<[f64; 3], EditError> {
    if position.iter().all(|coordinate| coordinate.abs() <= MAX_COORDINATE) {
        Ok(rounded_position(position))
    } else {
        Err(EditError::Position(position))
    }
}

fn valid_region(region: &Region) -> Result<(), EditError> {
    let sound = (0..3)
        .all(|axis| region.voxels.start[axis] < region.voxels.end[axis] && region.voxels.end[axis] as f64 <= MAX_COORDINATE);
    if sound { Ok(()) } else { Err(EditError::EmptyRegion) }
}
