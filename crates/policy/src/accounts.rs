//! `accounts.toml`: who is the company, channel by channel.

use rejoinder_wire::event::threading_policy::Account;

use crate::Policy;
use crate::problem::Problems;
use crate::reader::File;

/// The longest id.
const MAX_ID_BYTES: usize = 512;

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    file.known_keys(file.root(), &["account"], problems);
    let Some(item) = file.root().get("account") else { return };
    let Some(accounts) = item.as_array_of_tables() else {
        return file.problem(item, "accounts are tables of their own: [[account]]".into(), problems);
    };
    for table in accounts {
        file.known_keys(table, &["channel", "id", "bot"], problems);
        let mut text = |key: &str| match file.string(table, key, problems) {
            Some(text) if text.is_empty() || text.len() > MAX_ID_BYTES || text.chars().any(char::is_control) => {
                let what = format!("{key} has 1 to {MAX_ID_BYTES} bytes and no control characters");
                problems.at(file.name, file.text, table.get(key).and_then(toml_edit::Item::span), what);
                None
            }
            Some(text) => Some(text.to_owned()),
            None if table.contains_key(key) => None,
            None => {
                problems.at(file.name, file.text, table.span(), format!("the account has no {key}"));
                None
            }
        };
        let (channel, id) = (text("channel"), text("id"));
        let bot = file.boolean(table, "bot", problems).unwrap_or_default();
        let (Some(channel), Some(id)) = (channel, id) else { continue };
        let known = &mut policy.threading.accounts;
        if known.iter().any(|other| other.channel == channel && other.id == id) {
            let what = format!("{channel} {id} is listed before");
            problems.at(file.name, file.text, table.span(), what);
            continue;
        }
        known.push(Account { channel, id, bot });
    }
}
