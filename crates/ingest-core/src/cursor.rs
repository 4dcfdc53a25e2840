//! How far connectors have read their channels.

use rejoinder_machine::event;
use rejoinder_wire::event::{ConnectorCaughtUp, ConnectorCursorMoved, Event, event::Body};

use crate::state::Ingest;

/// Takes a connector's cursor, if it names one, and returns the one in force; `None` when the
/// workspace does not exist.
#[must_use]
pub fn report_cursor(
    state: &Ingest,
    workspace: &str,
    connector: &str,
    cursor: &str,
    caught_up: bool,
    out: &mut Vec<Event>,
) -> Option<String> {
    let known = state.workspace(workspace)?;
    let in_force = known.cursors.get(connector).cloned().unwrap_or_default();
    if caught_up {
        let caught_up = ConnectorCaughtUp { connector: connector.to_owned() };
        out.push(event(workspace, Body::ConnectorCaughtUp(caught_up)));
    }
    if cursor.is_empty() || cursor == in_force {
        return Some(in_force);
    }
    let moved = ConnectorCursorMoved { connector: connector.to_owned(), cursor: cursor.to_owned() };
    out.push(event(workspace, Body::ConnectorCursorMoved(moved)));
    Some(cursor.to_owned())
}
