//! The wgpu side of the overview: points with a depth test into a picture, and the picture into the pane.

use std::sync::Arc;

use egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor, wgpu};

use super::{LEAST_RADIUS, OverviewPoint, Projection};

/// Most points that are drawn while the view turns; all of them are drawn as soon as it rests.
pub const MOST_WHILE_TURNING: usize = 30_000;

const PICTURE: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
const DEPTH: wgpu::TextureFormat = wgpu::TextureFormat::Depth32Float;

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Uniforms {
    right: [f32; 4],
    down: [f32; 4],
    depth: [f32; 4],
    scale: [f32; 4],
    fog: [f32; 4],
}

/// The points of one tomogram, in an order in which any first part of them is spread evenly over the whole.
#[derive(Clone, Debug, Default)]
pub struct OverviewPoints {
    /// The points.
    pub points: Vec<OverviewPoint>,
    /// Different for each list ever made.
    pub serial: u64,
}

/// What the overview shows in one frame.
pub struct OverviewCallback {
    /// The points.
    pub points: Arc<OverviewPoints>,
    /// From voxels to screen points.
    pub projection: Projection,
    /// Size in screen points.
    pub size: egui::Vec2,
    /// Whether the view is being turned: then not all of many points are drawn.
    pub turning: bool,
    /// Colour that distant points fade to, sRGB, 0 to 1, and how much the farthest do.
    pub fog: [f32; 4],
}

/// Textures and buffers of the overview.
struct Drawn {
    picture: wgpu::TextureView,
    depth: wgpu::TextureView,
    size: [u32; 2],
    copy_group: wgpu::BindGroup,
    /// What the picture shows.
    content: Option<(Uniforms, u64, usize)>,
}

/// Pipelines and state of the overview; lives in egui's callback resources.
pub struct OverviewResources {
    point_pipeline: wgpu::RenderPipeline,
    copy_pipeline: wgpu::RenderPipeline,
    copy_layout: wgpu::BindGroupLayout,
    uniforms: wgpu::Buffer,
    point_group: wgpu::BindGroup,
    copy_uniforms: wgpu::Buffer,
    points: Option<(wgpu::Buffer, u64, usize)>,
    drawn: Option<Drawn>,
}

impl OverviewResources {
    /// Compiles the pipelines for a target of this format.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, format: wgpu::TextureFormat) -> Self {
        let uniform = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::VERTEX_FRAGMENT,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let picture = wgpu::BindGroupLayoutEntry {
            binding: 1,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            count: None,
        };
        let layout = |label, entries: &[wgpu::BindGroupLayoutEntry]| {
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(label), entries })
        };
        let point_layout = layout("overview", &[uniform]);
        let copy_layout = layout("overview copy", &[uniform, picture]);
        let module = |label, source: &'static str| {
            let source = wgpu::ShaderSource::Wgsl(source.into());
            device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source })
        };
        let point_module = module("overview", include_str!("../../../shaders/overview.wgsl"));
        let copy_module = module("overview copy", include_str!("../../../shaders/overview_copy.wgsl"));
        let attributes = wgpu::vertex_attr_array![0 => Float32x4, 1 => Unorm8x4, 2 => Uint32];
        let instances = wgpu::VertexBufferLayout {
            array_stride: size_of::<OverviewPoint>() as u64,
            step_mode: wgpu::VertexStepMode::Instance,
            attributes: &attributes,
        };
        let depth = wgpu::DepthStencilState {
            format: DEPTH,
            depth_write_enabled: Some(true),
            depth_compare: Some(wgpu::CompareFunction::LessEqual),
            stencil: wgpu::StencilState::default(),
            bias: wgpu::DepthBiasState::default(),
        };
        let blend = wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING;
        let point_pipeline =
            pipeline(device, ("overview", &point_module, &point_layout), &[Some(instances)], (PICTURE, None), Some(depth));
        let copy_pipeline = pipeline(device, ("overview copy", &copy_module, &copy_layout), &[], (format, Some(blend)), None);
        let buffer = |label, size: usize| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let uniforms = buffer("overview", size_of::<Uniforms>());
        let copy_uniforms = buffer("overview copy", size_of::<[f32; 4]>());
        let linear = [f32::from(u8::from(format.is_srgb())), 0.0, 0.0, 0.0];
        queue.write_buffer(&copy_uniforms, 0, bytemuck::bytes_of(&linear));
        let point_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("overview"),
            layout: &point_layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource: uniforms.as_entire_binding() }],
        });
        Self { point_pipeline, copy_pipeline, copy_layout, uniforms, point_group, copy_uniforms, points: None, drawn: None }
    }

    fn new_picture(&self, device: &wgpu::Device, size: [u32; 2]) -> Drawn {
        let texture = |label, format, usage| {
            let texture = device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: wgpu::TextureUsages::RENDER_ATTACHMENT | usage,
                view_formats: &[],
            });
            texture.create_view(&wgpu::TextureViewDescriptor::default())
        };
        let picture = texture("overview", PICTURE, wgpu::TextureUsages::TEXTURE_BINDING);
        let copy_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("overview copy"),
            layout: &self.copy_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.copy_uniforms.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&picture) },
            ],
        });
        Drawn { picture, depth: texture("overview depth", DEPTH, wgpu::TextureUsages::empty()), size, copy_group, content: None }
    }
}

