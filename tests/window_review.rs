//! Reviewing picks through the window: gallery, table, comparison, counts, and what of it survives closing.

#[path = "support/window.rs"]
mod support;

use std::sync::Arc;
use std::time::Instant;

use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable as _;
use semietpicker::geometry::{VoxelBox, distance};
use semietpicker::labels::{PointKind, TomogramId};
use semietpicker::review::{Verdict, list_kept, read_kept};
use semietpicker::train::{Pick, PickSet};
use semietpicker::ui::review::{Side, Tab};
use semietpicker::ui::{Action, Document};

use support::{BALLS, SHAPE, SPACING, Window, ball_class, has_adapter, pick_set};

/// A window with a class, one label, and the picks of a run, above the review area.
fn reviewing() -> Window {
    let mut window = Window::with_class();
    window.label_balls(1);
    window.train();
    window.click("Review…");
    window.harness.run_steps(20);
    window
}

fn crosshair(window: &Window) -> [f64; 3] {
    window.harness.state().state.crosshair.map(|n| n as f64)
}

fn tab(window: &mut Window, tab: Tab) {
    window.harness.state_mut().state.review.form.tab = tab;
    window.settle();
}

fn wait_for_sections(window: &mut Window, count: usize) {
    window.until("the sections are there", |app| app.state.review.thumbs.len() >= count);
    window.settle();
}

#[test]
fn the_gallery_shows_picks_and_keys_decide_about_them() {
    let mut window = reviewing();
    wait_for_sections(&mut window, 3);
    assert!(window.has("Pick 1: ball, score 0.90, accepted, tomo"), "its label says so");
    assert!(window.has("1 accepted · 0 rejected · 2 open"));
    assert!(!window.has("score 0.20"), "below the threshold");
    window.click("Pick 2: ball, score 0.70, open, tomo");
    assert!(distance(crosshair(&window), BALLS[1]) < 1.0, "the views are at the pick");

    window.press(Modifiers::NONE, Key::Enter);
    assert!(window.has("Pick 2: ball, score 0.70, accepted, tomo"));
    assert!(distance(crosshair(&window), BALLS[2]) < 1.0, "on to the next open pick");
    window.press(Modifiers::NONE, Key::Backspace);
    assert!(window.has("Pick 3: ball, score 0.55, rejected, tomo"));
    let labels = window.labels();
    assert_eq!(labels.len(), 3);
    assert!(matches!(labels[1].1, PointKind::Particle(_)));
    assert_eq!(labels[2].1, PointKind::Negative);
    let heard = window.heard.clone();
    window.until("the run hears of the decisions", move |_| {
        heard.lock().unwrap().iter().any(|text| text == "update with 3 labels")
    });

    window.click("Edit");
    assert!(window.has("Undo reject ball pick"));
    window.press(Modifiers::NONE, Key::Escape);
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.has("Pick 3: ball, score 0.55, open, tomo"));
    window.press(Modifiers::COMMAND, Key::Z);
    assert!(window.has("Pick 2: ball, score 0.70, open, tomo"));
    window.press(Modifiers::COMMAND, Key::Y);

    // A decision can be turned round and taken back.
    window.click("Pick 2: ball, score 0.70, accepted, tomo");
    window.click("Reject");
    assert!(window.has("Pick 2: ball, score 0.70, rejected, tomo"));
    assert_eq!(window.labels().len(), 2, "the label was turned, not doubled");
    window.click("Pick 2: ball, score 0.70, rejected, tomo");
    window.click("Take back");
    assert!(window.has("Pick 2: ball, score 0.70, open, tomo"));
    assert_eq!(window.labels().len(), 1);
    window.harness.check_accessibility();
}

