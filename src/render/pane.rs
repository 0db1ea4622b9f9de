//! The wgpu side of a pane: pipelines shared by all panes, textures and buffers kept per pane.
//!
//! egui runs every callback's `prepare` before any `paint`, so nothing that a pane draws may lie in a place shared with
//! another. Only what every downlevel adapter offers is used: two sampled textures, one uniform buffer, no filtering of floats.

use std::sync::Arc;

use egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor, wgpu};

use super::marker::Marker;
use super::slice::{HeatSlice, SliceImage};
use super::view::{Plane, View};

/// Number of colours in the heatmap's colour map.
pub const HEAT_COLOURS: usize = 10;

/// The colours that the shaders need, sRGB, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PaneColours {
    /// Outside the image.
    pub background: [f32; 4],
    /// Around markers, with its opacity.
    pub halo: [f32; 4],
    /// Colour map of the heatmap, from low to high.
    pub heat: [[f32; 4]; HEAT_COLOURS],
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Uniforms {
    window: [f32; 4],
    image: [f32; 4],
    contrast: [f32; 4],
    heat_grid: [f32; 4],
    heat: [f32; 4],
    target_info: [f32; 4],
    background: [f32; 4],
    halo: [f32; 4],
    colours: [[f32; 4]; HEAT_COLOURS],
}

/// Everything that one pane shows in one frame.
pub struct PaneCallback {
    /// Which pane.
    pub plane: Plane,
    /// Where it looks.
    pub view: View,
    /// Size in screen points.
    pub size: egui::Vec2,
    /// The slice; the last good one until the next has been read.
    pub slice: Arc<SliceImage>,
    /// Values shown black and white.
    pub contrast: [f32; 2],
    /// Dark for bright.
    pub invert: bool,
    /// Interpolate between voxels.
    pub smooth: bool,
    /// The heatmap and its opacity.
    pub heat: Option<(Arc<HeatSlice>, f32)>,
    /// Value from which the heatmap begins to show, and value at which it is fully there.
    pub heat_range: [f32; 2],
    /// Markers, later ones on top.
    pub markers: Vec<Marker>,
    /// Colours.
    pub colours: PaneColours,
}

/// The GPU state of one pane.
struct PaneState {
    uniforms: wgpu::Buffer,
    slice: TextureSlot,
    heat: TextureSlot,
    slice_group: Option<wgpu::BindGroup>,
    marker_group: wgpu::BindGroup,
    markers: wgpu::Buffer,
    marker_capacity: u64,
    marker_count: u32,
}

/// A texture that is written anew when another serial comes and made anew when the size changes.
#[derive(Default)]
struct TextureSlot {
    texture: Option<wgpu::Texture>,
    serial: u64,
}

impl TextureSlot {
    /// Returns whether the texture was made anew.
    fn update(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        (label, format, bytes_per_texel): (&str, wgpu::TextureFormat, u32),
        size: [usize; 2],
        (serial, bytes): (u64, &[u8]),
    ) -> bool {
        let extent = wgpu::Extent3d { width: size[0] as u32, height: size[1] as u32, depth_or_array_layers: 1 };
        let renew = self.texture.as_ref().is_none_or(|texture| texture.size() != extent);
        if renew {
            self.texture = Some(device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: extent,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            }));
        }
        if let Some(texture) = &self.texture
            && (renew || self.serial != serial)
        {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(extent.width * bytes_per_texel),
                rows_per_image: Some(extent.height),
            };
            queue.write_texture(texture.as_image_copy(), bytes, layout, extent);
            self.serial = serial;
        }
        renew
    }

    fn view(&self) -> Option<wgpu::TextureView> {
        self.texture.as_ref().map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default()))
    }
}

const SLICE_FORMAT: (&str, wgpu::TextureFormat, u32) = ("slice", wgpu::TextureFormat::R32Float, 4);
const HEAT_FORMAT: (&str, wgpu::TextureFormat, u32) = ("heatmap slice", wgpu::TextureFormat::R8Unorm, 1);

