//! `semietpicker evaluate`.

use anyhow::Context as _;

use super::arguments::Evaluate;
use super::{Usage, say};
use crate::coordinates::{read_classes, read_csv};
use crate::score::{ScoreRegion, evaluate, pairs_from_rows};

pub(super) fn run(options: &Evaluate) -> anyhow::Result<()> {
    if options.picks.len() != options.truth.len() {
        return Err(Usage(format!(
            "{} files of picks and {} of truth do not make pairs; give one --truth for each --picks",
            options.picks.len(),
            options.truth.len()
        ))
        .into());
    }
    if options.ignore.len() > 1 && options.ignore.len() != options.picks.len() {
        return Err(Usage(format!(
            "{} files to ignore for {} pairs; give one for all or one for each",
            options.ignore.len(),
            options.picks.len()
        ))
        .into());
    }
    let classes = read_classes(&options.classes)?;
    let mut pairs = Vec::new();
    for (index, (picks, truth)) in options.picks.iter().zip(&options.truth).enumerate() {
        let ignored = match options.ignore.as_slice() {
            [] => Vec::new(),
            [one] => read_csv(one)?,
            many => read_csv(&many[index])?,
        };
        let sorted = pairs_from_rows(&classes, &read_csv(picks)?, &read_csv(truth)?, &ignored, options.spacing)
            .with_context(|| format!("cannot compare {} with {}", picks.display(), truth.display()))?;
        for name in sorted.without_truth {
            eprintln!("warning: the truth says nothing of {name}; its picks are left out: {}", picks.display());
        }
        pairs.extend(sorted.pairs);
    }
    let region = match (options.region, options.spacing) {
        (Some(voxels), Some(spacing_angstrom)) => Some(ScoreRegion { voxels, spacing_angstrom }),
        _ => None,
    };
    let evaluation = evaluate(&pairs, &classes, region.as_ref());
    if options.json { say(serde_json::to_string_pretty(&evaluation)?) } else { say(evaluation) }
}
