//! SemiETPicker: particle picking in cryo-electron tomograms.
//!
//! A biologist opens a few tomograms, clicks some particles and presses Train; a 3D network learns in the background while its
//! heatmap and picks appear on the slices; she reviews them and exports coordinates for averaging.
//!
//! | module | subject |
//! |---|---|
//! | [`volume`] | tomograms: files, regions, statistics, resampling |
//! | [`labels`] | classes, positions, complete regions, edits and undo |
//! | [`project`] | the crash-safe folder that keeps them |
//! | [`coordinates`] | positions in files, in and out |
//! | [`copick`] | copick projects: opened directly, saved back to |
//! | [`simulate`] | tomograms with known positions |
//! | [`model`] | the network, its targets, its loss, its file |
//! | [`train`] | the training session: commands in, events out |
//! | [`pick`] | from a model and a tomogram to picks |
//! | [`score`] | how good picks are |
//! | [`review`] | looking through picks, comparing and counting them, and what made them |
//! | [`render`], [`ui`] | the window |
//! | [`cli`] | the command line |
//!
//! Positions are continuous voxel indices ordered `(z, y, x)`; an integer is a voxel's centre ([`geometry`]).
#![recursion_limit = "256"]

mod causes;
pub mod cli;
pub mod coordinates;
pub mod copick;
mod files;
pub mod geometry;
pub mod labels;
pub mod model;
pub mod pick;
pub mod project;
pub mod render;
pub mod review;
pub mod score;
pub mod simulate;
pub mod train;
pub mod ui;
pub mod volume;
