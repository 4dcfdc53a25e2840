//! offer_accept: from the offer to an agent until one accepts. Parallel offers have one clock.

use rejoinder_wire::event::Metric;

use super::{Instance, Terms, queue_wait};
use crate::timeline::Timeline;

pub(super) fn plan(timeline: &Timeline<'_>, _: Terms<'_>) -> Vec<Instance> {
    queue_wait::waits(timeline, Metric::OfferAccept)
}

#[cfg(test)]
mod tests {
    use crate::tests::world::{World, story, target};
    use rejoinder_wire::event::Metric;

    #[test]
    fn the_first_accept_fulfils_it_and_without_one_it_is_over() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("1 offer 7", &["running from 1, due 3"]),
            ("2 offer 8", &["running from 1, due 3"]),
            ("2 decline 7", &["running from 1, due 3"]),
            ("3 accept 8", &["met from 1, at 3 after 2"]),
            ("10 offer 9", &["met from 1, at 3 after 2", "running from 10, due 12"]),
            ("11 decline 9", &["met from 1, at 3 after 2", "over from 10, at 11 after 1"]),
        ];
        story(World::with(vec![target(Metric::OfferAccept, 2)]), Metric::OfferAccept, lines);
    }
}
