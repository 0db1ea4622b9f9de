use std::time::{Duration, Instant};

use super::*;
use crate::volume::MemoryVolume;

/// Every voxel is `100 z + 10 y + x`.
fn volume() -> MemoryVolume {
    let shape = [9, 9, 9];
    let voxels = (0..729).map(|i| (100 * (i / 81) + 10 * (i / 9 % 9) + i % 9) as f32).collect();
    MemoryVolume::new(voxels, shape, 10.0).expect("729 voxels")
}

fn key(centre: [i64; 3], half: usize, slab: usize) -> ThumbKey {
    ThumbKey { cache: 0, tomogram: TomogramId(1), centre, half, slab }
}

#[test]
fn sections_are_centred_and_averaged() {
    let thumb = read_thumb(&volume(), &key([4, 4, 4], 2, 1)).unwrap();
    assert_eq!(thumb.side, 5);
    assert_eq!(thumb.xy[12], 444.0);
    assert_eq!((thumb.xy[0], thumb.xy[24]), (422.0, 466.0));
    assert_eq!((thumb.xz[0], thumb.xz[24]), (242.0, 646.0), "rows of XZ are z");
    let slab = read_thumb(&volume(), &key([4, 4, 4], 2, 5)).unwrap();
    assert_eq!(slab.xy[12], 444.0, "the mean of 244 to 644");
    let edge = read_thumb(&volume(), &key([0, 0, 8], 2, 3)).unwrap();
    assert_eq!(edge.xy[12], 58.0, "the mean of slices 0 and 1 at y 0, x 8");
    assert!(edge.xy[0].is_nan() && edge.xy[14].is_nan(), "outside the tomogram");
    let beyond = read_thumb(&volume(), &key([40, 40, 40], 2, 3)).unwrap();
    assert!(beyond.xy.iter().all(|value| value.is_nan()));
}

#[test]
fn wide_sections_are_reduced() {
    let values: Vec<f32> = (0..400).map(|i| (i % 20) as f32).collect();
    let small = fit([20, 20], &values, 10);
    assert_eq!((small.len(), small[0], small[9]), (100, 0.5, 18.5));
    let large = fit([3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 6);
    assert_eq!((large[0], large[1], large[35]), (1.0, 1.0, 9.0));
}

#[test]
fn what_is_not_wanted_any_more_is_not_read_and_little_is_kept() {
    let loader = ThumbLoader::start(|| {}).unwrap();
    let source: Arc<dyn VolumeSource> = Arc::new(volume());
    let want = |x: i64| Wanted { key: key([4, 4, x], 2, 1), source: source.clone() };
    loader.want((0..200_000).map(want).collect());
    loader.want(vec![want(-1)]);
    let mut cache = ThumbCache { serial: 0, ..ThumbCache::new() };
    let other = ThumbKey { cache: 7, ..key([0; 3], 2, 1) };
    assert!(cache.take_in(vec![(other, Ok(Thumb { side: 1, xy: vec![0.0], xz: vec![0.0] }))]).is_none());
    assert!(cache.is_empty(), "of another project");
    let start = Instant::now();
    let mut read = 0;
    while start.elapsed() < Duration::from_secs(10) && !cache.kept.contains_key(&want(-1).key) {
        let taken = loader.take();
        read += taken.len();
        assert!(cache.take_in(taken).is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(cache.kept.contains_key(&want(-1).key));
    assert!(read < 200_000, "{read} were read");
    let thumb = || Ok(Thumb { side: 1, xy: vec![0.0], xz: vec![0.0] });
    for x in 0..2000 {
        cache.begin_frame();
        assert!(cache.take_in(vec![(key([0, 0, x], 2, 1), thumb())]).is_none());
    }
    assert!(cache.len() <= MOST_KEPT + 1, "{}", cache.len());
    assert!(cache.kept.contains_key(&key([0, 0, 1999], 2, 1)), "the latest stay");
}

#[test]
fn greys_follow_the_contrast() {
    let thumb = Thumb { side: 1, xy: vec![5.0], xz: vec![f32::NAN] };
    let grey = |contrast, invert| image(&thumb, Grey { contrast, invert, smooth: false }).pixels[0].r();
    assert_eq!(grey([0.0, 10.0], false), 127);
    assert_eq!(grey([0.0, 10.0], true), 128);
    assert_eq!(grey([5.0, 5.0], false), 0);
    let outside = image(&thumb, Grey { contrast: [0.0, 10.0], invert: true, smooth: false }).pixels[1];
    assert_eq!(outside.a(), 0, "clear outside the tomogram");
}
