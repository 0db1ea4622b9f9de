//! Between the window and the two threads of the review.

use super::thumbs::Wanted;
use crate::ui::app::App;
use crate::ui::state::VolumeState;

impl App {
    /// Takes in what the threads have done.
    pub(in crate::ui) fn collect_review(&mut self) {
        while let Some(done) = self.review.poll() {
            self.state.on_review_done(done);
        }
        let read = self.thumbs.take();
        if !read.is_empty()
            && let Some(error) = self.state.review.thumbs.take_in(read)
        {
            self.state.fail("A section for the gallery cannot be read", &error);
        }
        self.state.finish_going();
    }

    /// Asks for the sections that the gallery lacks, and has picks and settings kept.
    pub(in crate::ui) fn after_review(&mut self) {
        let state = &self.state;
        let wanted = state.review.thumbs.missing().iter().filter_map(|key| match state.volumes.get(&key.tomogram) {
            Some(VolumeState::Open(volume)) => Some(Wanted { key: *key, source: volume.source.clone() }),
            _ => None,
        });
        self.thumbs.want(wanted.collect());
        self.state.keep_picks();
        self.hand_over_review_jobs();
        self.state.keep_review_form(false);
        if let Some(due) = self.state.review_form_due() {
            self.ctx.request_repaint_after(due);
        }
    }

    /// Hands requests to the thread for sets of picks.
    pub(in crate::ui) fn hand_over_review_jobs(&mut self) {
        for job in std::mem::take(&mut self.state.review.jobs) {
            self.review.add(job);
        }
    }
}
