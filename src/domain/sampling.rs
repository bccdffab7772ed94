//! Which points of a metric's history stand for all of it: evenly spaced ones, the last always among them.
//!
//! The points are ordered by step, timestamp and value, and their places in that order decide. To know the places
//! without reading the points, the history is described by [`StepBlock`]s: how many points there are at which
//! steps. Where every step has one point, which is usual, a place in the order is a step, and only the points at
//! the wanted steps have to be fetched.
//!
//! Even that reads the steps of every point. A long history is therefore first taken for a [`Regular`] one, with a
//! point at every so many steps, and asked for the wanted points alone; what comes back shows whether it is.
//!
//! Upstream: `SqlAlchemyStore._sample_metric_history_single_run`.

/// Steps that a block spans.
const STEPS_PER_BLOCK: u32 = u64::BITS;

/// The points at 64 neighbouring steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepBlock {
    /// The steps are `64 * number` to `64 * number + 63`.
    pub number: i64,
    /// Points in the block.
    pub points: usize,
    /// Which of the steps have points, the lowest first.
    pub steps: u64,
}

impl StepBlock {
    /// Counts the points at `steps`, which ascend.
    pub fn of_ascending(steps: impl IntoIterator<Item = i64>) -> Vec<Self> {
        let mut blocks: Vec<Self> = Vec::new();
        for step in steps {
            let (number, bit) = (step.div_euclid(64), 1 << step.rem_euclid(64));
            match blocks.last_mut() {
                Some(last) if last.number == number => {
                    last.points += 1;
                    last.steps |= bit;
                }
                _ => blocks.push(Self { number, points: 1, steps: bit }),
            }
        }
        blocks
    }

    fn has_one_point_per_step(&self) -> bool {
        self.points == self.steps.count_ones() as usize
    }

    fn occupied(&self) -> impl Iterator<Item = i64> + use<> {
        let Self { number, steps, .. } = *self;
        (0..STEPS_PER_BLOCK)
            .filter(move |bit| steps & (1 << bit) != 0)
            .map(move |bit| number * 64 + i64::from(bit))
    }
}

/// Returns the places of the sampled points among `count` ordered ones: the first of each of `max` buckets of
/// equal size (the first ones larger by one where it does not come out even), then the last point instead of the
/// last of these. Ascending; all places when there are no more than `max`.
pub fn sampled_places(count: usize, max: usize) -> Vec<usize> {
    let max = max.max(1);
    if count <= max {
        return (0..count).collect();
    }
    let (size, larger) = (count / max, count % max);
    let mut places: Vec<usize> = (0..max).map(|bucket| bucket * size + bucket.min(larger)).collect();
    if let Some(last) = places.last_mut() {
        *last = count - 1;
    }
    places
}

/// How to get at the points of a sample.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// The sample is everything.
    Everything,
    /// Fetch the points at these steps, in order, and keep those at these places among them.
    Steps {
        /// Steps, ascending.
        steps: Vec<i64>,
        /// Places among the points at `steps`, ascending.
        keep: Vec<usize>,
    },
    /// Too many points share steps: let the database count the points and return those at these places of the
    /// whole history.
    Places(Vec<usize>),
}

impl Plan {
    /// Plans a sample of at most `max` points from a history described by `blocks`, which ascend.
    pub fn new(blocks: &[StepBlock], max: usize) -> Self {
        let count = blocks.iter().map(|b| b.points).sum();
        if count <= max.max(1) {
            return Self::Everything;
        }
        let places = sampled_places(count, max);
        let (mut steps, mut keep) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
        let (mut rest, mut start, mut fetched) = (places.as_slice(), 0, 0);
        for block in blocks {
            let (here, later) = rest.split_at(rest.partition_point(|place| *place < start + block.points));
            if block.has_one_point_per_step() {
                let mut occupied = block.occupied().enumerate();
                for place in here {
                    steps.extend(occupied.find(|(nth, _)| start + nth == *place).map(|(_, step)| step));
                    keep.push(fetched);
                    fetched += 1;
                }
            } else if !here.is_empty() {
                steps.extend(block.occupied());
                keep.extend(here.iter().map(|place| fetched + place - start));
                fetched += block.points;
            }
            start += block.points;
            rest = later;
        }
        if fetched > 4 * places.len() + 1000 { Self::Places(places) } else { Self::Steps { steps, keep } }
    }
}

/// A history that seems to have one point at every `stride`-th step.
///
/// Differs: a stretch with more or fewer points goes unnoticed if it lies between two sampled places, so that it is
/// shorter than the distance between them; the samples behind it are then off by as many places as it has points
/// too many or too few. The first and the last point are kept all the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Regular {
    /// The steps of the sample, ascending.
    pub steps: Vec<i64>,
    /// The distance of two neighbouring points.
    pub stride: i64,
}

impl Regular {
    /// Fewer samples than this are too few to tell a regular history from another.
    const MIN_SAMPLES: usize = 100;
    /// A history with fewer points for each sample is described as quickly as it is guessed.
    const MIN_POINTS_PER_SAMPLE: i64 = 8;

    /// Plans a sample of `max` points from a history with these lowest two steps and this highest one. `None` if it
    /// cannot be regular, or if it is too short to be worth guessing.
    pub fn new(first: i64, second: i64, last: i64, max: usize) -> Option<Self> {
        let stride = second.checked_sub(first).filter(|stride| *stride > 0)?;
        let span = last.checked_sub(first).filter(|span| span % stride == 0)?;
        let count = span / stride + 1;
        if max < Self::MIN_SAMPLES || count / Self::MIN_POINTS_PER_SAMPLE < i64::try_from(max).ok()? {
            return None;
        }
        let places = sampled_places(usize::try_from(count).ok()?, max).into_iter();
        let steps = places.filter_map(|place| Some(first + i64::try_from(place).ok()? * stride)).collect();
        Some(Self { steps, stride })
    }

