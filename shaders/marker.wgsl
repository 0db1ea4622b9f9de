// Markers: one instance each, a square around a ring that is drawn from its distance field, so it is sharp at any zoom.

struct Pane {
    window: vec4<f32>,
    image: vec4<f32>,
    contrast: vec4<f32>,
    heat_grid: vec4<f32>,
    heat: vec4<f32>,
    target_info: vec4<f32>,
    background: vec4<f32>,
    halo: vec4<f32>,
    colours: array<vec4<f32>, 10>,
}

@group(0) @binding(0) var<uniform> pane: Pane;

struct Marker {
    // Centre (xy) and radius (z) in physical pixels from the pane's top left corner, width of the line (w).
    @location(0) shape: vec4<f32>,
    // Colour, not premultiplied.
    @location(1) colour: vec4<f32>,
    // 0 ring, 1 dashed ring, 2 crossed ring, 3 dot.
    @location(2) style: f32,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) offset: vec2<f32>,
    @location(1) shape: vec4<f32>,
    @location(2) colour: vec4<f32>,
    @location(3) style: f32,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32, marker: Marker) -> Corner {
    let corner = vec2<f32>(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
    let offset = corner * (marker.shape.z + marker.shape.w + 2.0);
    let uv = (marker.shape.xy + offset) / pane.target_info.xy;
    var out: Corner;
    out.position = vec4<f32>(uv.x * 2.0 - 1.0, 1.0 - uv.y * 2.0, 0.0, 1.0);
    out.offset = offset;
    out.shape = marker.shape;
    out.colour = marker.colour;
    out.style = marker.style;
    return out;
}

// Distance in pixels from the marker's line; negative inside the line.
fn line_distance(offset: vec2<f32>, radius: f32, half_width: f32, style: f32) -> f32 {
    let from_centre = length(offset);
    if style > 2.5 {
        return from_centre - radius;
    }
    let ring = abs(from_centre - radius) - half_width;
    if style > 1.5 {
        let diagonal = min(abs(offset.x - offset.y), abs(offset.x + offset.y)) * 0.70710678 - half_width;
        return min(ring, max(diagonal, from_centre - radius));
    }
    return ring;
}

fn linear_from_srgb(colour: vec3<f32>) -> vec3<f32> {
    let low = colour / 12.92;
    let high = pow((colour + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, colour <= vec3<f32>(0.04045));
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let radius = corner.shape.z;
    let distance = line_distance(corner.offset, radius, corner.shape.w * 0.5, corner.style);
    var line = 1.0 - smoothstep(-0.5, 0.5, distance);
    var halo = (1.0 - smoothstep(0.5, 1.75, distance)) * pane.halo.a;
    if corner.style > 0.5 && corner.style < 1.5 {
        // Dashes of about five pixels, a whole number of them around the ring.
        let dashes = max(round(radius * 6.2831853 / 10.0), 5.0);
        let phase = fract(atan2(corner.offset.y, corner.offset.x) / 6.2831853 * dashes);
        let dash = select(0.0, 1.0, phase < 0.58);
        line *= dash;
        halo *= dash;
    }
    let line_alpha = line * corner.colour.a;
    let halo_alpha = halo * corner.colour.a * (1.0 - line_alpha);
    var colour = corner.colour.rgb;
    var halo_colour = pane.halo.rgb;
    if pane.target_info.z > 0.5 {
        colour = linear_from_srgb(colour);
        halo_colour = linear_from_srgb(halo_colour);
    }
    return vec4<f32>(colour * line_alpha + halo_colour * halo_alpha, line_alpha + halo_alpha);
}
