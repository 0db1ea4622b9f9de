//! copick projects (<https://github.com/copick/copick>): runs with tomograms, and the picks of many users beside them.
//!
//! [`CopickProject::open`] reads a configuration and lists what lies below its two roots; [`CopickProject::suggest`] says which
//! tomograms and picks to take and whether anything has to be asked; [`CopickProject::plan`] reads them; [`Plan::fill`] makes them
//! the content of a project of this program, which remembers all of it in a [`CopickLink`]; [`save`] writes labels or picks back
//! into the overlay, under the user's own name, and never touches what others have written.
//!
//! Positions in copick are angstrom, voxel index times spacing, and the particle's centre is a point's location plus the
//! translation of its transform (copick 1.31, `CopickPicks.full_positions`). Only folders of the file system are read.

mod config;
mod error;
mod name;
mod plan;
mod project;
mod save;
mod tree;

#[cfg(test)]
mod tests;

pub use config::{Config, PickableObject, config_at, is_config};
pub use error::CopickError;
pub use name::{Source, VoxelSpacing, check_name};
pub use plan::{Choice, CopickLink, LINK_SETTING, Plan, PlannedTomogram, RunOf};
pub use project::{CopickProject, Counted, Grid, Suggestion, Wishes};
pub use save::{SaveRequest, Saved, next_session, own_user, save};
pub use tree::{PicksFile, Run, Tomogram};
