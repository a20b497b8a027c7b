use super::*;
use crate::model::shown::tests::{HOSTILE, assert_harmless, hostile};
use proptest::prelude::*;

/// Removes the escape sequences that this program writes, and no others.
fn without_own_colors(ansi: &str) -> String {
    let mut text = ansi.to_owned();
    for style in [GREEN, YELLOW, RED, BOLD, DIM] {
        text = text.replace(&style.render().to_string(), "").replace(&style.render_reset().to_string(), "");
    }
    text
}

#[test]
fn values_are_one_line_and_styles_are_ours() {
    let name = "h\u{1b}[2Jx\n::error::y";
    let mut out = text!("account {} {}", name.bold(), "id".dim());
    put!(out, "  {} {name}", "+".green());
    part!(out, "{}", name);
    part!(out, "; more");
    out.end();
    let shown = r"h\u{1b}[2Jx\n::error::y";
    assert_eq!(out.plain(), format!("account {shown} id\n  + {shown}\n{shown}; more\n"));
    assert_eq!(
        out.ansi(),
        format!("account {BOLD}{shown}{BOLD:#} {DIM}id{DIM:#}\n  {GREEN}+{GREEN:#} {shown}\n{shown}; more\n")
    );
    // A value that contains the exact code of one of this program's styles.
    let red = format!("{RED}all is well{RED:#}");
    assert_eq!(text!("{red}").ansi(), "\\u{1b}[1m\\u{1b}[31mall is well\\u{1b}[0m\n");
}

#[test]
fn a_style_is_in_texts_alone() {
    assert_eq!(format!("{}", "x".red()), "x");
    assert_eq!(format!("{:>4}|{:<4}|", "x".red(), "y".dim()), "   x|y   |");
    // An inner style applies to its own text, and the outer one continues after it.
    let inner = text!("b{}", "c".green());
    let mut out = text!("{}", format_args!("a{inner}d").bold());
    put!(out, "e");
    assert_eq!(out.ansi(), format!("{BOLD}ab{BOLD:#}{GREEN}c{GREEN:#}{BOLD}d{BOLD:#}\ne\n"));
}

#[test]
fn texts_are_put_together() {
    let mut finding = text!("{}: a", "error".red());
    put!(finding, "  next: b");
    let mut out = text!("first");
    out.append(&finding);
    out.append_indented("    ", &finding);
    out.end();
    put!(out, "last");
    assert_eq!(out.plain(), "first\nerror: a\n  next: b\n    error: a\n      next: b\n\nlast\n");
    let error = format!("{RED}error{RED:#}");
    assert_eq!(out.ansi().matches(&error).count(), 2);
    assert_eq!(out.ansi(), out.plain().replace("error", &error));
    assert_eq!(Text::of_lines("a\n\n  b\t\n").plain(), "a\n\n  b\\t\n");
}

#[test]
fn what_a_library_draws_keeps_its_colors_and_nothing_else() {
    let drawn = "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: x\n\u{1b}[4;32mdev\u{1b}[0m \u{1b}[2Jy\u{1b}]0;t\u{7}\n";
    let text = Text::of_ansi(drawn);
    assert_eq!(text.plain(), "error: x\ndev \\u{1b}[2Jy\\u{1b}]0;t\\u{7}\n");
    let (red, green) = (AnsiColor::BrightRed.on_default().bold(), AnsiColor::Green.on_default().underline());
    assert_eq!(text.ansi(), format!("{red}error{red:#}: x\n{green}dev{green:#} \\u{{1b}}[2Jy\\u{{1b}}]0;t\\u{{7}}\n"));
}

#[test]
fn a_secret_is_hidden_within_its_value() {
    let secret = "nats://me:secret1@h";
    let mut text = text!("{}: {secret}", secret.red());
    put!(text, "x\n{}", format!("a {secret}\nme:secret1@h:1"));
    let inner = text!("{secret} pin-value=secret1");
    put!(text, "{inner}");
    let hidden = "nats://(a password, not shown)@h";
    assert_eq!(
        text.plain(),
        format!(
            "{hidden}: {hidden}\nx\\na {hidden}\\n(a password, not shown)@h:1\n{hidden} pin-value=(a PIN, not shown)\n"
        )
    );
    // Lines and drawings of this program are checked as a whole.
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "A".repeat(30));
    for text in [Text::of_lines(&key), Text::of_ansi(&key), text!("{key}")] {
        assert!(!text.plain().contains("AAAA"), "{text:?}");
    }
}

#[test]
fn nothing_between_two_values_is_hidden() {
    let mut text = text!("  | {}", "a plan; see -----BEGIN PRIVATE KEY-----");
    put!(text, "  | {}", "A".repeat(30));
    put!(text, "  account {}", "nats://a:b");
    put!(text, "  account {}", "x@h");
    assert!(!text.plain().contains("not shown") && text.plain().lines().count() == 4, "{text:?}");
}

#[test]
fn everything_hostile_is_one_harmless_line() {
    for hostile in HOSTILE {
        let text = text!("{hostile}");
        assert_eq!(text.plain().matches('\n').count(), 1, "{text:?}");
        assert_harmless(text.plain());
        assert_eq!(text.ansi(), text.plain());
    }
}

proptest! {
    #[test]
    fn no_value_does_more_than_be_read(values in proptest::collection::vec(hostile(), 3), width in 0_usize..20) {
        let [a, b, c] = &values[..] else { unreachable!() };
        let mut out = text!("{a}{} {b:>width$}", b.red());
        part!(out, "{c}");
        part!(out, "{:?}{a}", c.bold().to_string());
        out.end();
        let inner = text!("{c}{}", a.green());
        put!(out, "{inner}{}", format_args!("{a}{inner}").yellow());
        out.append_indented("  ", &inner);
        out.append(&Text::of_lines(&b.replace('\n', "")));
        let lines = 1 + 1 + 1 + 1 + usize::from(!b.replace('\n', "").is_empty());
        prop_assert_eq!(out.plain().matches('\n').count(), lines, "{}", out.plain());
        assert_harmless(out.plain());
        assert_harmless(&without_own_colors(&out.ansi()));
    }
}
