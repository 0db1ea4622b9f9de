use super::*;
use crate::labels::TomogramLabels;

const HERE: TomogramId = TomogramId(3);

fn class(id: u32, name: &str) -> Class {
    Class { id: ClassId(id), name: name.to_owned(), radius_angstrom: 40.0, colour: [0; 3] }
}

fn picks(state: &mut PickState, positions: &[([f64; 3], usize, f32)]) {
    let pick = |&(position, class, score): &([f64; 3], usize, f32)| Pick { position, class, score };
    let classes = vec![class(1, "a"), class(2, "b")];
    let picks = positions.iter().map(pick).collect();
    state.put(Arc::new(PickSet { tomogram: HERE, classes, thresholds: vec![0.5, 0.3], picks, step: 1 }));
}

fn labels(points: &[([f64; 3], PointKind)]) -> Annotations {
    let mut annotations = Annotations { classes: vec![class(1, "a"), class(9, "b")], ..Annotations::default() };
    let mut labels = TomogramLabels::default();
    for &(position, kind) in points {
        let id = annotations.new_id();
        labels.points.insert(id, Point { id, position, kind });
    }
    annotations.tomograms.insert(HERE, labels);
    annotations
}

fn refresh(state: &mut PickState, annotations: &Annotations) {
    state.labels_changed();
    state.refresh(annotations, |_| Some(10.0));
}

#[test]
fn thresholds_follow_the_suggestion_until_they_are_chosen() {
    let mut state = PickState::default();
    let none = Annotations::default();
    picks(&mut state, &[([0.0; 3], 0, 0.9), ([0.0; 3], 0, 0.4), ([0.0; 3], 1, 0.4)]);
    refresh(&mut state, &none);
    assert_eq!(state.counts(HERE), [1, 1]);
    let revision = state.revision();
    state.choose_threshold(ClassId(1), Some(0.35));
    refresh(&mut state, &none);
    assert_eq!(state.counts(HERE), [2, 1]);
    assert!(state.revision() > revision);
    let revision = state.revision();
    refresh(&mut state, &none);
    assert_eq!(state.revision(), revision, "nothing has changed");
    state.choose_threshold(ClassId(1), None);
    refresh(&mut state, &none);
    assert_eq!(state.counts(HERE), [1, 1]);
    assert_eq!(state.scores(HERE).unwrap()[0].total, 2);
    assert_eq!(state.counts(TomogramId(8)), [0; 0]);
}

#[test]
fn picks_are_new_beyond_half_a_radius_of_labels_of_their_class_and_of_negatives() {
    let mut state = PickState::default();
    // A radius of 40 angstrom is 4 voxels at 10 angstrom, so 2 voxels count as near.
    picks(&mut state, &[([0.0, 0.0, 0.0], 0, 0.9), ([0.0, 0.0, 10.0], 0, 0.9), ([20.0, 0.0, 0.0], 0, 0.9), ([5.0; 3], 1, 0.9)]);
    let mut count = |points: &[([f64; 3], PointKind)]| {
        refresh(&mut state, &labels(points));
        state.open_count(HERE)
    };
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&[([1.9, 0.0, 0.0], PointKind::Particle(ClassId(1)))]), 3);
    assert_eq!(count(&[([2.1, 0.0, 0.0], PointKind::Particle(ClassId(1)))]), 4);
    assert_eq!(count(&[([0.0, 0.0, 0.0], PointKind::Particle(ClassId(9)))]), 4, "another class says nothing about it");
    assert_eq!(count(&[([5.0, 5.0, 4.0], PointKind::Particle(ClassId(9)))]), 3, "the class of the same name is meant");
    assert_eq!(count(&[([20.0, 1.0, 1.0], PointKind::Negative), ([5.0; 3], PointKind::Negative)]), 2);
}

#[test]
fn the_pick_under_review_is_found_among_newer_ones() {
    let mut state = PickState::default();
    picks(&mut state, &[([10.0; 3], 0, 0.9), ([30.0; 3], 0, 0.8)]);
    refresh(&mut state, &Annotations::default());
    state.reviewed = Some((HERE, 1));
    picks(&mut state, &[([30.0, 30.0, 31.0], 0, 0.95), ([30.0; 3], 1, 0.9), ([10.0; 3], 0, 0.6)]);
    assert_eq!(state.reviewed, Some((HERE, 0)));
    picks(&mut state, &[([50.0; 3], 0, 0.95)]);
    assert_eq!(state.reviewed, None, "it is gone");
}

#[test]
fn least_distances_and_masks_hide_picks() {
    let mut state = PickState::default();
    picks(&mut state, &[([10.0; 3], 0, 0.9), ([10.0, 10.0, 13.0], 0, 0.8), ([30.0; 3], 0, 0.7)]);
    let none = Annotations::default();
    state.set_least_distance(ClassId(1), 40.0);
    refresh(&mut state, &none);
    assert_eq!(state.counts(HERE), [2, 0], "3 voxels of 10 angstrom are less than 40");
    state.set_mask(HERE, Some(VoxelBox::new([0; 3], [20; 3])));
    refresh(&mut state, &none);
    assert_eq!(state.counts(HERE), [1, 0]);
    let kept = state.limits();
    let mut again = PickState::default();
    again.set_limits(serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap());
    assert_eq!(again.limits(), kept);
}