#[test]
fn j_and_k_walk_through_the_list_in_its_order() {
    let mut window = reviewing();
    let at = |window: &Window| crosshair(window);
    window.press(Modifiers::NONE, Key::J);
    assert!(distance(at(&window), BALLS[0]) < 1.0);
    window.press(Modifiers::NONE, Key::J);
    assert!(distance(at(&window), BALLS[1]) < 1.0);
    window.press(Modifiers::NONE, Key::K);
    assert!(distance(at(&window), BALLS[0]) < 1.0);
    window.press(Modifiers::NONE, Key::K);
    assert!(window.has("That was the first pick"));
    window.choose("Order of the picks", "Worst first");
    window.press(Modifiers::NONE, Key::K);
    assert!(distance(at(&window), BALLS[1]) < 1.0, "the order has turned");
    // The picks of a newer live view keep the place.
    let id = window.harness.state().state.current.expect("open");
    let classes = window.harness.state().state.document.annotations().classes.clone();
    let mut newer = pick_set(id, &classes, 60);
    newer.picks.iter_mut().for_each(|pick| pick.position[2] += 0.5);
    newer.picks.insert(0, Pick { position: [2.0, 2.0, 2.0], class: 0, score: 0.99 });
    window.harness.state_mut().state.picks.put(Arc::new(newer));
    window.settle();
    assert_eq!(window.harness.state().state.picks.reviewed, Some((id, 2)));
    assert!(window.has("Pick 3: ball, score 0.90, accepted, tomo"), "what was said of it holds for the newer pick");
}

#[test]
fn the_most_uncertain_come_from_both_sides_of_the_threshold() {
    let mut window = reviewing();
    window.choose("Order of the picks", "Most uncertain");
    assert!(window.has("Pick 1: ball, score 0.55, open, tomo"));
    assert!(window.has("Pick 2: ball, score 0.70, open, tomo"));
    assert!(window.has("Pick 3: ball, score 0.20, open, tomo"), "also one below");
    assert!(!window.has("score 0.90"), "what has been decided is not asked again");
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::Enter);
    assert!(window.has("Pick 1: ball, score 0.70, open, tomo"), "the decided one has left the queue");
    assert!(distance(crosshair(&window), BALLS[1]) < 1.0);
}

#[test]
fn the_table_sorts_and_leads_to_other_tomograms() {
    let mut window = reviewing();
    let first = window.harness.state().state.current.expect("open");
    window.open("second.mrc", Some(SPACING));
    let second = window.harness.state().state.current.expect("open");
    tab(&mut window, Tab::Table);
    assert!(window.has("No picks in this tomogram"), "the next step is said");
    let classes = window.harness.state().state.document.annotations().classes.clone();
    let mut set = pick_set(second, &classes, 30);
    set.picks.iter_mut().for_each(|pick| pick.score -= 0.02);
    window.harness.state_mut().state.picks.put(Arc::new(set));
    window.settle();
    window.choose("Tomograms of the review", "All tomograms");
    assert!(window.has("1 accepted · 0 rejected · 5 open"));
    assert!(window.has("Pick 2: ball, score 0.88, open, second"));
    window.click("Sort by score");
    assert!(window.has("Pick 1: ball, score 0.53, open, second"), "ascending");
    window.click("Sort by tomogram");
    assert!(window.has("Pick 1: ball, score 0.90, accepted, tomo"));
    window.click("Sort by tomogram");
    assert!(window.has("Pick 1: ball, score 0.88, open, second"));
    window.click("Sort by state");
    assert!(window.has("Pick 1: ball, score 0.88, open, second"), "open ones first");
    window.click("Sort by state");
    window.click("Pick 1: ball, score 0.90, accepted, tomo");
    assert_eq!(window.harness.state().state.current, Some(first), "the views show the pick's tomogram");
    assert!(distance(crosshair(&window), BALLS[0]) < 1.0);
    window.choose("State of the picks", "Accepted");
    assert!(window.has("Pick 1: ball, score 0.90, accepted, tomo"));
    assert!(!window.has("score 0.88"));
}

#[test]
fn the_threshold_is_dragged_in_the_histogram_and_the_count_follows() {
    let mut window = reviewing();
    assert!(window.has("3 of 4"));
    window.harness.get_by_label("Scores of ball").scroll_to_me();
    window.settle();
    let rect = window.harness.get_by_label("Scores of ball").rect();
    let at = |score: f32| rect.lerp_inside(vec2(score, 0.5));
    window.drag(at(0.5), at(0.8));
    assert!(window.has("1 of 4"));
    assert!(!window.has("score 0.70"), "the gallery follows");
    window.drag(at(0.8), at(0.1));
    assert!(window.has("4 of 4"));
}

