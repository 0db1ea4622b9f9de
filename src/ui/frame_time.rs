//! How long the processor works on a frame.

use std::collections::VecDeque;
use std::path::PathBuf;

/// Frames that are remembered.
const FRAMES: usize = 1000;

/// Frame times of the latest frames, in seconds.
#[derive(Debug, Default)]
pub struct FrameTimes {
    seconds: VecDeque<f32>,
    total: u64,
    /// Where the percentiles are written at the end.
    log: Option<PathBuf>,
}

impl FrameTimes {
    /// Writes percentiles at the end to the file that `SEMIETPICKER_FRAME_LOG` names, if it is set.
    pub fn from_environment() -> Self {
        Self { log: std::env::var_os("SEMIETPICKER_FRAME_LOG").map(PathBuf::from), ..Self::default() }
    }

    /// Remembers a frame.
    pub fn add(&mut self, seconds: f32) {
        if self.seconds.len() == FRAMES {
            self.seconds.pop_front();
        }
        self.seconds.push_back(seconds);
        self.total += 1;
    }

    /// Replaces the time of the latest frame by a better measurement.
    pub fn replace_previous(&mut self, seconds: f32) {
        if let Some(last) = self.seconds.back_mut() {
            *last = seconds;
        }
    }

    /// The time that `share` (0 to 1) of the remembered frames do not exceed (nearest rank); `None` before the first frame.
    pub fn percentile(&self, share: f64) -> Option<f32> {
        let mut sorted: Vec<f32> = self.seconds.iter().copied().collect();
        sorted.sort_by(f32::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied()
    }

    /// The mean of the latest frames, for the status line.
    pub fn recent(&self) -> Option<f32> {
        let count = self.seconds.len().min(30);
        (count > 0).then(|| self.seconds.iter().rev().take(count).sum::<f32>() / count as f32)
    }

    /// Writes the percentiles if a file was named.
    pub fn finish(&self) {
        let (Some(path), Some(p50), Some(p99), Some(max)) =
            (&self.log, self.percentile(0.5), self.percentile(0.99), self.percentile(1.0))
        else {
            return;
        };
        let text = format!(
            "frames {}\nremembered {}\np50_ms {:.3}\np99_ms {:.3}\nmax_ms {:.3}\n",
            self.total,
            self.seconds.len(),
            p50 * 1e3,
            p99 * 1e3,
            max * 1e3
        );
        if let Err(error) = std::fs::write(path, text) {
            log::warn!("frame times were not written ({error}): {}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latest_thousand_frames() {
        let mut times = FrameTimes::default();
        assert_eq!(times.percentile(0.5), None);
        (0..500).for_each(|_| times.add(1000.0));
        (1..=1000).for_each(|n| times.add(n as f32));
        assert_eq!(times.percentile(0.5), Some(500.0));
        assert_eq!(times.percentile(0.99), Some(990.0));
        assert_eq!(times.percentile(1.0), Some(1000.0));
        assert_eq!(times.percentile(0.0), Some(1.0));
    }
}
