//! From a model and a tomogram to picks: sliding-window heatmaps, peaks, thresholds.

mod gpu;
mod heatmap;
mod peaks;
mod picker;
mod segments;
mod thresholds;
mod windows;

pub use gpu::DeviceFault;
pub use heatmap::{Heatmaps, PredictOptions, predict};
pub(crate) use heatmap::{mean_of_views, predict_window};
pub use peaks::{FLOOR, Peak, find_peaks};
pub(crate) use picker::view_of;
pub use picker::{PickError, Picked, Picker};
pub use segments::find_segments;
pub use thresholds::{Thresholds, held_out_f1, supervised_thresholds};
pub use windows::{Tiling, WindowLimits, tile};

#[cfg(test)]
mod tests;
