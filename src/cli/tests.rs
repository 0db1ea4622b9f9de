//! Arguments, and what becomes of them.

use clap::{CommandFactory as _, Parser as _};

use super::arguments::{Arguments, Task, Threshold, parse_box};
use super::inputs::split_pair;
use crate::geometry::VoxelBox;
use crate::train::{Method, TrainConfig};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_declaration_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn paths_alone_open_the_window() {
    let arguments = parse("semietpicker a.mrc b.mrc").unwrap();
    assert!(arguments.task.is_none());
    assert_eq!(arguments.paths.len(), 2);
    assert!(parse("semietpicker").unwrap().paths.is_empty());
}

#[test]
fn a_copick_project_stands_for_labels_and_classes() {
    let parsed = parse("semietpicker train --copick c.json --out m --voxel-spacing 10 --picks jane/1 --picks eve/2");
    let Some(Task::Train(train)) = parsed.unwrap().task else { panic!("a training") };
    let wishes = train.copick.wishes();
    assert_eq!((wishes.voxel_spacing, wishes.tomo_type, wishes.picks.map(|picks| picks.len())), (Some(10.0), None, Some(2)));
    assert!(parse("semietpicker train --out m").is_err());
    assert!(parse("semietpicker train --copick c.json --classes c.toml --out m").is_err());
    assert!(parse("semietpicker train --copick c.json --out m --picks jane").is_err());
    let window = parse("semietpicker config.json --voxel-spacing 10 --tomo-type wbp").unwrap();
    assert_eq!((window.paths.len(), window.copick.wishes().tomo_type.as_deref()), (1, Some("wbp")));
    assert!(super::run(parse("semietpicker a.mrc --tomo-type wbp").unwrap()).unwrap_err().is::<super::Usage>());
}

#[test]
fn training_takes_lists_in_either_form() {
    let line = "semietpicker train --labelled a.mrc=a.csv b.mrc=b.csv --labelled c.mrc=c.csv --region a.mrc=0,1,2,30,31,32 \
                --classes c.toml --out m --network resnet34 --sparse --unlabelled u.mrc v.mrc";
    let Some(Task::Train(train)) = parse(line).unwrap().task else { panic!("a training") };
    assert_eq!(train.labelled.len(), 3);
    assert_eq!(train.unlabelled.len(), 2);
    assert!(train.sparse);
    let config = train.settings.applied_to(TrainConfig::default(), false, false);
    assert_eq!((config.steps, config.cotrain_steps, config.crop, config.batch), (600, 0, 64, 2));
}

#[test]
fn the_method_follows_from_what_there_is_unless_it_is_said() {
    let settings = |flags: &str| {
        let line = format!("semietpicker train --labelled a.mrc=a.csv --classes c.toml --out m {flags}");
        let Some(Task::Train(train)) = parse(&line).unwrap().task else { panic!("a training") };
        train.settings
    };
    let fresh = |flags: &str, unlabelled| settings(flags).applied_to(TrainConfig::default(), unlabelled, false);
    assert_eq!(fresh("", false).method, Method::Supervised);
    let semi = fresh("--burn-in 300", true);
    assert_eq!((semi.method, semi.steps, semi.cotrain_steps), (Method::Semi, 300, 300));
    assert!(semi.has_views() && semi.dropped() > 0.0);
    let single = fresh("--no-multi-view --drop-block 0", true);
    assert!(!single.has_views() && single.dropped() == 0.0);
    let teacher = fresh("--method mean-teacher --cotrain 50", true);
    assert_eq!((teacher.method, teacher.cotrain_steps), (Method::MeanTeacher, 50));
    assert!(!teacher.has_views() && teacher.dropped() == 0.0);
    // A run that is resumed keeps what is not said anew.
    let run = TrainConfig { steps: 40, cotrain_steps: 60, alpha: 0.5, batch: 3, ..TrainConfig::default() };
    let resumed = settings("--cotrain 80").applied_to(run.clone(), false, true);
    assert_eq!(resumed, TrainConfig { cotrain_steps: 80, ..run });
    assert!(parse("semietpicker train --labelled a=b --classes c --out m --resume r --crop 32").is_err());
}

#[test]
fn a_box_lists_x_first() {
    assert_eq!(parse_box("1,2,3,11,12,13"), Ok(VoxelBox::new([3, 2, 1], [13, 12, 11])));
    assert!(parse_box("1,2,3,11,12").unwrap_err().contains("6 whole numbers"));
    assert!(parse_box("1,2,3,1,12,13").unwrap_err().contains("empty"));
    assert!(parse_box("1,2,-3,11,12,13").is_err());
}

#[test]
fn thresholds_are_auto_or_a_score() {
    let threshold = |text: &str| match parse(&format!("semietpicker pick --model m a.mrc --out o --threshold {text}")).ok()?.task
    {
        Some(Task::Pick(pick)) => Some(pick.threshold),
        _ => None,
    };
    assert_eq!(threshold("auto"), Some(Threshold::Auto));
    assert_eq!(threshold("0.25"), Some(Threshold::Score(0.25)));
    assert_eq!(threshold("1.5"), None);
    assert_eq!(threshold("often"), None);
}

#[test]
fn a_region_without_a_spacing_is_a_bad_argument() {
    let line = "semietpicker evaluate --picks p.csv --truth t.csv --classes c.toml --region 0,0,0,1,1,1";
    assert!(parse(line).is_err());
    assert!(parse(&format!("{line} --spacing 10")).is_ok());
    assert!(parse(&format!("{line} --spacing -10")).is_err());
}

#[test]
fn pairs_split_where_the_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd=name.mrc");
    std::fs::write(&file, "x").unwrap();
    let text = format!("{}=labels.csv", file.display());
    let (left, right) = split_pair(&text).unwrap();
    assert_eq!((left, right), (file, "labels.csv"));
    assert_eq!(split_pair("none.mrc=a=b").unwrap().1, "a=b");
    assert!(split_pair("alone").is_err());
}

#[test]
fn the_detector_and_its_loss_are_chosen_and_checked() {
    use crate::train::{Detector, SegmentationLoss};

    let train = |more: &str| parse(&format!("semietpicker train --labelled a=b --classes c.toml --out m {more}"));
    let Some(Task::Train(chosen)) = train("--detector segmentation --segmentation-loss tversky").unwrap().task else {
        panic!("a training")
    };
    assert_eq!(
        (chosen.settings.detector, chosen.settings.segmentation_loss),
        (Some(Detector::Segmentation), Some(SegmentationLoss::Tversky))
    );
    let Some(Task::Train(usual)) = train("").unwrap().task else { panic!("a training") };
    assert_eq!((usual.settings.detector, usual.settings.segmentation_loss), (None, None));
    let refusal = |more: &str| super::run(train(more).unwrap()).unwrap_err();
    for (arguments, reason) in [
        ("--segmentation-loss tversky", "goes with --detector segmentation"),
        ("--detector segmentation --unlabelled d", "leave out --unlabelled"),
        ("--detector segmentation --cotrain 5", "leave out --unlabelled"),
    ] {
        let refusal = refusal(arguments);
        assert!(refusal.is::<super::Usage>() && refusal.to_string().contains(reason), "{refusal}");
    }
}
