//! "Did you mean": the valid word that is most similar to a misspelled one.

/// Returns the most similar word of `valid`, if it is similar enough to be the intended one.
pub(super) fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace(['-', ' '], "_");
    let near = word.chars().count() / 3 + 1;
    valid
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let singular = lower.trim_end_matches('s') == word.trim_end_matches('s');
            (if singular { 0 } else { distance(&word, &lower) }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= near && *distance < candidate.chars().count().max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns "did you mean `x`?", or all valid words if there are few. Otherwise returns nothing.
pub(super) fn suggestion<'a>(word: &str, valid: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(nearest) = nearest(word, valid.clone()) {
        return format!("did you mean `{nearest}`?");
    }
    let all: Vec<String> = valid.into_iter().map(|word| format!("`{word}`")).collect();
    match all.len() {
        0 => String::new(),
        1 => format!("the only valid one is {}", all[0]),
        2..=16 => format!("valid are {}", all.join(", ")),
        _ => String::new(),
    }
}

/// Returns the number of edits between two words. A swap of neighbors counts as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                best = best.min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let valid = ["subjects", "kind", "map_requests", "write", "max_age"];
        for (word, expected) in [
            ("subject", Some("subjects")),
            ("map_reqeusts", Some("map_requests")),
            ("map-requests", Some("map_requests")),
            ("maxage", Some("max_age")),
            ("Write", Some("write")),
            ("quorum", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, valid), expected, "{word}");
        }
    }
}
