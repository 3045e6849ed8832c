//! Durations, sizes and percentages as a manifest writes them, always with their unit.

/// Seconds in `30s`, `10m`, `2h`, `7d` or sums such as `1h30m`.
pub fn duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let letter = after.chars().next()?;
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return None,
        };
        // `30m1h` is a slip more often than it is meant.
        if unit >= smallest {
            return None;
        }
        smallest = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = after[1..].trim_start();
    }
    (smallest != u64::MAX).then_some(total)
}

/// Bytes in `64K`, `512M`, `2G` (powers of 1024; `KiB` and `KB` mean the same as `K`).
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    let unit = match unit {
        "K" | "KB" | "KiB" | "k" => 1 << 10,
        "M" | "MB" | "MiB" => 1 << 20,
        "G" | "GB" | "GiB" => 1 << 30,
        "T" | "TB" | "TiB" => 1_u64 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Percent of one core in `100%`.
pub fn percent(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    (unit == "%").then_some(number)
}

/// A whole number and what follows it, without the blanks between them.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(duration("30s"), Some(30));
        assert_eq!(duration(" 1h 30m "), Some(5_400));
        assert_eq!(duration("7d"), Some(604_800));
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        assert_eq!(percent("150%"), Some(150));
    }

    #[test]
    fn a_missing_unit_or_a_number_too_large_is_no_value() {
        for bad in [
            "",
            "30",
            "s",
            "1.5h",
            "-1s",
            "30m1h",
            "1h1h",
            "99999999999999999999s",
            "99999999999999999w",
            "1é",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in [
            "512",
            "M",
            "-1M",
            "1.5G",
            "99999999999999999999",
            "99999999999999T",
            "5%",
        ] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(percent("100"), None);
    }
}
