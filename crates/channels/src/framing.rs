//! Files: compressed or not, archives of files.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// A file as it is, or decompressed when it starts like a zstd or gzip file.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompressed(mut input: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let whole: Chain<Cursor<Vec<u8>>, Box<dyn Read>> = Cursor::new(magic.clone()).chain(input);
    Ok(match &magic[..] {
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        _ => Box::new(whole),
    })
}

/// Is the first byte that is no white space a brace? The input is whole again after.
pub(crate) fn starts_with_brace(input: Box<dyn Read>) -> io::Result<(bool, Box<dyn Read>)> {
    let mut input = BufReader::new(input);
    let start = input.fill_buf()?;
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok((first == Some(&b'{'), Box::new(input)))
}

/// Hands the files of a tar, or the file itself when it is none, to `each` with their names.
pub(crate) fn members(input: Box<dyn Read>, each: &mut dyn FnMut(&str, Box<dyn Read + '_>) -> bool) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1024, input);
    // A tar says so at byte 257 of its first block.
    let mut head = Vec::new();
    input.by_ref().take(512).read_to_end(&mut head)?;
    let is_tar = head.get(257..262) == Some(b"ustar");
    let whole = Cursor::new(head).chain(input);
    if !is_tar {
        each("", Box::new(whole));
        return Ok(());
    }
    for entry in tar::Archive::new(whole).entries()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?.display().to_string();
        if !each(&name, Box::new(entry)) {
            break;
        }
    }
    Ok(())
}
