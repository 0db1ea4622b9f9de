//! Projects that the tests make themselves, and the one of the shared data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::coordinates::{ExportOptions, ExportPoint, ExportTomogram, Format, export};
use crate::geometry::{VoxelBox, distance};
use crate::labels::{PointKind, TomogramId};
use crate::project::Project;
use crate::volume;

mod opening;
mod saving;

/// A copick project in a folder of its own: `overlay` and, beside it, `static`.
struct Made {
    dir: TempDir,
}

impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("overlay/ExperimentRuns")).unwrap();
        Self { dir }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    fn config(&self) -> PathBuf {
        self.path("config.json")
    }

    fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes the usual configuration with some fields changed; `null` removes one.
    fn configure(&self, changes: Value) {
        let mut config = json!({
            "config_type": "filesystem", "name": "made", "description": "by a test", "version": "1.0.0", "user_id": "jane",
            "pickable_objects": [
                {"name": "ribosome", "is_particle": true, "label": 1, "color": [0, 117, 220, 255], "radius": 150.0,
                 "identifier": "GO:0022626", "emdb_id": "EMD-3883"},
                {"name": "apo-ferritin", "is_particle": true, "label": 2, "color": [220, 117, 0, 255], "radius": 60},
                {"name": "membrane", "is_particle": false, "label": 3, "color": [100, 100, 100, 255]},
            ],
            "overlay_root": "local://overlay", "overlay_fs_args": {"auto_mkdir": true},
        });
        for (field, value) in changes.as_object().unwrap() {
            if value.is_null() {
                config.as_object_mut().unwrap().remove(field);
            } else {
                config[field] = value.clone();
            }
        }
        self.write("config.json", &config.to_string());
    }

    /// Writes an OME-Zarr 0.4 of zeros, one chunk, without compression; `spacing` in angstrom unless `None`.
    fn tomogram(&self, relative: &str, shape: [usize; 3], spacing: Option<f64>) {
        self.write(&format!("{relative}/.zgroup"), r#"{"zarr_format": 2}"#);
        let axes: Vec<Value> =
            ["z", "y", "x"].iter().map(|name| json!({"name": name, "type": "space", "unit": "angstrom"})).collect();
        let mut dataset = json!({"path": "0"});
        if let Some(spacing) = spacing {
            dataset["coordinateTransformations"] = json!([{"type": "scale", "scale": [spacing, spacing, spacing]}]);
        }
        let attributes = json!({"multiscales": [{"version": "0.4", "axes": axes, "datasets": [dataset]}]});
        self.write(&format!("{relative}/.zattrs"), &attributes.to_string());
        let array = json!({
            "zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "<f4", "compressor": null, "fill_value": 0.0,
            "order": "C", "filters": null, "dimension_separator": "/",
        });
        self.write(&format!("{relative}/0/.zarray"), &array.to_string());
    }

    /// Writes picks `(x, y, z)` in angstrom.
    fn picks(&self, root: &str, run: &str, name: &str, points: &[[f64; 3]]) {
        let object = name.rsplit('_').next().unwrap();
        let points: Vec<Value> = points
            .iter()
            .map(|[x, y, z]| {
                json!({"location": {"x": x, "y": y, "z": z}, "instance_id": 0, "score": 1.0, "transformation_":
                    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]})
            })
            .collect();
        let mut parts = name.split('_');
        let content = json!({
            "pickable_object_name": object, "user_id": parts.next(), "session_id": parts.next(), "run_name": run,
            "voxel_spacing": null, "unit": "angstrom", "points": points, "trust_orientation": true,
        });
        self.write(&format!("{root}/ExperimentRuns/{run}/Picks/{name}.json"), &content.to_string());
    }

    fn open(&self) -> CopickProject {
        CopickProject::open(&self.config()).unwrap()
    }

    fn refused(&self) -> String {
        CopickProject::open(&self.config()).unwrap_err().to_string()
    }

    /// One run `TS_1` of 20 x 30 x 40 voxels of 10 angstrom with picks of jane.
    fn usual() -> Self {
        let made = Self::new();
        made.configure(json!({}));
        made.tomogram("overlay/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr", [20, 30, 40], Some(10.0));
        made.picks("overlay", "TS_1", "jane_1_ribosome", &[[10.0, 20.0, 30.0], [300.0, 200.0, 100.0]]);
        made
    }

    /// Everything below a folder, by relative path.
    fn files(&self, relative: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.path(relative)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(self.dir.path()).unwrap().to_owned(), fs::read(&path).unwrap_or_default());
                }
            }
        }
        files
    }
}

fn source(text: &str) -> Source {
    text.parse().unwrap()
}

/// The plan that takes the picks of these sessions.
fn plan_with(project: &CopickProject, sources: &[&str]) -> Plan {
    let wishes = Wishes { picks: Some(sources.iter().map(|text| source(text)).collect()), ..Wishes::default() };
    project.plan(&project.suggest(&wishes).unwrap().choice).unwrap()
}

/// A project of this program, filled; the folder keeps it.
fn filled(plan: &Plan) -> (TempDir, Project) {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::create(&dir.path().join("p")).unwrap();
    plan.fill(&mut project).unwrap();
    (dir, project)
}
