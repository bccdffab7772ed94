//! Ends statements of SQLite from another thread. What is asked while a statement runs is a flag of the thread that runs it,
//! so that whoever opens the connections need not know.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use libsqlite3_sys as sqlite;

/// After how many instructions of SQLite's machine the flag is looked at: some tenths of a millisecond.
const INSTRUCTIONS: c_int = 20_000;

thread_local! {
    static FLAG: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// While it lives, statements of this thread end with "interrupted" once the flag is set.
#[derive(Debug)]
pub struct Ends(());

impl Ends {
    /// Begins. Concerns connections that were opened after [`install`].
    pub fn when(flag: &Arc<AtomicBool>) -> Self {
        FLAG.set(Some(Arc::clone(flag)));
        Self(())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        FLAG.set(None);
    }
}

/// Makes every connection that this process opens from now on look at the flag of its thread.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function lives as long as the process, and does no more than SQLite allows it to.
        unsafe { sqlite::sqlite3_auto_extension(Some(on_open)) };
    });
}

unsafe extern "C" fn on_open(
    connection: *mut sqlite::sqlite3,
    _: *mut *mut c_char,
    _: *const sqlite::sqlite3_api_routines,
) -> c_int {
    // SAFETY: SQLite calls this with the connection that it is opening.
    unsafe { sqlite::sqlite3_progress_handler(connection, INSTRUCTIONS, Some(is_to_end), ptr::null_mut()) };
    sqlite::SQLITE_OK
}

extern "C" fn is_to_end(_: *mut c_void) -> c_int {
    let is_set = |flag: &RefCell<Option<Arc<AtomicBool>>>| {
        flag.try_borrow().is_ok_and(|flag| flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)))
    };
    // A thread that ends has no flag any more.
    FLAG.try_with(is_set).unwrap_or(false).into()
}
