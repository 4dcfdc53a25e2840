//! What goes wrong.

use rejoinder_event_log::EventLog;
use rejoinder_model::HOUR_MS;

use super::World;
use crate::simulation::{Plant, Wrong};

impl World {
    /// A desk stores its state, as far as it may.
    pub(super) fn flush(&mut self, at: usize) -> Result<(), Wrong> {
        self.note("flush", &[at as u64]);
        self.counters[at].desk.posts().into_iter().try_for_each(|(_, post)| post.flush())
    }

    pub(super) fn sync_disks(&mut self, at: usize) -> Result<(), Wrong> {
        self.note("sync disks", &[at as u64]);
        self.disks[at].iter_mut().flatten().try_for_each(super::Disk::sync)
    }

    /// Somebody sets the wall clock wrong by hours, or right.
    pub(super) fn set_clock_wrong(&mut self) {
        let hours = i64::try_from(self.random.below(12)).unwrap_or_default() - 6;
        let off = if self.random.below(2) == 0 { 0 } else { hours * HOUR_MS };
        self.note("clock", &[off.unsigned_abs(), u64::from(off < 0)]);
        self.sky.set_off(off);
    }

    /// The power goes: every desk is gone, and so is what no disk has; only some zombies are elsewhere.
    pub(super) fn cut_power(&mut self) -> Result<(), Wrong> {
        self.rough.crashes += 1;
        self.note("power", &[]);
        for at in 0..self.counters.len() {
            if self.plant == Plant::EarlyFlush {
                let stored = self.counters[at].desk.ingest.lane.store_now();
                stored.map_err(|failure| failure.to_string())?;
                self.sync_disks(at)?;
            }
            let reaches = self.random.below(6);
            self.log.sync_some(u16::try_from(at).unwrap_or_default(), reaches);
        }
        self.log.crash();
        for at in 0..self.counters.len() {
            if self.random.below(2) == 0 {
                self.lose_zombie(at)?;
            }
            let machine = self.counters[at].desk.machine;
            let number = self.counters[at].desk.number;
            self.clients.give_up(number)?;
            self.disks[at][machine].iter_mut().try_for_each(super::Disk::cut)?;
            self.reopen(at, machine)?;
        }
        Ok(())
    }

    /// A process dies. What it wrote to the log lands or stands already; its disk may be replaced.
    pub(super) fn kill(&mut self, at: usize) -> Result<(), Wrong> {
        self.rough.crashes += 1;
        let (machine, number) = (self.counters[at].desk.machine, self.counters[at].desk.number);
        let replaced = self.random.below(4) == 0;
        self.note("kill", &[at as u64, u64::from(replaced)]);
        self.clients.give_up(number)?;
        if replaced {
            self.disks[at][machine].iter_mut().try_for_each(super::Disk::replace)?;
        }
        self.reopen(at, machine)
    }

    fn reopen(&mut self, at: usize, machine: usize) -> Result<(), Wrong> {
        let partition = u16::try_from(at).unwrap_or_default();
        self.counters[at].desk = self.open_desk(partition, machine)?;
        Ok(())
    }

    /// The other machine takes over. The desk that had the partition goes on and does not know.
    pub(super) fn move_away(&mut self, at: usize) -> Result<(), Wrong> {
        self.rough.moves += 1;
        self.note("move", &[at as u64]);
        self.lose_zombie(at)?;
        let machine = 1 - self.counters[at].desk.machine;
        let partition = u16::try_from(at).unwrap_or_default();
        let desk = self.open_desk(partition, machine)?;
        let zombie = std::mem::replace(&mut self.counters[at].desk, desk);
        self.counters[at].zombie = Some(zombie);
        Ok(())
    }

    /// A desk that knows that it lost its partition gets it again.
    pub(super) fn come_back(&mut self, at: usize) {
        let counter = &mut self.counters[at];
        if let Some(mut back) = counter.zombie.take_if(|zombie| zombie.is_deposed()) {
            back.posts().into_iter().for_each(|(_, post)| post.assign());
            counter.zombie = Some(std::mem::replace(&mut counter.desk, back));
            self.rough.moves += 1;
            self.note("back", &[at as u64]);
        }
    }

    pub(super) fn lose_zombie(&mut self, at: usize) -> Result<(), Wrong> {
        match self.counters[at].zombie.take() {
            Some(zombie) => self.clients.give_up(zombie.number),
            None => Ok(()),
        }
    }

    /// All records, durable or not.
    pub(super) fn records(&self) -> u64 {
        (0..self.log.partitions()).map(|partition| self.log.visible(partition).len() as u64).sum()
    }
}
