//! Lists in which each key stands once, as Python's dictionaries have them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Keeps one item of each key, where the first one stood: a later one takes its place if `replaces(old, new)`.
pub fn one_of_each<T, K: Eq + Hash>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
    replaces: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(items.size_hint().0);
    let mut places: HashMap<K, usize> = HashMap::with_capacity(items.size_hint().0);
    for item in items {
        match places.entry(key(&item)) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(item);
            }
            Entry::Occupied(place) => {
                if let Some(old) = kept.get_mut(*place.get())
                    && replaces(old, &item)
                {
                    *old = item;
                }
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_keeps_the_place_of_the_first() {
        let all = [("b", 1), ("a", 2), ("b", 3), ("b", 2)];
        let of = |replaces: fn(i32, i32) -> bool| {
            one_of_each(all.into_iter(), |(key, _)| *key, |old, new| replaces(old.1, new.1))
        };
        assert_eq!(of(|_, _| true), [("b", 2), ("a", 2)]);
        assert_eq!(of(|old, new| new > old), [("b", 3), ("a", 2)]);
        assert_eq!(of(|_, _| false), [("b", 1), ("a", 2)]);
    }
}