#[test]
fn picks_too_near_or_outside_the_box_are_hidden_everywhere() {
    let mut window = reviewing();
    let id = window.harness.state().state.current.expect("open");
    // The balls are at least 79 angstrom apart.
    let apart = window.harness.get_by_label("Least distance of ball picks");
    apart.scroll_to_me();
    window.settle();
    let class = window.harness.state().state.picks.set(id).expect("picks").classes[0].id;
    window.harness.state_mut().state.picks.set_least_distance(class, 120.0);
    window.settle();
    let left = window.harness.state().state.picks.counts(id).to_vec();
    assert!(left[0] < 3, "{left:?}");
    window.harness.state_mut().state.picks.set_least_distance(class, 0.0);
    window.click("Only picks in a box");
    assert_eq!(window.harness.state().state.picks.mask(id), Some(VoxelBox::whole(SHAPE)));
    window.harness.state_mut().state.picks.set_mask(id, Some(VoxelBox::new([0; 3], [16, 32, 24])));
    window.settle();
    assert!(window.has("1 of 4"));
    window.click("Draw");
    let from = window.screen(semietpicker::render::Plane::Xy, [8.0, 15.0, 24.0]);
    let to = window.screen(semietpicker::render::Plane::Xy, [8.0, 30.0, 46.0]);
    window.drag(from, to);
    assert_eq!(window.regions(), 0, "a mask is no complete region");
    assert!(window.has("2 of 4"));
    window.click("Only picks in a box");
    assert!(window.has("3 of 4"));
}

#[test]
fn picks_are_compared_with_labels_with_a_file_and_with_another_model() {
    let mut window = reviewing();
    window.label_balls(2);
    tab(&mut window, Tab::Compare);
    // Two labels, three picks: precision 2/3, recall 1, F1 0.8.
    assert!(window.has("0.667") && window.has("1.000") && window.has("0.800"));
    window.click("List extra");
    window.click("extra 1: ball at 40 24 5, tomo");
    assert!(distance(crosshair(&window), BALLS[2]) < 1.0);
    window.click("Show in the views");

    let table = window.path("truth.csv");
    let [z, y, x] = BALLS[0].map(|index| index * SPACING);
    std::fs::write(&table, format!("class,x,y,z\nball,{x},{y},{z}\nball,5,5,5\n")).expect("writable");
    window.request(Action::CompareWith(table));
    window.until("the file is there", |app| app.state.review.compare.reference == Side::File);
    assert!(window.has("0.500") && window.has("0.333") && window.has("0.400"), "one of two, and two of three wrong");
    window.click("Show in the views");

    // Two models: each has its set.
    window.click("Stop");
    window.until("stopped", |app| !app.state.training.is_active());
    window.until("the picks of the run are kept", |app| app.state.review.kept.len() == 1);
    std::fs::write(window.path("a.model"), "weights").expect("writable");
    window.request(Action::LoadModel(window.path("a.model")));
    window.until("the model is there", |app| app.state.training.model.as_ref().is_some_and(|model| model.origin == "a.model"));
    window.click("Pick this tomogram");
    window.until("its picks are kept", |app| app.state.review.kept.len() == 2);
    let compare = &mut window.harness.state_mut().state.review.compare;
    (compare.reference, compare.candidates) = (Side::Kept(1), Side::Kept(2));
    window.until("both have been read", |app| app.state.review.compare.results().next().is_some());
    window.settle();
    let sum: usize = window.harness.state().state.review.compare.totals.iter().map(|counts| counts.true_positive).sum();
    assert_eq!(sum, 3, "both models found the same");
    let (records, errors) = list_kept(&window.path("balls"));
    assert!(errors.is_empty());
    assert_eq!(records[0].model.name, "trained here");
    assert!(records[0].model.trained.is_some());
    assert_eq!(records[1].model.fingerprint.as_deref().map(|print| &print[..8]), Some("7-crc32:"));
    assert_eq!((records[1].model.steps, records[1].program.as_str()), (30, env!("CARGO_PKG_VERSION")));
    assert_eq!(read_kept(&window.path("balls"), 2).expect("readable").sets[0].picks.len(), 4);

    // The same model again adds no set; an unwanted one goes away after two clicks.
    window.click("Pick this tomogram");
    window.settle();
    window.until("picked again", |app| app.state.review.kept.len() == 2 && app.state.training.picks_due == 0);
    window.click("Remove: set 1");
    window.click("Remove for good: set 1");
    window.until("it is gone", |app| app.state.review.kept.len() == 1);
    assert_eq!(list_kept(&window.path("balls")).0.len(), 1);
}

