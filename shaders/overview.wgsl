// Labels and picks in three dimensions: one instance each, a square that faces the viewer, cut to the shape of its class. The depth
// test sorts them. The picture has a transparent background and premultiplied colours.

struct Overview {
    // Rows of the projection, in physical pixels from the middle and in depth 0 to 1: see Projection in render/overview.
    right: vec4<f32>,
    down: vec4<f32>,
    depth: vec4<f32>,
    // Picture in pixels (xy), pixels per voxel (z), smallest radius in pixels (w).
    scale: vec4<f32>,
    // Colour that distant points fade to (rgb), and how much the farthest do (a).
    fog: vec4<f32>,
}

@group(0) @binding(0) var<uniform> overview: Overview;

struct Point {
    // Voxel index (xyz) and radius in voxels (w).
    @location(0) place: vec4<f32>,
    // Colour, not premultiplied.
    @location(1) colour: vec4<f32>,
    // 0 sphere, 1 square, 2 diamond, 3 triangle, 4 cross; 16 more for an outline alone.
    @location(2) shape: u32,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) offset: vec2<f32>,
    @location(1) colour: vec4<f32>,
    @location(2) @interpolate(flat) shape: u32,
    @location(3) @interpolate(flat) radius: f32,
    @location(4) @interpolate(flat) depth: f32,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32, point: Point) -> Corner {
    let corner = vec2<f32>(f32(index & 1u), f32(index >> 1u)) * 2.0 - 1.0;
    let place = vec4<f32>(point.place.xyz, 1.0);
    let radius = max(point.place.w * overview.scale.z, overview.scale.w);
    // Half a pixel more, for the soft edge.
    let offset = corner * (radius + 0.5);
    let at = vec2<f32>(dot(overview.right, place), dot(overview.down, place)) + offset;
    let depth = dot(overview.depth, place);
    var out: Corner;
    out.position = vec4<f32>(at.x * 2.0 / overview.scale.x, -at.y * 2.0 / overview.scale.y, clamp(depth, 0.0, 1.0), 1.0);
    out.offset = offset;
    out.colour = point.colour;
    out.shape = point.shape;
    out.radius = radius;
    out.depth = depth;
    return out;
}

// Distance in pixels from the outline; negative inside. All shapes have about the same area.
fn outline(offset: vec2<f32>, radius: f32, shape: u32) -> f32 {
    switch shape {
        case 1u: {
            return max(abs(offset.x), abs(offset.y)) - radius * 0.85;
        }
        case 2u: {
            return (abs(offset.x) + abs(offset.y) - radius) * 0.70710678;
        }
        case 3u: {
            return max(offset.y - radius * 0.6, abs(offset.x) * 0.8944 - (offset.y + radius) * 0.4472);
        }
        case 4u: {
            let arms = min(abs(offset.x - offset.y), abs(offset.x + offset.y)) * 0.70710678 - max(radius * 0.18, 0.75);
            return max(arms, length(offset) - radius);
        }
        default: {
            return length(offset) - radius;
        }
    }
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let shape = corner.shape & 15u;
    var distance = outline(corner.offset, corner.radius, shape);
    if corner.shape >= 16u {
        // Only a rim, unless the point is too small to have a hole.
        let rim = max(corner.radius * 0.3, 1.2);
        if corner.radius > 2.0 * rim {
            distance = max(distance, -distance - rim);
        }
    }
    let cover = (1.0 - smoothstep(-0.5, 0.5, distance)) * corner.colour.a;
    // Without blending behind a fragment it is there or not: the depth test knows nothing between.
    if cover < 0.3 {
        discard;
    }
    // Light from the upper left, towards the viewer.
    let slope = corner.offset / max(corner.radius, 1.0);
    let height = sqrt(max(1.0 - dot(slope, slope), 0.0));
    var light = 0.7 + 0.36 * clamp(dot(vec3<f32>(slope, height), vec3<f32>(-0.4, -0.55, 0.73)), 0.0, 1.0);
    if shape != 0u {
        light = 0.95;
    }
    let far = clamp(corner.depth, 0.0, 1.0) * overview.fog.a;
    let colour = mix(min(corner.colour.rgb * light, vec3<f32>(1.0)), overview.fog.rgb, far);
    return vec4<f32>(colour * cover, cover);
}