/// Pipelines and the panes' state; lives in egui's callback resources.
pub struct PaneResources {
    slice_pipeline: wgpu::RenderPipeline,
    marker_pipeline: wgpu::RenderPipeline,
    slice_layout: wgpu::BindGroupLayout,
    marker_layout: wgpu::BindGroupLayout,
    linear_target: bool,
    panes: [Option<PaneState>; 3],
}

impl PaneResources {
    /// Compiles the pipelines for a target of this format.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        let uniform_entry = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let texture_entry = |binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            count: None,
        };
        let slice_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("slice"),
            entries: &[uniform_entry, texture_entry(1), texture_entry(2)],
        });
        let marker_layout = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some("marker"), entries: &[uniform_entry] });
        let slice_module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("slice"),
            source: wgpu::ShaderSource::Wgsl(include_str!("../../shaders/slice.wgsl").into()),
        });
        let marker_module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("marker"),
            source: wgpu::ShaderSource::Wgsl(include_str!("../../shaders/marker.wgsl").into()),
        });
        let attributes = wgpu::vertex_attr_array![0 => Float32x4, 1 => Float32x4, 2 => Float32];
        let instances = wgpu::VertexBufferLayout {
            array_stride: size_of::<Marker>() as u64,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes: &attributes,
        };
        let slice_pipeline = pipeline(device, format, ("slice", &slice_module, &slice_layout), &[], None);
        let marker_pipeline = pipeline(
            device,
            format,
            ("marker", &marker_module, &marker_layout),
            &[Some(instances)],
            Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
        );
        Self {
            slice_pipeline,
            marker_pipeline,
            slice_layout,
            marker_layout,
            linear_target: format.is_srgb(),
            panes: [None, None, None],
        }
    }

    fn new_pane(device: &wgpu::Device, marker_layout: &wgpu::BindGroupLayout) -> PaneState {
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("pane"),
            size: size_of::<Uniforms>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let marker_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("marker"),
            layout: marker_layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: uniforms.as_entire_binding() }],
        });
        PaneState {
            uniforms,
            slice: TextureSlot::default(),
            heat: TextureSlot::default(),
            slice_group: None,
            marker_group,
            markers: marker_buffer(device, 64),
            marker_capacity: 64,
            marker_count: 0,
        }
    }
}

fn marker_buffer(device: &wgpu::Device, capacity: u64) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("markers"),
        size: capacity * size_of::<Marker>() as u64,
        usage: wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn pipeline(
    device: &wgpu::Device,
    format: wgpu::TextureFormat,
    (label, module, layout): (&str, &wgpu::ShaderModule, &wgpu::BindGroupLayout),
    buffers: &[Option<wgpu::VertexBufferLayout<'_>>],
    blend: Option<wgpu::BlendState>,
) -> wgpu::RenderPipeline {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(label),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let topology =
        if buffers.is_empty() { wgpu::PrimitiveTopology::TriangleList } else { wgpu::PrimitiveTopology::TriangleStrip };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(label),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some("vertex"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers,
        },
        primitive: wgpu::PrimitiveState { topology, ..Default::default() },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some("fragment"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState { format, blend, write_mask: wgpu::ColorWrites::ALL })],
        }),
        multiview_mask: None,
        cache: None,
    })
}

