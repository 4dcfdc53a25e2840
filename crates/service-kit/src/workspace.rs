//! The caller's workspace.

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::refuse;

/// The longest name of a workspace.
const MAX_BYTES: usize = 128;

/// The workspace named in the metadata, `default` without one.
///
/// # Errors
/// INVALID_ARGUMENT when it is no name.
pub fn workspace(metadata: &MetadataMap) -> Result<String, Status> {
    let Some(value) = metadata.get(rejoinder_api::WORKSPACE) else { return Ok("default".to_owned()) };
    let wrong = |message: &str| refuse::invalid("WORKSPACE_INVALID", rejoinder_api::WORKSPACE, message);
    let name = value.to_str().map_err(|_| wrong("a name is ASCII text"))?;
    if name.is_empty() || name.len() > MAX_BYTES {
        return Err(wrong("a name has 1 to 128 bytes"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) {
        return Err(wrong("a name has letters, digits, '-', '_' and '.' only"));
    }
    Ok(name.to_owned())
}