#[test]
fn counts_and_densities_are_shown_for_each_tomogram() {
    let mut window = reviewing();
    tab(&mut window, Tab::Counts);
    assert!(window.has("Bars of tomo: ball 3"));
    let volume = SHAPE.iter().map(|n| *n as f64 * SPACING / 1e4).product::<f64>();
    assert!(window.has(&format!("{:.0}", 3.0 / volume)), "particles per cubic micrometre");
    window.click("Density");
    assert!(window.has(&format!("Bars of tomo: ball {:.0}", 3.0 / volume)));
    window.harness.get_by_label("Labels").click();
    window.settle();
    window.click("Count");
    window.harness.check_accessibility();
}

#[test]
fn empty_tabs_say_the_next_step() {
    let mut window = Window::with_class();
    window.click("Review…");
    window.harness.run_steps(20);
    assert!(window.has("No picks to review yet"));
    assert!(window.has("Label a few particles and train, or load a model"));
    tab(&mut window, Tab::Compare);
    assert!(window.has("Nothing to compare yet"));
    tab(&mut window, Tab::Counts);
    assert!(window.has("No picks to count"));
    window.harness.check_accessibility();
    window.click("Close the review");
    window.harness.run_steps(20);
    assert!(!window.has("No picks to count"));
}

#[test]
fn a_reopened_project_goes_on_with_the_review() {
    let mut window = Window::with_class();
    std::fs::write(window.path("a.model"), "weights").expect("writable");
    window.request(Action::LoadModel(window.path("a.model")));
    window.until("the model is there", |app| app.state.training.model.is_some());
    window.click("Pick this tomogram");
    window.until("the picks are kept", |app| app.state.review.kept.len() == 1);
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::Enter);
    window.press(Modifiers::NONE, Key::Backspace);
    let id = window.harness.state().state.current.expect("open");
    let class = ball_class().id;
    window.harness.state_mut().state.picks.choose_threshold(class, Some(0.15));
    std::thread::sleep(std::time::Duration::from_millis(700));
    window.settle();
    let Window { harness, folder, .. } = window;
    drop(harness);

    let document = Document::open(&folder.path().join("balls")).expect("the lock is gone with the window");
    let mut window = Window::with(folder, document);
    window.until("the tomogram is open", |app| app.state.open_volume().is_some());
    window.until("the picks are back", |app| !app.state.picks.is_empty());
    let verdicts = |window: &Window| -> Vec<Verdict> {
        let view = window.harness.state().state.picks.view(id).expect("drawn");
        view.standings.iter().map(|standing| standing.verdict).collect()
    };
    assert_eq!(verdicts(&window), [Verdict::Accepted, Verdict::Rejected, Verdict::Open, Verdict::Open]);
    assert!(window.has("4 of 4"), "the threshold is as it was chosen");
    let state = &window.harness.state().state;
    let label = state.picks.view(id).expect("drawn").standings[0].by.expect("accepted");
    let decided = state.review.log.of(label).expect("in the log");
    assert_eq!((decided.decision.verdict.as_str(), decided.score), ("accepted", 0.9));
    assert!(decided.decision.model.starts_with("a.model, 30 steps"), "{}", decided.decision.model);
    assert!(!decided.decision.who.is_empty() && decided.decision.when.ends_with('Z'));

    // A copy elsewhere takes picks and decisions along.
    let place = window.path("copy");
    window.request(Action::SaveAs(place.clone()));
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::J);
    window.press(Modifiers::NONE, Key::Enter);
    assert_eq!(list_kept(&place).0.len(), 1);
    let lines =
        |folder: &std::path::Path| std::fs::read_to_string(folder.join("decisions.jsonl")).expect("there").lines().count();
    assert_eq!((lines(&place), lines(&window.path("balls"))), (3, 2));
}

/// Many picks of one tomogram, all over it and by descending score.
fn many(tomogram: TomogramId, count: usize) -> PickSet {
    let pick = |index: usize| {
        let spread = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let part = |shift: u32, size: usize| ((spread >> shift) % 100_000) as f64 / 1e5 * (size - 1) as f64;
        let position = [part(0, SHAPE[0]), part(17, SHAPE[1]), part(34, SHAPE[2])];
        Pick { position, class: 0, score: 1.0 - index as f32 / (2 * count) as f32 }
    };
    let picks = (0..count).map(pick).collect();
    PickSet { tomogram, classes: vec![ball_class()], thresholds: vec![0.5], picks, step: 1 }
}

