//! How long, as people write it: `30s`, `500ms`, `2m`, `1h`, `1.5s`, and a plain number for seconds.

use std::time::Duration;

/// The longest that can be asked for: more than anybody waits, and little enough to add to any moment.
const LONGEST_MS: f64 = 365.0 * 86_400_000.0;

/// Reads a duration.
///
/// # Errors
///
/// A sentence part that says what would be right.
pub fn parse(written: &str) -> Result<Duration, String> {
    let unit = written.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(written.len());
    let (number, unit) = written.split_at(unit);
    let ms_each = match unit {
        "ms" => 1.0,
        "" | "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return Err("write 30s, 500ms, 2m, 1h, or a number of seconds".into()),
    };
    let number: f64 =
        number.parse().map_err(|_| "write a number and its unit: 30s, 500ms, 2m, 1h".to_owned())?;
    let ms = number * ms_each;
    if ms > LONGEST_MS {
        return Err("that is more than a year; leave it out to wait without limit".into());
    }
    Ok(Duration::from_secs_f64(ms / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |written: &str, ms: Option<u64>| {
            assert_eq!(parse(written).ok(), ms.map(Duration::from_millis), "{written:?}");
        };
        check("30s", Some(30_000));
        check("500ms", Some(500));
        check("2m", Some(120_000));
        check("2min", Some(120_000));
        check("1h", Some(3_600_000));
        check("7", Some(7_000));
        check("0", Some(0));
        check("1.5s", Some(1_500));
        check(".5", Some(500));
        for wrong in
            ["", "s", "ms", "-1", "+1", "1 s", "1S", "30sec", "1.2.3s", ".", "1e3", "inf", "NaN", "∞"]
        {
            check(wrong, None);
        }
        check("8760h", Some(365 * 86_400_000));
        check("8761h", None);
        check(&"9".repeat(400), None);
    }
}
