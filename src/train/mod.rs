//! Training: a session on its own thread, commands in, events out.
//!
//! [`Session`] is the handle that a front end holds; [`protocol`](Command) says what goes over it. Behind it the worker drives a
//! [`Trainer`], which draws crops ([`data`](TrainingData)), augments them and steps the optimiser.

mod augment;
mod config;
mod cotrain;
mod crops;
mod data;
mod held_out;
mod live;
mod optimiser;
mod priority;
mod protocol;
mod run_file;
mod schedule;
mod session;
mod trainer;
mod worker;

pub use config::{CHECKPOINT_EVERY_SECS, Detector, DeviceChoice, Method, Preset, SegmentationLoss, TrainConfig};
pub use data::{DataError, PreparedTomogram, TrainingData};
pub use priority::compute_in_background;
pub use protocol::{Command, Event, Heatmap, LiveView, Pick, PickSet, Progress, Stage, TrainingSet, TrainingTomogram};
pub use run_file::RunFile;
pub use session::{Service, Session, SessionEnds, SessionError};
pub use trainer::{StepLoss, TrainError, Trainer};

#[cfg(test)]
mod tests;
