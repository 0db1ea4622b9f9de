//! Labels kept out of training, to choose thresholds on.
//!
//! A network knows the particles that it was taught better than others, so thresholds chosen on them are too high or too low for new
//! tomograms. With many labels, a fifth is held out: of each complete box the slab at the end of its longest axis, of positions
//! outside complete boxes every fifth. With few, each is worth more in training.

use crate::labels::ItemId;
use crate::model::Marker;

/// One label in this many is held out.
const PART: u64 = 5;
/// Labels that each class must have before any is held out.
const ENOUGH: usize = 50;

/// A box: first and last coordinate along `(z, y, x)`.
type Extent = ([f64; 3], [f64; 3]);

/// Labels and complete boxes `(z, y, x)` in the model's voxels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Share {
    pub markers: Vec<([f64; 3], Marker)>,
    pub complete: Vec<Extent>,
}

/// Whether every class that has labels has enough to spare some.
pub(super) fn is_enough<'a>(markers: impl Iterator<Item = &'a (ItemId, [f64; 3], Marker)>, classes: usize) -> bool {
    let mut counts = vec![0; classes];
    for (_, _, marker) in markers {
        if let Marker::Particle(class) = marker {
            counts[*class] += 1;
        }
    }
    let mut labelled = counts.iter().filter(|count| **count > 0).peekable();
    labelled.peek().is_some() && labelled.all(|count| *count >= ENOUGH)
}

/// Divides the labels of a tomogram into those that are taught and those held out. The taught ones also name the held-out ones, as
/// [`Marker::HeldOut`], so that they are not taken for background. Nothing moves between the two when other labels come or go.
pub(super) fn split(markers: &[(ItemId, [f64; 3], Marker)], complete: Vec<Extent>, holds_out: bool) -> (Share, Share) {
    let mut taught = Share::default();
    let mut held = Share::default();
    for extent in complete {
        if !holds_out {
            taught.complete.push(extent);
            continue;
        }
        let (kept, cut) = cut(extent);
        taught.complete.push(kept);
        held.complete.push(cut);
    }
    let within = |boxes: &[Extent], position: [f64; 3]| {
        boxes.iter().any(|(first, last)| (0..3).all(|axis| (first[axis] - 0.5..=last[axis] + 0.5).contains(&position[axis])))
    };
    for &(id, position, marker) in markers {
        let sparse = !within(&taught.complete, position);
        let is_held = holds_out && (within(&held.complete, position) || (sparse && id.0 % PART == PART - 1));
        match (is_held, marker) {
            (true, Marker::Particle(class)) => {
                held.markers.push((position, marker));
                taught.markers.push((position, Marker::HeldOut(class)));
            }
            (true, _) => held.markers.push((position, marker)),
            (false, _) => taught.markers.push((position, marker)),
        }
    }
    (taught, held)
}

/// What is kept of a box, and the slab cut off the end of its longest axis.
fn cut((first, last): Extent) -> (Extent, Extent) {
    let edges: [f64; 3] = std::array::from_fn(|axis| last[axis] - first[axis] + 1.0);
    let longest = (0..3).max_by(|a, b| edges[*a].total_cmp(&edges[*b])).unwrap_or(2);
    let border = first[longest] + (edges[longest] * (1.0 - 1.0 / PART as f64)).floor();
    let (mut kept_last, mut cut_first) = (last, first);
    kept_last[longest] = border - 1.0;
    cut_first[longest] = border;
    ((first, kept_last), (cut_first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markers(count: u64) -> Vec<(ItemId, [f64; 3], Marker)> {
        (0..count).map(|i| (ItemId(i), [10.0, 10.0, i as f64], Marker::Particle(0))).collect()
    }

    #[test]
    fn few_labels_are_all_taught() {
        let few = markers(ENOUGH as u64 - 1);
        assert!(!is_enough(few.iter(), 1));
        let (taught, held) = split(&few, vec![([0.0; 3], [20.0, 20.0, 99.0])], false);
        assert_eq!((taught.markers.len(), held), (few.len(), Share::default()));
        assert_eq!(taught.complete, [([0.0; 3], [20.0, 20.0, 99.0])]);
    }

    #[test]
    fn a_class_with_few_labels_keeps_the_others_from_being_held_out() {
        let mut labels = markers(200);
        assert!(is_enough(labels.iter(), 2));
        labels.push((ItemId(900), [0.0; 3], Marker::Particle(1)));
        assert!(!is_enough(labels.iter(), 2));
    }

    #[test]
    fn a_slab_of_a_complete_box_is_held_out_whole() {
        let labels = markers(100);
        let (taught, held) = split(&labels, vec![([0.0; 3], [20.0, 20.0, 99.0])], true);
        assert_eq!(taught.complete, [([0.0; 3], [20.0, 20.0, 79.0])]);
        assert_eq!(held.complete, [([0.0, 0.0, 80.0], [20.0, 20.0, 99.0])]);
        assert_eq!(held.markers.len(), 20);
        assert!(held.markers.iter().all(|(position, _)| position[2] >= 80.0));
        let known = taught.markers.iter().filter(|(_, marker)| *marker == Marker::HeldOut(0)).count();
        assert_eq!((known, taught.markers.len()), (20, 100));
    }

    #[test]
    fn of_sparse_labels_every_fifth_is_held_out_whatever_becomes_of_the_others() {
        let labels = markers(100);
        let (_, held) = split(&labels, vec![], true);
        assert_eq!(held.markers.len(), 20);
        let (_, fewer) = split(&labels[13..], vec![], true);
        assert!(fewer.markers.iter().all(|marker| held.markers.contains(marker)));
    }
}
