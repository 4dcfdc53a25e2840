//! Which keys may be stored: a Bloom filter that grows. A key that was added is always found, and one
//! in several hundred of the others as well.
//!
//! Each key sets one bit in each word of one block of 64 bytes, a cache line. A full layer is followed
//! by a larger one, so that nobody need know beforehand how many keys will come.

use xxhash_rust::xxh3::xxh3_64;

type Block = [u64; 8];

/// Bits for each key: one in about five hundred others is then taken for it.
const BITS_PER_KEY: usize = 16;
/// Blocks of the first layer: 4 KiB.
const FIRST_BLOCKS: usize = 64;
/// How much larger each layer is than the one before.
const GROWTH: usize = 4;
/// Odd numbers, one for each word.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

struct Layer {
    blocks: Vec<Block>,
    room: usize,
}

/// Keys that were added, and a few more.
#[derive(Default)]
pub(crate) struct Filter {
    layers: Vec<Layer>,
}

#[expect(clippy::cast_possible_truncation, reason = "the low half of a hash is a hash")]
fn bits(hash: u64) -> Block {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 26))
}

fn block_of(hash: u64, blocks: usize) -> usize {
    // The high half, scaled to the number of blocks.
    usize::try_from(((hash >> 32) * blocks as u64) >> 32).unwrap_or_default()
}

impl Filter {
    /// Adds a key by its bytes.
    pub(crate) fn add(&mut self, key: &[u8]) {
        let hash = xxh3_64(key);
        if self.layers.last().is_none_or(|layer| layer.room == 0) {
            let count = self.layers.last().map_or(FIRST_BLOCKS, |layer| layer.blocks.len() * GROWTH);
            let room = count * size_of::<Block>() * 8 / BITS_PER_KEY;
            self.layers.push(Layer { blocks: vec![Block::default(); count], room });
        }
        let Some(layer) = self.layers.last_mut() else { return };
        let at = block_of(hash, layer.blocks.len());
        for (word, bit) in layer.blocks[at].iter_mut().zip(bits(hash)) {
            *word |= bit;
        }
        layer.room -= 1;
    }

    /// `false`: the key was never added.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        if self.layers.is_empty() {
            return false;
        }
        let hash = xxh3_64(key);
        let bits = bits(hash);
        self.layers.iter().any(|layer| {
            let block = &layer.blocks[block_of(hash, layer.blocks.len())];
            block.iter().zip(bits).all(|(word, bit)| word & bit != 0)
        })
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.blocks.len() * size_of::<Block>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let mut filter = Filter::default();
        let key = |number: u64| number.to_be_bytes();
        assert!(!filter.may_have(&key(1)));
        (0..100_000).for_each(|number| filter.add(&key(number)));
        assert!((0..100_000).all(|number| filter.may_have(&key(number))));
        let others = (100_000..200_000).filter(|number| filter.may_have(&key(*number))).count();
        assert!(others < 1_000, "{others} of 100000 others");
        assert!(filter.bytes() < 1 << 20, "{} bytes", filter.bytes());
    }
}
