//! Drawing of slices, heatmaps and markers by the window's own wgpu pipelines.
//!
//! [`view`] maps between the screen and voxels, [`slice`] reads what a view shows, [`marker`] lays out markers as sections of
//! spheres, [`cull`] finds those near a slice, [`low_pass`] smooths a slice for the eye, [`overview`] shows everything in three
//! dimensions, and [`pane`] holds the pipelines of the slices. All but `pane` and `overview::gpu` is plain arithmetic without a GPU.

pub mod cull;
pub mod low_pass;
pub mod marker;
pub mod overview;
pub mod pane;
pub mod slice;
pub mod view;

pub use cull::DepthBuckets;
pub use low_pass::WIDTH_PER_DEVIATION;
pub use marker::{Marker, MarkerStyle, section_radius};
pub use pane::{PaneCallback, PaneColours, PaneResources};
pub use slice::{HeatSlice, SliceImage, SliceRequest, block_for, level_for, read_slice};
pub use view::{Plane, View};

#[cfg(test)]
mod tests {
    /// A shader that does not parse would only fail on a machine with a display; this fails everywhere.
    #[test]
    fn every_shader_parses_and_validates() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut shaders = 0;
        for entry in std::fs::read_dir(&folder).expect("the shaders are part of the package") {
            let path = entry.expect("readable").path();
            if path.extension().is_none_or(|extension| extension != "wgsl") {
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("readable");
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(&source, &path.display().to_string())));
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{error:?}: {}", path.display()));
            assert!(module.entry_points.iter().any(|entry| entry.name == "vertex"));
            assert!(module.entry_points.iter().any(|entry| entry.name == "fragment"));
            shaders += 1;
        }
        assert!(shaders >= 4, "{} holds {shaders} shaders", folder.display());
    }
}
