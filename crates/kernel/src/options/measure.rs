//! Numbers with a unit as people write them: `256KiB`, `1500ms`, `1.5s`. Exact: no floating point.

/// A number and what stands behind it.
pub(super) struct Measure<'a> {
    /// The digits before and after the point.
    digits: (&'a str, &'a str),
    /// The unit as written; empty for none.
    pub(super) unit: &'a str,
}

/// Takes number and unit apart; `None` where there is no number.
pub(super) fn measured(written: &str) -> Option<Measure<'_>> {
    let end = written.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(written.len());
    let (number, unit) = written.split_at_checked(end)?;
    let digits = number.split_once('.').unwrap_or((number, ""));
    let some = !digits.0.is_empty() && !digits.1.contains('.') && digits.0.len() + digits.1.len() <= 24;
    (some && (digits.1.is_empty() != number.contains('.'))).then_some(Measure { digits, unit: unit.trim() })
}

impl Measure<'_> {
    /// The number times `each`; `None` where that is not whole, or out of all bounds.
    fn times(&self, each: u128) -> Option<u128> {
        let (whole, part) = self.digits;
        let scale = 10u128.checked_pow(u32::try_from(part.len()).ok()?)?;
        let number: u128 = format!("{whole}{part}").parse().ok()?;
        let product = number.checked_mul(each)?;
        (product % scale == 0).then_some(product / scale)
    }
}

/// A size in bytes.
///
/// # Errors
/// What would be right, as a sentence part.
pub(super) fn size(written: &str) -> Result<u128, String> {
    let wrong = || "write a size: 65536, 64KiB, 1MiB".to_owned();
    let measure = measured(written).ok_or_else(wrong)?;
    let each = match measure.unit {
        "" | "B" | "byte" | "bytes" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "k" | "K" | "M" | "m" | "G" | "g" | "KB" => {
            return Err("write KiB, MiB or GiB (1024), or kB, MB, GB (1000)".to_owned());
        }
        _ => return Err(wrong()),
    };
    measure.times(each).ok_or_else(|| "that is no whole number of bytes".to_owned())
}

/// A duration in microseconds; a number without a unit counts `plain` of them.
///
/// # Errors
/// What would be right, as a sentence part.
pub(super) fn duration(written: &str, plain: u128) -> Result<u128, String> {
    let wrong = || "write a duration: 30s, 1500ms, 5m".to_owned();
    let measure = measured(written).ok_or_else(wrong)?;
    let each = match measure.unit {
        "" => plain,
        "us" | "µs" | "μs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(wrong()),
    };
    measure.times(each).ok_or_else(|| "that is finer than a microsecond, or beyond all bounds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check =
            |written: &str, expect: Option<u128>| assert_eq!(size(written).ok(), expect, "{written:?}");
        check("65536", Some(65536));
        check("256KiB", Some(262_144));
        check("1.5 MiB", Some(1_572_864));
        check("8 bytes", Some(8));
        check("1kB", Some(1000));
        check("0.5B", None);
        for wrong in ["", "-1", "1e3", "64K", "64KB", ".5KiB", "5.KiB", "1.2.3", "KiB", "٣KiB", "1 2"] {
            check(wrong, None);
        }
        check(&"9".repeat(50), None);
    }

    #[test]
    fn durations() {
        let check = |written: &str, expect: Option<u128>| {
            assert_eq!(duration(written, 1_000_000).ok(), expect, "{written:?}");
        };
        check("1500ms", Some(1_500_000));
        check("1.5s", Some(1_500_000));
        check("7", Some(7_000_000));
        check("20 µs", Some(20));
        check("2min", Some(120_000_000));
        check("1h", Some(3_600_000_000));
        check("0.0000001s", None);
        for wrong in ["", "s", "-1s", "+1s", "1 h 2 m", "1S", "30sec", "∞", "NaN", "1.2.3s"] {
            check(wrong, None);
        }
    }
}
