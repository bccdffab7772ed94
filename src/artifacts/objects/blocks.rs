//! The buffer pool for parts of multipart uploads: reusable blocks of one size. With the system's allocator,
//! fragmentation costs half as much memory again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The size of a block; the HTTP client may copy what it is given at once, so it is not large.
const BLOCK_BYTES: usize = 64 * 1024;
/// The most free blocks: nearly what four large uploads at once use. Too few, and blocks that one thread
/// frees are allocated anew by another, for which the system keeps memory twice.
const MAX_FREE: usize = 30 * 1024 * 1024 / BLOCK_BYTES;

/// The free list.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Blocks {
    fn take(self: &Arc<Self>) -> Block {
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = used.unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES));
        Block { bytes, blocks: Arc::clone(self) }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MAX_FREE {
            bytes.clear();
            free.push(bytes);
        }
    }
}

/// A block in use.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    blocks: Arc<Blocks>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.blocks.give_back(std::mem::take(&mut self.bytes));
    }
}

/// The buffer of a part.
#[derive(Debug)]
pub(super) struct Collected {
    blocks: Arc<Blocks>,
    full: Vec<Bytes>,
    last: Option<Block>,
    length: usize,
}

impl Collected {
    pub(super) fn new(blocks: Arc<Blocks>) -> Self {
        Self { blocks, full: Vec::new(), last: None, length: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies `bytes`: the pieces of a request keep larger buffers alive.
    pub(super) fn extend(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            let mut block = self.last.take().unwrap_or_else(|| self.blocks.take());
            let (fitting, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - block.bytes.len()));
            block.bytes.extend_from_slice(fitting);
            bytes = rest;
            if block.bytes.len() == BLOCK_BYTES {
                self.full.push(Bytes::from_owner(block));
            } else {
                self.last = Some(block);
            }
        }
    }

    /// Takes the content out. Its blocks return to the pool when dropped.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.length = 0;
        let mut pieces = std::mem::take(&mut self.full);
        pieces.extend(self.last.take().map(Bytes::from_owner));
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(blocks: &Blocks) -> usize {
        blocks.free.lock().unwrap().len()
    }

    #[test]
    fn what_was_collected_is_handed_over_in_blocks() {
        let blocks = Arc::<Blocks>::default();
        let mut collected = Collected::new(Arc::clone(&blocks));
        let all: Vec<u8> = (0..=250).cycle().take(BLOCK_BYTES * 5 / 2).collect();
        for size in [1, 1000, BLOCK_BYTES, 3 * BLOCK_BYTES] {
            all.chunks(size).for_each(|piece| collected.extend(piece));
            assert_eq!(collected.len(), all.len());
            let pieces = collected.take();
            assert!(collected.is_empty() && collected.take().is_empty());
            assert_eq!(
                pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
                [BLOCK_BYTES, BLOCK_BYTES, BLOCK_BYTES / 2]
            );
            assert_eq!(pieces.concat(), all, "in pieces of {size}");
        }
    }

    #[test]
    fn blocks_are_used_again() {
        let blocks = Arc::<Blocks>::default();
        let mut collected = Collected::new(Arc::clone(&blocks));
        collected.extend(&vec![1; 3 * BLOCK_BYTES]);
        let pieces = collected.take();
        let again = pieces.clone();
        drop(pieces);
        assert_eq!(free(&blocks), 0);
        drop(again);
        assert_eq!(free(&blocks), 3);
        collected.extend(b"x");
        assert_eq!(free(&blocks), 2);
        drop(collected);
        assert_eq!(free(&blocks), 3);
        let mut many = Collected::new(Arc::clone(&blocks));
        many.extend(&vec![0; (MAX_FREE + 9) * BLOCK_BYTES]);
        drop(many);
        assert_eq!(free(&blocks), MAX_FREE);
    }
}
