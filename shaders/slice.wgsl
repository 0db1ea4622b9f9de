// A slice of a tomogram with its heatmap on top: contrast, interpolation and colour map, all per fragment.
// Positions are image positions in full-resolution voxels: voxel i spans i .. i + 1, so its centre is i + 0.5.
// Textures are read with textureLoad alone, because 32-bit floats cannot be filtered on every adapter.

struct Pane {
    // Image position at the pane's top left corner (xy) and the extent that it shows (zw).
    window: vec4<f32>,
    // Extent of the image in voxels (xy) and in texels (zw), the latter not always a whole number.
    image: vec4<f32>,
    // Value shown black, one over the range, 1 to invert, 1 to interpolate.
    contrast: vec4<f32>,
    // Cells of the heatmap (xy) and voxels per cell (zw).
    heat_grid: vec4<f32>,
    // Opacity, value where it begins to show, value where it is fully there, unused.
    heat: vec4<f32>,
    // Pane in physical pixels (xy), 1 if the target stores linear values, unused.
    target_info: vec4<f32>,
    // Colour outside the image.
    background: vec4<f32>,
    // Outline that keeps markers legible on any grey.
    halo: vec4<f32>,
    // Colour map of the heatmap, from low to high.
    colours: array<vec4<f32>, 10>,
}

@group(0) @binding(0) var<uniform> pane: Pane;
@group(0) @binding(1) var slice_texture: texture_2d<f32>;
@group(0) @binding(2) var heat_texture: texture_2d<f32>;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) uv: vec2<f32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    // One triangle that covers the pane.
    let uv = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    var out: Corner;
    out.position = vec4<f32>(uv.x * 2.0 - 1.0, 1.0 - uv.y * 2.0, 0.0, 1.0);
    out.uv = uv;
    return out;
}

fn slice_texel(at: vec2<i32>) -> f32 {
    let last = vec2<i32>(textureDimensions(slice_texture)) - vec2<i32>(1, 1);
    return textureLoad(slice_texture, clamp(at, vec2<i32>(0, 0), last), 0).r;
}

fn slice_value(position: vec2<f32>) -> f32 {
    let texel = position * pane.image.zw / pane.image.xy;
    if pane.contrast.w < 0.5 {
        return slice_texel(vec2<i32>(floor(texel)));
    }
    let corner = floor(texel - 0.5);
    let part = texel - 0.5 - corner;
    let at = vec2<i32>(corner);
    let upper = mix(slice_texel(at), slice_texel(at + vec2<i32>(1, 0)), part.x);
    let lower = mix(slice_texel(at + vec2<i32>(0, 1)), slice_texel(at + vec2<i32>(1, 1)), part.x);
    return mix(upper, lower, part.y);
}

fn heat_cell(at: vec2<i32>) -> f32 {
    let last = vec2<i32>(pane.heat_grid.xy) - vec2<i32>(1, 1);
    return textureLoad(heat_texture, clamp(at, vec2<i32>(0, 0), last), 0).r;
}

fn heat_value(position: vec2<f32>) -> f32 {
    // Cell o is centred on voxel index o * voxels_per_cell; an index is an image position minus 0.5.
    let cell = (position - 0.5) / pane.heat_grid.zw;
    let corner = floor(cell);
    let part = cell - corner;
    let at = vec2<i32>(corner);
    let upper = mix(heat_cell(at), heat_cell(at + vec2<i32>(1, 0)), part.x);
    let lower = mix(heat_cell(at + vec2<i32>(0, 1)), heat_cell(at + vec2<i32>(1, 1)), part.x);
    return mix(upper, lower, part.y);
}

fn heat_colour(value: f32) -> vec3<f32> {
    let scaled = clamp(value, 0.0, 1.0) * 9.0;
    let low = u32(min(floor(scaled), 8.0));
    return mix(pane.colours[low].rgb, pane.colours[low + 1u].rgb, scaled - f32(low));
}

fn linear_from_srgb(colour: vec3<f32>) -> vec3<f32> {
    let low = colour / 12.92;
    let high = pow((colour + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, colour <= vec3<f32>(0.04045));
}

fn encoded(colour: vec3<f32>) -> vec4<f32> {
    if pane.target_info.z > 0.5 {
        return vec4<f32>(linear_from_srgb(colour), 1.0);
    }
    return vec4<f32>(colour, 1.0);
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let position = pane.window.xy + corner.uv * pane.window.zw;
    if position.x < 0.0 || position.y < 0.0 || position.x >= pane.image.x || position.y >= pane.image.y {
        return encoded(pane.background.rgb);
    }
    // Where a pixel covers several voxels, their mean is shown: otherwise noise would alias.
    let step = pane.window.zw / pane.target_info.xy;
    let taps = i32(clamp(ceil(max(step.x, step.y)), 1.0, 4.0));
    var value = 0.0;
    for (var row = 0; row < taps; row++) {
        for (var column = 0; column < taps; column++) {
            let offset = (vec2<f32>(f32(column), f32(row)) + 0.5) / f32(taps) - 0.5;
            value += slice_value(position + offset * step);
        }
    }
    value /= f32(taps * taps);
    var grey = clamp((value - pane.contrast.x) * pane.contrast.y, 0.0, 1.0);
    if pane.contrast.z > 0.5 {
        grey = 1.0 - grey;
    }
    var colour = vec3<f32>(grey);
    if pane.heat.x > 0.0 {
        let value = heat_value(position);
        let alpha = pane.heat.x * smoothstep(pane.heat.y, pane.heat.z, value);
        colour = mix(colour, heat_colour(value), alpha);
    }
    return encoded(colour);
}
