//! What has been said of each pick, read off the labels.

use rstar::RTree;
use rstar::primitives::GeomWithData;

use crate::geometry::distance;
use crate::labels::{ClassId, ItemId, PointKind, TomogramLabels};
use crate::train::Pick;

/// What has been said of a pick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing yet.
    #[default]
    Open,
    /// A label of its class is at its place.
    Accepted,
    /// "Not a particle" is at its place.
    Rejected,
}

impl Verdict {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

/// What has been said of a pick, and by which label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What has been said.
    pub verdict: Verdict,
    /// The label that says it; `None` while the pick is open.
    pub by: Option<ItemId>,
}

/// What the class of a pick means among the labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PickClass {
    /// The class of labels that confirms it; `None` when the project does not have it.
    pub own: Option<ClassId>,
    /// How near a label must be to speak of a pick, in voxels: half the class's radius.
    pub near_voxels: f64,
}

/// A label's place, its identity and what it says.
type Said = GeomWithData<[f64; 3], (ItemId, Verdict)>;

/// What the labels of a tomogram say of each of its picks. A label speaks of a pick when it is nearer than
/// [`PickClass::near_voxels`] and either of the pick's class or a "not a particle"; the nearest such label decides. Labels of
/// other classes say nothing.
pub fn standings(picks: &[Pick], classes: &[PickClass], labels: Option<&TomogramLabels>) -> Vec<Standing> {
    let Some(labels) = labels else {
        return vec![Standing::default(); picks.len()];
    };
    let tree = |class: &PickClass| {
        let speaks = labels.points.values().filter_map(|point| {
            let verdict = match point.kind {
                PointKind::Negative => Verdict::Rejected,
                PointKind::Particle(id) if Some(id) == class.own => Verdict::Accepted,
                PointKind::Particle(_) => return None,
            };
            Some(GeomWithData::new(point.position, (point.id, verdict)))
        });
        RTree::bulk_load(speaks.collect::<Vec<_>>())
    };
    let trees: Vec<RTree<Said>> = classes.iter().map(tree).collect();
    let standing = |pick: &Pick| {
        let (Some(tree), Some(class)) = (trees.get(pick.class), classes.get(pick.class)) else {
            return Standing::default();
        };
        match tree.nearest_neighbor(&pick.position) {
            Some(label) if distance(*label.geom(), pick.position) < class.near_voxels => {
                Standing { verdict: label.data.1, by: Some(label.data.0) }
            }
            _ => Standing::default(),
        }
    };
    picks.iter().map(standing).collect()
}
