//! Conditions (`if:`) of both kinds of pipelines, as far as the examples use them: `==`, `&&` and `||`, not nested.

/// Checks if a condition holds; `look_up` resolves names (`github.event_name`, `$CI_COMMIT_BRANCH`).
pub fn holds(condition: &str, look_up: &dyn Fn(&str) -> String) -> bool {
    let value = |text: &str| {
        let text = text.trim();
        let literal = ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
        literal.map_or_else(|| look_up(text), str::to_owned)
    };
    let one = |term: &str| match term.trim() {
        "always()" => true,
        term => {
            let (left, right) = term.split_once("==").unwrap_or_else(|| panic!("a condition of another form: {term}"));
            value(left) == value(right)
        }
    };
    condition.split("||").any(|all| all.split("&&").all(one))
}
