//! What a statement returned, for diesel to read row by row.

use std::num::NonZeroU32;
use std::ops::Range;
use std::rc::Rc;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::pg::{Pg, PgValue, TypeOidLookup};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use ferroflow_libpq::{Answer, Link};

use super::failed;

/// The rows of a whole answer.
pub struct Rows {
    answer: Option<Rc<Answer>>,
    next: usize,
    count: usize,
}

impl Rows {
    pub(super) fn new(answer: Option<Answer>) -> Self {
        let count = answer.as_ref().map_or(0, Answer::rows);
        Self { answer: answer.map(Rc::new), next: 0, count }
    }
}

impl Iterator for Rows {
    type Item = QueryResult<PgRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.next;
        if row >= self.count {
            return None;
        }
        self.next += 1;
        Some(Ok(PgRow { answer: Rc::clone(self.answer.as_ref()?), row }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Rows {}

/// The rows of an answer that is still arriving. Dropping it reads to the end.
pub struct RowsInParts<'conn> {
    link: &'conn mut Link,
    part: Rows,
    has_ended: bool,
}

impl<'conn> RowsInParts<'conn> {
    pub(super) fn new(link: &'conn mut Link) -> Self {
        Self { link, part: Rows::new(None), has_ended: false }
    }
}

impl Iterator for RowsInParts<'_> {
    type Item = QueryResult<PgRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.part.next() {
                return Some(row);
            }
            if self.has_ended {
                return None;
            }
            match self.link.next_answer() {
                // What says that there are no more rows has none.
                Ok(Some(answer)) => self.part = Rows::new(Some(answer)),
                Ok(None) => self.has_ended = true,
                Err(e) => {
                    self.has_ended = true;
                    return Some(Err(failed(e)));
                }
            }
        }
    }
}

impl Drop for RowsInParts<'_> {
    fn drop(&mut self) {
        while !self.has_ended {
            self.has_ended = !matches!(self.link.next_answer(), Ok(Some(_)));
        }
    }
}

/// One row.
#[derive(Clone)]
pub struct PgRow {
    answer: Rc<Answer>,
    row: usize,
}

impl RowSealed for PgRow {}

impl<'a> Row<'a, Pg> for PgRow {
    type Field<'f>
        = PgField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.answer.columns()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let column = self.idx(index)?;
        Some(PgField { answer: &self.answer, row: self.row, column })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.answer.columns()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        (0..self.answer.columns()).find(|column| self.answer.column_name(*column) == Some(name))
    }
}

/// One value.
pub struct PgField<'a> {
    answer: &'a Answer,
    row: usize,
    column: usize,
}

impl<'a> Field<'a, Pg> for PgField<'a> {
    fn field_name(&self) -> Option<&str> {
        self.answer.column_name(self.column)
    }

    fn value(&self) -> Option<<Pg as Backend>::RawValue<'_>> {
        self.answer.value(self.row, self.column).map(|bytes| PgValue::new(bytes, self))
    }
}

impl TypeOidLookup for PgField<'_> {
    fn lookup(&self) -> NonZeroU32 {
        // No column has a type without a number.
        NonZeroU32::new(self.answer.column_type(self.column)).unwrap_or(NonZeroU32::MIN)
    }
}
