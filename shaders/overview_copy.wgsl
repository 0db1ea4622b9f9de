// Puts the picture of the overview into the pane, pixel by pixel.

struct Copy {
    // 1 if the target stores linear values, unused.
    target_info: vec4<f32>,
}

@group(0) @binding(0) var<uniform> copy: Copy;
@group(0) @binding(1) var picture: texture_2d<f32>;

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

fn linear_from_srgb(colour: vec3<f32>) -> vec3<f32> {
    let low = colour / 12.92;
    let high = pow((colour + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, low, colour <= vec3<f32>(0.04045));
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let size = vec2<f32>(textureDimensions(picture));
    let last = vec2<i32>(size) - vec2<i32>(1, 1);
    let colour = textureLoad(picture, clamp(vec2<i32>(floor(corner.uv * size)), vec2<i32>(0, 0), last), 0);
    if copy.target_info.x > 0.5 && colour.a > 0.0 {
        return vec4<f32>(linear_from_srgb(colour.rgb / colour.a) * colour.a, colour.a);
    }
    return colour;
}
