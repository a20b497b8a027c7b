//! Durations and sizes as users write them.

use std::fmt::Write as _;

/// Reason why a duration or size was refused. Its text lists the valid forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text is not a duration.
    #[error(
        "`{0}` is not a duration; write it like `24h`, `2m`, `90s`, `500ms` or `1d12h` (units: d, h, m, s, ms, us, ns)"
    )]
    Duration(String),
    /// The text is not a size.
    #[error(
        "`{0}` is not a size; write it in bytes or like `512MiB` or `10GB` \
         (units: B, KB, MB, GB, TB of 1000, KiB, MiB, GiB, TiB of 1024; -1 is unlimited)"
    )]
    Size(String),
    /// The value does not fit into 63 bits.
    #[error("`{0}` is larger than the API can express (2^63 - 1 {1})")]
    TooLarge(String, &'static str),
}

const DURATIONS: [(&str, i128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Binary units come first, so that exact sizes use them.
const SIZES: [(&str, i128); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Parses a duration into nanoseconds, the unit of the JetStream API: `24h`, `1d12h`, `1.5s`, `500ms`. `0` is zero.
///
/// # Errors
/// [`UnitError::Duration`], also for a number without a unit and for a negative one; [`UnitError::TooLarge`].
pub fn parse_duration(text: &str) -> Result<i64, UnitError> {
    if text == "0" {
        return Ok(0);
    }
    let invalid = || UnitError::Duration(text.to_owned());
    let (mut total, mut rest, mut smallest) = (0i128, text, i128::MAX);
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, char::is_alphabetic);
        let unit = if unit == "µs" { "us" } else { unit };
        let scale = DURATIONS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?.1;
        if scale >= smallest {
            return Err(invalid());
        }
        total += scaled(number, scale).ok_or_else(invalid)?;
        (smallest, rest) = (scale, after);
    }
    i64::try_from(total).map_err(|_| UnitError::TooLarge(text.to_owned(), "ns"))
}

/// Parses a size into bytes: `512MiB`, `10GB`, `1048576`. `-1` is unlimited.
///
/// # Errors
/// [`UnitError::Size`], [`UnitError::TooLarge`]
pub fn parse_size(text: &str) -> Result<i64, UnitError> {
    if text == "-1" {
        return Ok(-1);
    }
    let invalid = || UnitError::Size(text.to_owned());
    let (number, unit) = split(text, |c| c.is_ascii_digit() || c == '.');
    let unit = match unit.trim_start() {
        "" => "B",
        unit => unit,
    };
    let short = |name: &str| name.len() == 2 && unit.len() == 1 && name[..1].eq_ignore_ascii_case(unit) && unit != "B";
    let scale = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit) || short(name)).ok_or_else(invalid)?.1;
    let bytes = scaled(number, scale).ok_or_else(invalid)?;
    i64::try_from(bytes).map_err(|_| UnitError::TooLarge(text.to_owned(), "bytes"))
}

/// Formats nanoseconds as users write them: `24h`, `1d12h`, `0s`. The text is exact and parses back to the same value.
pub fn format_duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = i128::from(nanoseconds).abs();
    let mut text = if nanoseconds < 0 { "-".to_owned() } else { String::new() };
    for (unit, scale) in DURATIONS {
        // A single day reads better as 24h.
        if rest < scale || (unit == "d" && rest == scale) {
            continue;
        }
        let _ = write!(text, "{}{unit}", rest / scale);
        rest %= scale;
    }
    text
}

/// Formats seconds, rounded: `90 seconds`, `2 hours`, `3 days`.
pub fn rough_duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Formats bytes in the largest exact unit: `512MiB`, `10GB`, `1234B`. A negative number is `unlimited`.
pub fn format_size(bytes: i64) -> String {
    if bytes < 0 {
        return "unlimited".to_owned();
    }
    let bytes = i128::from(bytes);
    let exact = SIZES.iter().filter(|(_, scale)| bytes > 0 && bytes % scale == 0).max_by_key(|(_, scale)| *scale);
    let (unit, scale) = exact.copied().unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Multiplies `number` (digits with at most one decimal point) by `scale`. Returns `None` if it is not a number, or if
/// the result is not whole.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (number, ""),
    };
    if whole.is_empty() || whole.len() > 19 || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let power = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let product = digits * scale;
    (product % power == 0).then_some(product / power)
}

/// Formats a time (seconds since 1970) as `2026-11-23T04:05:06Z`.
pub fn format_time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds} since 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("24h", 86_400), ("2m", 120), ("1d12h", 129_600), ("90s", 90), ("0", 0), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(seconds * 1_000_000_000), "{text}");
        }
        assert_eq!(parse_duration("500ms"), Ok(500_000_000));
        assert_eq!(parse_duration("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse_duration("3us"), parse_duration("3µs"));
        for text in ["", "24", "h", "1h1h", "1m1h", "-1s", "1 h", "1.h", ".5h", "1.2.3s", "1w", "24H", "0.5ns"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(matches!(parse_duration("999999d"), Err(UnitError::TooLarge(..))));
        assert!(parse_duration("99999999999999999999999999999d").is_err());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("10GB", 10_000_000_000),
            ("10 GB", 10_000_000_000),
            ("1.5KiB", 1536),
            ("1k", 1000),
            ("1G", 1_000_000_000),
            ("7", 7),
            ("7B", 7),
            ("-1", -1),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-2", "10XB", "MB", "1.5", "1,5GB", "10 G B"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(matches!(parse_size("99999999TiB"), Err(UnitError::TooLarge(..))));
    }

    #[test]
    fn what_is_printed_parses_back() {
        for value in [0, 1, 1_500_000_000, 86_400_000_000_000, 129_600_000_000_000, 172_800_000_000_000, i64::MAX] {
            assert_eq!(parse_duration(&format_duration(value)), Ok(value));
            assert_eq!(parse_size(&format_size(value)), Ok(value));
        }
        assert_eq!(format_duration(86_400_000_000_000), "24h");
        assert_eq!(format_duration(129_600_000_000_000), "1d12h");
        assert_eq!(format_size(512 << 20), "512MiB");
        assert_eq!(format_size(10_000_000_000), "10GB");
        assert_eq!(format_size(-1), "unlimited");
    }
}
