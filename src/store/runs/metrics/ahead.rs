//! What clients that read a long history page by page will ask for next.
//!
//! A history is ordered by time, for which the schema has no index, so that a page costs the database the whole
//! history. A statement for one page may as well return the points behind it: they are kept for some seconds,
//! and the pages that follow cost the database nothing. Page tokens stay what they are, and a page that is not
//! here (another replica's client, a slow one) is read from the database.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{HistoryPage, Point};
use crate::domain::ids::RunId;

/// Points that are kept in all, of 32 bytes each.
const CAPACITY: usize = 200_000;

/// Points that one statement returns beyond its page, at most.
const MOST: usize = 100_000;

/// Fewer points than this are not worth keeping: the database sorts them in a few milliseconds.
const FEWEST: usize = 5_000;

/// How long points are kept after they were last asked for. A client decodes a page of 25,000 in half a second.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A page from here on is asked for by clients that want all of a history, as MLflow's does.
const LARGE_PAGE: usize = 10_000;

/// The points that were read ahead. A history has one entry, of the latest statement.
#[derive(Debug, Default)]
pub(in crate::store) struct Ahead {
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    run_id: RunId,
    key: String,
    /// The place in the history of the first of `points`.
    offset: usize,
    points: Vec<Point>,
    /// Whether the history ends with them.
    is_rest: bool,
    expires: Instant,
}

impl Entry {
    fn is_of(&self, run_id: &RunId, key: &str) -> bool {
        self.run_id == *run_id && self.key == key
    }

    /// Returns the page if all of it is here.
    fn page(&self, offset: usize, limit: usize) -> Option<HistoryPage> {
        let points =
            self.points.get(offset.checked_sub(self.offset)?..).filter(|points| !points.is_empty())?;
        let is_last = points.len() <= limit;
        if is_last && !self.is_rest {
            return None;
        }
        let points = points.iter().take(limit).copied().collect();
        Some(HistoryPage::new(points, (!is_last).then(|| offset.saturating_add(limit))))
    }
}

impl Ahead {
    /// Returns a page if it was read ahead; after the last one the history's points are let go.
    pub(super) fn page(&self, run_id: &RunId, key: &str, offset: usize, limit: usize) -> Option<HistoryPage> {
        let mut entries = self.fresh(Instant::now());
        let place = entries.iter().position(|entry| entry.is_of(run_id, key))?;
        let entry = entries.get_mut(place)?;
        let page = entry.page(offset, limit)?;
        entry.expires = Instant::now() + KEPT_FOR;
        if page.next_page_token.is_none() {
            entries.swap_remove(place);
        }
        Some(page)
    }

    /// Returns how many points a statement for such a page, which is not here, may return beyond it.
    pub(super) fn room(&self, run_id: &RunId, key: &str, offset: usize, limit: usize) -> usize {
        if offset == 0 && limit < LARGE_PAGE {
            return 0;
        }
        let mut entries = self.fresh(Instant::now());
        entries.retain(|entry| !entry.is_of(run_id, key));
        let free = free(&entries);
        if free < FEWEST { 0 } else { free.min(MOST) }
    }

    /// Keeps the points that begin at `offset`, unless they are few or others took the room.
    pub(super) fn keep(&self, run_id: RunId, key: String, offset: usize, points: Vec<Point>, is_rest: bool) {
        let now = Instant::now();
        let mut entries = self.fresh(now);
        entries.retain(|entry| !entry.is_of(&run_id, &key));
        if (FEWEST..=free(&entries)).contains(&points.len()) {
            entries.push(Entry { run_id, key, offset, points, is_rest, expires: now + KEPT_FOR });
        }
    }

    /// Returns the entries that are not too old at the time `now`.
    fn fresh(&self, now: Instant) -> MutexGuard<'_, Vec<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| now < entry.expires);
        entries
    }
}

fn free(entries: &[Entry]) -> usize {
    CAPACITY.saturating_sub(entries.iter().map(|entry| entry.points.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: usize) -> Vec<Point> {
        (0..).take(count).map(|step| Point { value: 0.5, timestamp: step, step, is_nan: false }).collect()
    }

    fn keep(ahead: &Ahead, run_id: &str, count: usize, is_rest: bool) {
        ahead.keep(run_id.into(), "m".to_owned(), 100, points(count), is_rest);
    }

    fn steps(page: Option<HistoryPage>) -> Option<(i64, i64, bool)> {
        let page = page?;
        Some((page.points.first()?.step, page.points.last()?.step, page.next_page_token.is_some()))
    }

    #[test]
    fn pages_are_those_behind_the_one_that_was_read() {
        let ahead = Ahead::default();
        keep(&ahead, "r", 6000, true);
        assert_eq!(ahead.page(&"r".into(), "other", 100, 10), None);
        assert_eq!(ahead.page(&"other".into(), "m", 100, 10), None);
        assert_eq!(ahead.page(&"r".into(), "m", 99, 10), None);
        assert_eq!(ahead.page(&"r".into(), "m", 6100, 10), None);
        assert_eq!(steps(ahead.page(&"r".into(), "m", 100, 10)), Some((0, 9, true)));
        assert_eq!(steps(ahead.page(&"r".into(), "m", 100, 5999)), Some((0, 5998, true)));
        assert_eq!(steps(ahead.page(&"r".into(), "m", 6000, 100)), Some((5900, 5999, false)));
        assert_eq!(ahead.page(&"r".into(), "m", 100, 10), None, "the last page lets them go");
    }

    #[test]
    fn an_end_that_is_not_the_historys_is_no_page() {
        let ahead = Ahead::default();
        keep(&ahead, "r", 6000, false);
        assert_eq!(ahead.page(&"r".into(), "m", 6000, 100), None);
        assert_eq!(steps(ahead.page(&"r".into(), "m", 6000, 99)), Some((5900, 5998, true)));
    }

    #[test]
    fn only_so_much_is_kept_and_for_so_long() {
        let ahead = Ahead::default();
        keep(&ahead, "few", FEWEST - 1, true);
        assert_eq!(ahead.page(&"few".into(), "m", 100, 10), None);
        assert_eq!(ahead.room(&"r".into(), "m", 0, LARGE_PAGE - 1), 0);
        assert_eq!(ahead.room(&"r".into(), "m", 0, LARGE_PAGE), MOST);
        assert_eq!(ahead.room(&"r".into(), "m", 1, 1), MOST);
        for run in ["one", "two"] {
            keep(&ahead, run, 90_000, true);
        }
        assert_eq!(ahead.room(&"r".into(), "m", 1, 1), CAPACITY - 180_000);
        keep(&ahead, "r", CAPACITY - 179_999, true);
        assert_eq!(ahead.page(&"r".into(), "m", 100, 10), None);
        keep(&ahead, "two", 7000, true);
        assert_eq!(steps(ahead.page(&"two".into(), "m", 7000, 100)), Some((6900, 6999, false)));
        assert_eq!(ahead.fresh(Instant::now()).len(), 1);
        assert_eq!(ahead.fresh(Instant::now() + KEPT_FOR).len(), 0);
    }
}