impl PaneCallback {
    fn uniforms(&self, pixels: [f32; 2], linear_target: bool) -> Uniforms {
        let extent = [0, 1].map(|axis| f64::from(self.size[axis]) / self.view.points_per_voxel);
        let origin = [0, 1].map(|axis| self.view.centre[axis] - extent[axis] / 2.0);
        let [low, high] = self.contrast;
        let range = if (high - low).abs() > f32::MIN_POSITIVE { high - low } else { 1.0 };
        let (cells, per_cell, opacity) = match &self.heat {
            Some((heat, opacity)) => (heat.cells.map(|n| n as f32), heat.voxels_per_cell.map(|v| v as f32), *opacity),
            None => ([1.0; 2], [1.0; 2], 0.0),
        };
        let [image_width, image_height] = self.slice.image_size.map(|n| n as f32);
        // The image's extent in texels, which is not a whole number where a coarser level does not divide it.
        let [texel_width, texel_height] =
            [0, 1].map(|side| (self.slice.image_size[side] as f64 / self.slice.voxels_per_texel[side]) as f32);
        Uniforms {
            window: [origin[0] as f32, origin[1] as f32, extent[0] as f32, extent[1] as f32],
            image: [image_width, image_height, texel_width, texel_height],
            contrast: [low, 1.0 / range, f32::from(u8::from(self.invert)), f32::from(u8::from(self.smooth))],
            heat_grid: [cells[0], cells[1], per_cell[0], per_cell[1]],
            heat: [opacity, self.heat_range[0], self.heat_range[1], 0.0],
            target_info: [pixels[0], pixels[1], f32::from(u8::from(linear_target)), 0.0],
            background: self.colours.background,
            halo: self.colours.halo,
            colours: self.colours.heat,
        }
    }
}

impl CallbackTrait for PaneCallback {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        _encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(resources) = resources.get_mut::<PaneResources>() else {
            return Vec::new();
        };
        let PaneResources { slice_layout, marker_layout, linear_target, panes, .. } = resources;
        let Some(slot) = panes.get_mut(self.plane.index()) else {
            return Vec::new();
        };
        let state = slot.get_or_insert_with(|| PaneResources::new_pane(device, marker_layout));

        let pixels = [self.size.x, self.size.y].map(|points| (points * screen.pixels_per_point).max(1.0));
        queue.write_buffer(&state.uniforms, 0, bytemuck::bytes_of(&self.uniforms(pixels, *linear_target)));

        let slice = (self.slice.serial, bytemuck::cast_slice(self.slice.values.as_slice()));
        let mut renewed = state.slice.update(device, queue, SLICE_FORMAT, self.slice.texels, slice);
        match &self.heat {
            Some((heat, _)) => {
                let bytes = (heat.serial, heat.values.as_slice());
                renewed |= state.heat.update(device, queue, HEAT_FORMAT, heat.cells, bytes);
            }
            // Something must be bound, though nothing of it shows.
            None if state.heat.texture.is_none() => {
                renewed |= state.heat.update(device, queue, HEAT_FORMAT, [1, 1], (0, &[0]));
            }
            None => {}
        }
        if (renewed || state.slice_group.is_none())
            && let (Some(slice), Some(heat)) = (state.slice.view(), state.heat.view())
        {
            state.slice_group = Some(device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("slice"),
                layout: slice_layout,
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: state.uniforms.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&slice) },
                    wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::TextureView(&heat) },
                ],
            }));
        }

        let count = self.markers.len() as u64;
        if count > state.marker_capacity {
            state.marker_capacity = count.next_power_of_two();
            state.markers = marker_buffer(device, state.marker_capacity);
        }
        if count > 0 {
            queue.write_buffer(&state.markers, 0, bytemuck::cast_slice(&self.markers));
        }
        state.marker_count = count as u32;
        Vec::new()
    }

    fn paint(&self, _info: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        let Some(resources) = resources.get::<PaneResources>() else {
            return;
        };
        let Some(Some(state)) = resources.panes.get(self.plane.index()) else {
            return;
        };
        let Some(group) = &state.slice_group else {
            return;
        };
        pass.set_pipeline(&resources.slice_pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.draw(0..3, 0..1);
        if state.marker_count > 0 {
            pass.set_pipeline(&resources.marker_pipeline);
            pass.set_bind_group(0, &state.marker_group, &[]);
            pass.set_vertex_buffer(0, state.markers.slice(..));
            pass.draw(0..4, 0..state.marker_count);
        }
    }
}
