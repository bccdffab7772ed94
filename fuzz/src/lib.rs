//! Shared by the targets: a parser's peak allocation, and which errors are a client's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ferroflow::domain::{Error, ErrorCode};

/// The system allocator, counting Rust's allocations. libFuzzer's own memory is not Rust's.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn take(bytes: usize) {
    PEAK.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: all is delegated to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // At worst, both exist for a moment.
        take(size);
        let moved = unsafe { System.realloc(pointer, layout, size) };
        IN_USE.fetch_sub(layout.size(), Relaxed);
        moved
    }
}

/// Does `work`, and asserts that its peak allocation, result included, is at most `most` bytes.
#[track_caller]
pub fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work();
    let taken = PEAK.load(Relaxed) - before;
    assert!(taken <= most, "{taken} bytes were taken, of {most} that are expected at most");
    done
}

/// Asserts that an error is the client's, and that its message is bounded by what was sent.
#[track_caller]
pub fn is_refusal(error: &Error, sent: usize) {
    let is_clients = matches!(error.code, ErrorCode::InvalidParameterValue | ErrorCode::AttributeNotFound);
    assert!(is_clients, "{error:?}");
    let most = 4096 + 12 * sent;
    assert!(error.message.len() <= most, "a message of {} bytes about {sent}", error.message.len());
}
