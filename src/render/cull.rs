//! Finding what lies near a slice without looking at everything: points sorted into buckets, one a slice.

/// Indices of points by their depth along one axis. Building takes a time proportional to the number of points and slices, so it
/// can be done anew after every edit; looking up takes none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepthBuckets {
    /// Where each slice begins in `order`; one more entry than slices.
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl DepthBuckets {
    /// Buckets for points at these `depths`, continuous voxel indices, in a volume of `slices` slices. Points outside the volume go to
    /// its first or last slice; those whose depth is not a number to the first. Within a slice the order of the points is kept.
    pub fn new(depths: impl Iterator<Item = f64> + Clone, slices: usize) -> Self {
        let slices = slices.max(1);
        // A cast takes what is too small, and what is not a number, to 0.
        let bucket = |depth: f64| (depth.round() as usize).min(slices - 1);
        let mut starts = vec![0u32; slices + 1];
        for depth in depths.clone() {
            starts[bucket(depth) + 1] += 1;
        }
        for slice in 0..slices {
            starts[slice + 1] += starts[slice];
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; starts[slices] as usize];
        for (index, depth) in depths.enumerate() {
            let place = &mut next[bucket(depth)];
            order[*place as usize] = index as u32;
            *place += 1;
        }
        Self { starts, order }
    }

    /// Every point between these depths, both included, and perhaps some within a voxel beyond them.
    pub fn within(&self, low: f64, high: f64) -> &[u32] {
        let slices = self.starts.len().saturating_sub(1);
        if slices == 0 || high < low {
            return &[];
        }
        let first = (low.round() as usize).min(slices - 1);
        let last = (high.round() as usize).min(slices - 1);
        &self.order[self.starts[first] as usize..self.starts[last + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_near_a_slice_is_found_and_hardly_any_other() {
        let depths: Vec<f64> = (0..5000).map(|i| f64::from((i * 7919) % 5000) / 10.0 - 3.0).collect();
        let buckets = DepthBuckets::new(depths.iter().copied(), 480);
        for (low, high) in [(-10.0, 0.4), (0.0, 0.0), (17.3, 21.9), (470.0, 600.0), (-5.0, 1000.0)] {
            let found: std::collections::BTreeSet<u32> = buckets.within(low, high).iter().copied().collect();
            for (index, depth) in depths.iter().enumerate() {
                let inside = (low..=high).contains(depth);
                assert!(!inside || found.contains(&(index as u32)), "{depth} within {low} to {high}");
                // Beyond the volume's ends everything shares a bucket.
                let far = depth.clamp(0.0, 479.0) < low.clamp(0.0, 479.0) - 1.0
                    || depth.clamp(0.0, 479.0) > high.clamp(0.0, 479.0) + 1.0;
                assert!(!far || !found.contains(&(index as u32)), "{depth} is not within {low} to {high}");
            }
        }
        assert!(buckets.within(5.0, 4.0).is_empty());
        assert!(DepthBuckets::default().within(0.0, 9.0).is_empty());
    }

    #[test]
    fn depths_that_are_no_numbers_do_no_harm() {
        let buckets = DepthBuckets::new([f64::NAN, f64::INFINITY, -1e300, 2.0].into_iter(), 4);
        assert_eq!(buckets.within(0.0, 0.0), [0, 2]);
        assert_eq!(buckets.within(2.0, 9.0), [3, 1]);
        assert_eq!(DepthBuckets::new(std::iter::empty(), 0).within(0.0, 5.0), [0u32; 0]);
    }
}