fn pipeline(
    device: &wgpu::Device,
    (label, module, layout): (&str, &wgpu::ShaderModule, &wgpu::BindGroupLayout),
    buffers: &[Option<wgpu::VertexBufferLayout<'_>>],
    (format, blend): (wgpu::TextureFormat, Option<wgpu::BlendState>),
    depth_stencil: Option<wgpu::DepthStencilState>,
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
        depth_stencil,
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

impl OverviewCallback {
    fn uniforms(&self, pixels: [f32; 2], pixels_per_point: f32) -> Uniforms {
        let [right, down, depth] = self.projection.rows.map(|row| row.map(|weight| weight as f32));
        let scale = |row: [f32; 4]| row.map(|weight| weight * pixels_per_point);
        let per_voxel = self.projection.points_per_voxel as f32 * pixels_per_point;
        let scales = [pixels[0], pixels[1], per_voxel, LEAST_RADIUS as f32 * pixels_per_point];
        Uniforms { right: scale(right), down: scale(down), depth, scale: scales, fog: self.fog }
    }
}

impl CallbackTrait for OverviewCallback {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(resources) = resources.get_mut::<OverviewResources>() else {
            return Vec::new();
        };
        let limit = device.limits().max_texture_dimension_2d;
        let size =
            [self.size.x, self.size.y].map(|points| ((points * screen.pixels_per_point).round().max(1.0) as u32).min(limit));
        if resources.drawn.as_ref().is_none_or(|drawn| drawn.size != size) {
            resources.drawn = Some(resources.new_picture(device, size));
        }
        let uniforms = self.uniforms(size.map(|n| n as f32), screen.pixels_per_point);
        let all = self.points.points.len();
        let count = if self.turning { all.min(MOST_WHILE_TURNING) } else { all };
        let content = (uniforms, self.points.serial, count);
        if resources.points.as_ref().is_none_or(|(_, serial, _)| *serial != self.points.serial) {
            let bytes: &[u8] = bytemuck::cast_slice(&self.points.points);
            let buffer = match resources.points.take() {
                Some((buffer, ..)) if buffer.size() >= bytes.len() as u64 => buffer,
                _ => device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("overview points"),
                    size: (bytes.len() as u64).next_power_of_two().max(1024),
                    usage: wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                }),
            };
            if !bytes.is_empty() {
                queue.write_buffer(&buffer, 0, bytes);
            }
            resources.points = Some((buffer, self.points.serial, all));
        }
        let (Some(drawn), Some((points, ..))) = (&mut resources.drawn, &resources.points) else {
            return Vec::new();
        };
        if drawn.content == Some(content) {
            return Vec::new();
        }
        drawn.content = Some(content);
        queue.write_buffer(&resources.uniforms, 0, bytemuck::bytes_of(&uniforms));
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("overview"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &drawn.picture,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT), store: wgpu::StoreOp::Store },
            })],
            depth_stencil_attachment: Some(wgpu::RenderPassDepthStencilAttachment {
                view: &drawn.depth,
                depth_ops: Some(wgpu::Operations { load: wgpu::LoadOp::Clear(1.0), store: wgpu::StoreOp::Discard }),
                stencil_ops: None,
            }),
            timestamp_writes: None,
            occlusion_query_set: None,
            multiview_mask: None,
        });
        if count > 0 {
            pass.set_pipeline(&resources.point_pipeline);
            pass.set_bind_group(0, &resources.point_group, &[]);
            pass.set_vertex_buffer(0, points.slice(..));
            pass.draw(0..4, 0..count as u32);
        }
        Vec::new()
    }

    fn paint(&self, _info: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        let Some(resources) = resources.get::<OverviewResources>() else {
            return;
        };
        let Some(drawn) = &resources.drawn else {
            return;
        };
        pass.set_pipeline(&resources.copy_pipeline);
        pass.set_bind_group(0, &drawn.copy_group, &[]);
        pass.draw(0..3, 0..1);
    }
}