#[test]
fn a_hundred_thousand_picks_scroll_in_the_table_within_the_frame() {
    let mut window = Window::with_class();
    let id = window.harness.state().state.current.expect("open");
    // Markers in the views are another matter.
    window.harness.state_mut().state.display.picks = false;
    window.harness.state_mut().state.picks.put(Arc::new(many(id, 100_000)));
    window.harness.state_mut().state.review.open = true;
    tab(&mut window, Tab::Table);
    window.harness.run_steps(20);
    assert!(window.has("0 accepted · 0 rejected · 100000 open"));
    let frame = |window: &mut Window| {
        let start = Instant::now();
        window.harness.step();
        start.elapsed().as_secs_f64() * 1e3
    };
    let mut still: Vec<f64> = (0..30).map(|_| frame(&mut window)).collect();
    let mut scrolled: Vec<f64> = (0..30)
        .map(|step| {
            window.harness.state_mut().state.picks.reviewed = None;
            window.harness.state_mut().state.review_go_to(id, step * 3000);
            frame(&mut window)
        })
        .collect();
    for times in [&mut still, &mut scrolled] {
        times.sort_by(f64::total_cmp);
    }
    let start = Instant::now();
    window.click("Sort by score");
    let sorted = start.elapsed();
    println!(
        "100,000 picks: frame {:.1} ms, while scrolling {:.1} ms (medians), sorting and eight frames {sorted:.0?}",
        still[15], scrolled[15]
    );
    assert!(still[15] < 50.0 && scrolled[15] < 50.0, "medians of {:.1} and {:.1} ms", still[15], scrolled[15]);
    let visible = window.harness.query_all_by_label_contains("Pick ").count();
    assert!(visible < 60, "{visible} rows were laid out");
    // The gallery of the same picks lays out and reads only what is in sight, too.
    tab(&mut window, Tab::Gallery);
    let mut gallery: Vec<f64> = (0..30).map(|_| frame(&mut window)).collect();
    gallery.sort_by(f64::total_cmp);
    assert!(gallery[15] < 50.0, "{:.1} ms", gallery[15]);
}

// -- pictures ---------------------------------------------------------------------------------------------------------------

fn picture(window: &mut Window, name: &str) {
    // Until toasts are gone.
    window.harness.remove_cursor();
    window.harness.run_steps(40);
    let time = window.harness.get_by_label_contains(" ms").rect();
    window.harness.mask(time.expand(2.0));
    if window.harness.state().state.review.form.tab == Tab::Table {
        hide_times(window);
    }
    let options = egui_kittest::SnapshotOptions::new()
        .threshold(1.2)
        .max_failed_pixels(200)
        .output_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
    window.harness.snapshot_options(name, &options);
}

#[test]
fn the_review_looks_as_it_should() {
    if !has_adapter() {
        println!("skipped: no graphics adapter, not even a software one, so nothing can be drawn");
        return;
    }
    let mut window = reviewing();
    window.harness.state_mut().state.display.smooth = false;
    let class = window_class(&window);
    window.harness.state_mut().state.picks.choose_threshold(class, Some(0.1));
    wait_for_sections(&mut window, 4);
    window.click("Pick 2: ball, score 0.70, open, tomo");
    window.press(Modifiers::NONE, Key::Backspace);
    picture(&mut window, "review_gallery");
    tab(&mut window, Tab::Compare);
    picture(&mut window, "review_compare");
    tab(&mut window, Tab::Counts);
    picture(&mut window, "review_counts");
    tab(&mut window, Tab::Table);
    picture(&mut window, "review_table");
}

fn window_class(window: &Window) -> semietpicker::labels::ClassId {
    window.harness.state().state.document.annotations().classes[0].id
}

/// The table says when a pick was decided, which differs from run to run.
fn hide_times(window: &mut Window) {
    let rows: Vec<egui::Rect> = window.harness.query_all_by_label_contains("Pick ").map(|node| node.rect()).collect();
    for rect in rows {
        window.harness.mask(rect.with_min_x(rect.right() - rect.width() * 0.28));
    }
}
