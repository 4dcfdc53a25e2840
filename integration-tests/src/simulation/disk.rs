//! What one machine keeps of one lane's state, and what a power cut leaves of it.

use rejoinder_machine::Change;
use rejoinder_projection_store::{LaneMeta, LaneStore};

/// A stored state, and the same as of its last sync.
pub(super) struct Disk {
    pub(super) store: LaneStore,
    synced: Option<(LaneMeta, Vec<Change>)>,
}

impl Disk {
    /// An empty disk.
    pub(super) fn new(store: LaneStore) -> Result<Self, String> {
        store.clear()?;
        Ok(Self { store, synced: None })
    }

    /// What is stored now outlives a power cut.
    pub(super) fn sync(&mut self) -> Result<(), String> {
        let Some(meta) = self.store.meta()? else { return Ok(()) };
        let mut entries = Vec::new();
        self.store.for_each(|key, value| entries.push(Change { key: key.to_vec(), value: Some(value.to_vec()) }))?;
        self.synced = Some((meta, entries));
        Ok(())
    }

    /// The power goes: what was written since the last sync is lost, as one.
    pub(super) fn cut(&mut self) -> Result<(), String> {
        self.store.clear()?;
        match &self.synced {
            Some((meta, entries)) => self.store.write(entries.iter().cloned(), meta),
            None => Ok(()),
        }
    }

    /// The disk is replaced by an empty one.
    pub(super) fn replace(&mut self) -> Result<(), String> {
        self.synced = None;
        self.store.clear()
    }
}
