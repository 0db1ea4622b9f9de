//! Markers as true sections of spheres.

/// How a marker is drawn; the number is what the shader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerStyle {
    /// A solid ring: a label.
    Ring = 0,
    /// A dashed ring: a pick.
    Dashed = 1,
    /// A ring with a cross in it: "not a particle".
    Crossed = 2,
    /// A faint dot: its sphere does not reach this slice.
    Dot = 3,
}

/// One marker, as the shader reads it.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Marker {
    /// Centre (right, down), radius and width of the line, in physical pixels from the pane's top left corner.
    pub shape: [f32; 4],
    /// Colour in sRGB, 0 to 1, not premultiplied.
    pub colour: [f32; 4],
    /// A [`MarkerStyle`].
    pub style: f32,
}

/// Radius of the circle in which a plane cuts a sphere of radius `radius` at `distance` from its centre, all in one unit:
/// `sqrt(radius^2 - distance^2)` (Pythagoras); `None` when the plane misses the sphere.
pub fn section_radius(radius: f64, distance: f64) -> Option<f64> {
    let squared = radius * radius - distance * distance;
    (squared > 0.0).then(|| squared.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_shrink_to_nothing_at_the_pole() {
        assert_eq!(section_radius(5.0, 0.0), Some(5.0));
        assert_eq!(section_radius(5.0, -3.0), Some(4.0));
        assert_eq!(section_radius(5.0, 5.0), None);
        assert_eq!(section_radius(5.0, 6.0), None);
    }
}
