//! From tables of positions to pairs of what was found and what is there.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::coordinates::{CoordinateRow, Frame, Missing, bare_tomogram_name};
use crate::labels::Class;

/// Why positions cannot be scored.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ScoreError {
    /// A class that is not among those scored.
    #[error(
        "line {line} of the {table} names the class {class:?}, which is not among the classes ({known}): correct the name or add the class"
    )]
    UnknownClass {
        /// Which table.
        table: &'static str,
        /// Its line, from 1.
        line: u64,
        /// The name.
        class: String,
        /// The names that are known.
        known: String,
    },
    /// The unit of a table needs something that is not known.
    #[error("the {table} cannot be compared in angstrom: {missing}, or give a table in angstrom")]
    Missing {
        /// Which table.
        table: &'static str,
        /// What is not known.
        missing: Missing,
    },
    /// One table has several tomograms and another does not say of which it speaks.
    #[error("line {line} of the {table} names no tomogram, though the tables speak of several: add a column \"tomogram\"")]
    NoTomogram {
        /// Which table.
        table: &'static str,
        /// Its line, from 1.
        line: u64,
    },
    /// A class that the CZII challenge does not have.
    #[error("{0:?} is not a class of the CZII challenge")]
    NotCzii(String),
}

/// One tomogram: positions in angstrom `(z, y, x)`, one vector a class in each field; a missing vector is an empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    /// Candidates.
    pub found: Vec<Vec<[f64; 3]>>,
    /// References.
    pub truth: Vec<Vec<[f64; 3]>>,
    /// Doubtful positions, which are neither right nor wrong.
    pub ignored: Vec<Vec<[f64; 3]>>,
}

/// Tomograms to score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// Those that the truth speaks of.
    pub pairs: Vec<Pair>,
    /// Names of tomograms with candidates of which the truth says nothing; they are left out, as in the CZII challenge.
    pub without_truth: Vec<String>,
}

/// Groups rows by tomogram. When the rows name at most one tomogram they make one pair, named or not. Voxels become angstrom by
/// `spacing_angstrom`.
///
/// # Errors
/// When a row's class is not in `classes`, when rows are in voxels and no spacing is given, or when several tomograms are named
/// and a row names none.
pub fn pairs_from_rows(
    classes: &[Class],
    found: &[CoordinateRow],
    truth: &[CoordinateRow],
    ignored: &[CoordinateRow],
    spacing_angstrom: Option<f64>,
) -> Result<Pairs, ScoreError> {
    let frame = Frame { spacing_angstrom, ..Frame::default() };
    let tables = [("picks", found), ("truth", truth), ("list of positions to ignore", ignored)];
    let name = |row: &CoordinateRow| row.tomogram.as_deref().map(bare_tomogram_name).map(str::to_owned);
    let names: BTreeSet<String> = tables.iter().flat_map(|(_, rows)| rows.iter().filter_map(name)).collect();
    let several = names.len() > 1;
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for (table, rows) in tables {
        for row in rows {
            let class = classes.iter().position(|class| class.name == row.class).ok_or_else(|| ScoreError::UnknownClass {
                table,
                line: row.line,
                class: row.class.clone(),
                known: classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>().join(", "),
            })?;
            let tomogram = match name(row) {
                Some(name) if several => name,
                None if several => return Err(ScoreError::NoTomogram { table, line: row.line }),
                _ => String::new(),
            };
            let pair = pairs.entry(tomogram).or_default();
            let side = match table {
                "picks" => &mut pair.found,
                "truth" => &mut pair.truth,
                _ => &mut pair.ignored,
            };
            side.resize(side.len().max(classes.len()), Vec::new());
            let [x, y, z] = row.angstrom_xyz(&frame).map_err(|missing| ScoreError::Missing { table, missing })?;
            side[class].push([z, y, x]);
        }
    }
    let spoken_of: BTreeSet<String> = if several { truth.iter().filter_map(name).collect() } else { BTreeSet::new() };
    let mut sorted = Pairs::default();
    for (name, pair) in pairs {
        if !several || spoken_of.contains(&name) {
            sorted.pairs.push(pair);
        } else if !pair.found.is_empty() {
            sorted.without_truth.push(name);
        }
    }
    if sorted.pairs.is_empty() && !several {
        sorted.pairs.push(Pair::default());
    }
    Ok(sorted)
}
