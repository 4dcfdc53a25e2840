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
    let value = metadata.get(rejoinder_api::WORKSPACE);
    named(value.map(tonic::metadata::AsciiMetadataValue::as_bytes)).map(ToOwned::to_owned)
}

/// The same for the bare value of the metadata.
///
/// # Errors
/// INVALID_ARGUMENT when it is no name.
pub fn named(value: Option<&[u8]>) -> Result<&str, Status> {
    let Some(value) = value else { return Ok("default") };
    let wrong = |message: &str| refuse::invalid("WORKSPACE_INVALID", rejoinder_api::WORKSPACE, message);
    let name = std::str::from_utf8(value).ok().filter(|name| name.is_ascii());
    let name = name.ok_or_else(|| wrong("a name is ASCII text"))?;
    if name.is_empty() || name.len() > MAX_BYTES {
        return Err(wrong("a name has 1 to 128 bytes"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) {
        return Err(wrong("a name has letters, digits, '-', '_' and '.' only"));
    }
    Ok(name)
}
