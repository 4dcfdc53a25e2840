//! The same messages told in another order are grouped alike.

use std::collections::BTreeSet;

use rejoinder_model::MessageKey;
use rejoinder_wire::event::{Event, event::Body};

use super::{Auditor, key_of};
use crate::client::Random;
use crate::simulation::Wrong;
use crate::simulation::clients::Shop;
use crate::simulation::grouping::{grouping, told};

impl Auditor {
    pub(super) fn compare_grouping(&self, shop: &Shop, random: &mut Random) -> Result<(), Wrong> {
        let theirs = self.events.iter().filter(|event| event.workspace == shop.name);
        let (mut told_last, policies): (Vec<&Event>, Vec<&Event>) =
            theirs.partition(|event| !matches!(event.body, Some(Body::PolicyPublished(_))));
        let keys = told_last.iter().filter_map(|event| match &event.body {
            Some(Body::InteractionReceived(received)) => key_of(&shop.name, received.message.as_ref()).ok(),
            _ => None,
        });
        let keys: BTreeSet<MessageKey> = keys.collect();
        crate::shuffle(&mut told_last, random.below(u64::MAX >> 33));
        let other = grouping(&told(policies.into_iter().chain(told_last))?, &keys);
        let this = grouping(&self.placement.state, &keys);
        if this.conversations != other.conversations {
            return Err(format!("{} has other conversations when told in another order", shop.name));
        }
        if !shop.regroups && this.threads != other.threads {
            return Err(format!("{} has other threads when told in another order", shop.name));
        }
        Ok(())
    }
}