    /// Returns the last step before the next point for each of [`steps`](Self::steps).
    pub fn ends(&self) -> Vec<i64> {
        self.steps.iter().map(|step| step.saturating_add(self.stride - 1)).collect()
    }

    /// Says whether the points found from each of the steps to its end are what a regular history has there.
    pub fn is_confirmed_by(&self, found: impl Iterator<Item = i64>) -> bool {
        self.steps.iter().copied().eq(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stock's words: number the buckets (NTILE), take each one's first row, then see to the last row.
    fn model(count: usize, max: usize) -> Vec<usize> {
        let bucket_of = |row: usize| {
            let (size, larger) = (count / max, count % max);
            let in_larger = larger * (size + 1);
            if row < in_larger { row / (size + 1) } else { larger + (row - in_larger) / size.max(1) }
        };
        let mut rows: Vec<usize> = Vec::new();
        for row in 0..count {
            if rows.last().is_none_or(|last| bucket_of(*last) != bucket_of(row)) {
                rows.push(row);
            }
        }
        if count > 0 && rows.last() != Some(&(count - 1)) {
            if rows.len() >= max {
                rows.pop();
            }
            rows.push(count - 1);
        }
        rows
    }

    /// Does with points in memory what the store does with the database.
    fn carry_out(plan: Plan, points: &[(i64, u32)]) -> Vec<(i64, u32)> {
        match plan {
            Plan::Everything => points.to_vec(),
            Plan::Places(places) => places.into_iter().map(|p| points[p]).collect(),
            Plan::Steps { steps, keep } => {
                let fetched: Vec<_> = points.iter().filter(|p| steps.contains(&p.0)).collect();
                keep.into_iter().map(|k| *fetched[k]).collect()
            }
        }
    }

    #[test]
    fn keeps_the_ends() {
        for (count, max, want) in [
            (0, 5, vec![]),
            (3, 5, vec![0, 1, 2]),
            (10, 1, vec![9]),
            (10, 2, vec![0, 9]),
            (10, 3, vec![0, 4, 9]),
            (10, 4, vec![0, 3, 6, 9]),
        ] {
            assert_eq!(sampled_places(count, max), want, "{count} {max}");
        }
    }

    #[test]
    fn many_points_at_one_step_are_left_to_the_database() {
        let blocks = StepBlock::of_ascending(std::iter::repeat_n(0, 100_000));
        assert!(matches!(Plan::new(&blocks, 100), Plan::Places(places) if places.len() == 100));
    }

    #[test]
    fn single_points_are_fetched_by_their_steps() {
        let blocks = StepBlock::of_ascending((-1000..1000).map(|s| s * 3));
        let Plan::Steps { steps, keep } = Plan::new(&blocks, 3) else { panic!("not by steps") };
        assert_eq!(steps, [-3000, -999, 2997]);
        assert_eq!(keep, [0, 1, 2]);
    }

    #[test]
    fn a_regular_history_is_sampled_by_its_ends() {
        for (first, stride, count, max) in
            [(0, 1, 100_000_i32, 320), (-700, 25, 4000, 100), (1 << 40, 3, 2561, 320)]
        {
            let last = first + stride * (i64::from(count) - 1);
            let regular = Regular::new(first, first + stride, last, max).unwrap();
            let places = sampled_places(usize::try_from(count).unwrap(), max);
            let want: Vec<i64> = places.iter().map(|p| first + i64::try_from(*p).unwrap() * stride).collect();
            assert_eq!((&regular.steps, regular.stride), (&want, stride));
            assert!(regular.is_confirmed_by(want.iter().copied()));
            assert!(!regular.is_confirmed_by(want.iter().skip(1).copied()));
            assert!(!regular.is_confirmed_by(want.iter().flat_map(|step| [*step, *step])));
            assert_eq!(regular.ends()[0], first + stride - 1);
        }
    }

    #[test]
    fn what_cannot_be_regular_or_is_short_is_not_guessed() {
        for (first, second, last, max) in [
            (0, 0, 100_000, 320),
            (0, 3, 100_000, 320),
            (0, 1, 2000, 320),
            (0, 1, 100_000, 99),
            (i64::MIN, 0, i64::MAX, 320),
            (0, i64::MAX, i64::MAX, 320),
        ] {
            assert_eq!(Regular::new(first, second, last, max), None, "{first} {second} {last} {max}");
        }
    }

    proptest! {
        #[test]
        fn places_are_those_of_stock(count in 0_usize..3000, max in 1_usize..400) {
            prop_assert_eq!(sampled_places(count, max), model(count, max));
        }

        #[test]
        fn plans_find_the_points_at_the_places(
            gaps in prop::collection::vec(prop_oneof![6 => 1_i64..3, 1 => Just(0_i64), 1 => 0_i64..500], 0..600),
            first in -2000_i64..2000,
            max in 1_usize..40,
        ) {
            let mut step = first;
            let points: Vec<(i64, u32)> = gaps.iter().zip(0..).map(|(gap, n)| { step += gap; (step, n) }).collect();
            let want: Vec<_> = model(points.len(), max).into_iter().map(|p| points[p]).collect();
            let blocks = StepBlock::of_ascending(points.iter().map(|p| p.0));
            prop_assert_eq!(carry_out(Plan::new(&blocks, max), &points), want);
        }
    }
}
