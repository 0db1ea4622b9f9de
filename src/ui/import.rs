//! Labels from tables of positions.

use std::collections::BTreeMap;
use std::path::Path;

use super::state::{UiState, VolumeState};
use crate::coordinates::{CoordinateRow, read_csv, same_tomogram};
use crate::geometry::VoxelBox;
use crate::labels::{Edit, PointKind, TomogramId};

/// The class name that stands for "not a particle" in tables.
const NEGATIVE: &str = "negative";

impl UiState {
    /// Imports the tables that wait, once no file is being opened any more.
    pub fn import_due_tables(&mut self) {
        let under_way = self.volumes.values().any(|volume| matches!(volume, VolumeState::Opening));
        if !self.opening.is_empty() || under_way {
            return;
        }
        for table in std::mem::take(&mut self.tables_due) {
            let current = self.current;
            self.import_labels(&table, current);
        }
    }

    /// Adds the positions of a table as labels, as one edit that can be undone. Rows without a tomogram's name belong to
    /// `otherwise`. What cannot be used is said.
    pub fn import_labels(&mut self, path: &Path, otherwise: Option<TomogramId>) {
        let rows = match read_csv(path) {
            Ok(rows) => rows,
            Err(error) => {
                self.fail("The labels were not imported", &error);
                return;
            }
        };
        let mut points: BTreeMap<TomogramId, Vec<([f64; 3], PointKind)>> = BTreeMap::new();
        let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
        for row in &rows {
            match self.imported(row, otherwise) {
                Ok((tomogram, position, kind)) => points.entry(tomogram).or_default().push((position, kind)),
                Err(reason) => *left_out.entry(reason).or_default() += 1,
            }
        }
        let count: usize = points.values().map(Vec::len).sum();
        let edits: Vec<Edit> = points.into_iter().map(|(tomogram, points)| self.document.import_edit(tomogram, points)).collect();
        let name = format!("import of {count} {}", if count == 1 { "label" } else { "labels" });
        if count > 0 && self.perform(Edit::Batch { name, edits }) {
            self.toasts.add(format!("{count} labels were imported"));
        }
        if !left_out.is_empty() {
            let reasons: Vec<String> = left_out.into_iter().map(|(reason, rows)| format!("{rows} rows: {reason}")).collect();
            let total = rows.len();
            self.fail_text(format!("{count} of {total} rows were imported: {}", path.display()), reasons.join("\n"));
        }
    }

    fn imported(&self, row: &CoordinateRow, otherwise: Option<TomogramId>) -> Result<(TomogramId, [f64; 3], PointKind), String> {
        let named = row.tomogram.as_ref().map(|name| {
            let entries = self.document.tomograms();
            let entry = entries.iter().find(|entry| entry.name == *name);
            let entry = entry.or_else(|| entries.iter().find(|entry| same_tomogram(&entry.name, name)));
            entry.map(|entry| entry.id).ok_or_else(|| format!("the project has no tomogram {name:?}; open it first"))
        });
        let tomogram = match named {
            Some(id) => id?,
            None => otherwise.ok_or("the table names no tomogram; show the one that it belongs to first")?,
        };
        let kind = match self.document.annotations().class_named(&row.class) {
            Some(class) => PointKind::Particle(class.id),
            None if row.class == NEGATIVE => PointKind::Negative,
            None => return Err(format!("there is no class {:?}; add it first", row.class)),
        };
        let Some(open) = self.training_tomogram(tomogram) else {
            return Err(format!("{} is not open or its spacing is not known", self.document.name(tomogram)));
        };
        let position = row.voxel_zyx(open.spacing_angstrom);
        if !VoxelBox::whole(open.source.info().shape).contains(position) {
            return Err(format!("outside {}; check the spacing", self.document.name(tomogram)));
        }
        Ok((tomogram, position, kind))
    }
}
