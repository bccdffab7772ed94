//! "Did you mean …?", as graphql-core asks.
//!
//! Upstream: `graphql.pyutils.suggestion_list`, `did_you_mean` of graphql-core.

const MOST: usize = 5;

/// Returns a question that names what of `known` is spelled like `given`, led by a space; or nothing. `kind` says
/// what the names are.
pub(super) fn did_you_mean<'a>(kind: &str, given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let threshold = given.chars().count() * 2 / 5 + 1;
    let mut near: Vec<(usize, &str)> = known
        .map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= threshold)
        .collect();
    near.sort_unstable();
    let names: Vec<String> = near.iter().take(MOST).map(|(_, name)| format!("'{name}'")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(" Did you mean {kind}{one}?"),
        [one, two] => format!(" Did you mean {kind}{one} or {two}?"),
        [all @ .., last] => format!(" Did you mean {kind}{}, or {last}?", all.join(", ")),
    }
}

/// Returns the edit distance, swaps of neighbours included (optimal string alignment); a difference in case
/// alone counts one.
fn distance(left: &str, right: &str) -> usize {
    if left == right {
        return 0;
    }
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    let (left, right) = (lower(left), lower(right));
    if left == right {
        return 1;
    }
    let first: Vec<usize> = (0..=right.len()).collect();
    let (mut before_last, mut last) = (first.clone(), first);
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let change = usize::from(a != b);
            let mut cost = (at(&last, j + 1) + 1).min(at(&row, j) + 1).min(at(&last, j) + change);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(b) && right.get(j - 1) == Some(a);
            if swapped {
                cost = cost.min(at(&before_last, j - 1) + 1);
            }
            row.push(cost);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_about_similar_names() {
        let fields =
            ["mlflowGetExperiment", "mlflowGetRun", "mlflowListArtifacts", "mlflowSearchRuns", "test"];
        for (given, want) in [
            ("nope", ""),
            ("tset", " Did you mean 'test'?"),
            ("TEST", " Did you mean 'test'?"),
            ("mlflowGetExperimen", " Did you mean 'mlflowGetExperiment' or 'mlflowGetRun'?"),
        ] {
            assert_eq!(did_you_mean("", given, fields.into_iter()), want, "{given}");
        }
        assert_eq!(
            did_you_mean("", "ab", ["aa", "bb", "cb"].into_iter()),
            " Did you mean 'aa', 'bb', or 'cb'?"
        );
    }
}
