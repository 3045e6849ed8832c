//! Sizes and times as people read them.

/// A unit: what it is called, and its bytes.
type Unit = (&'static str, u64);

/// `3.7 GB`: in thousands, as it stands on cards and as networks count.
pub fn size(bytes: u64) -> String {
    let units = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
    ];
    match fitting(bytes, &units) {
        None => format!("{bytes} B"),
        Some(((name, unit), _)) if bytes / unit >= 100 => format!("{} {name}", bytes / unit),
        Some(((name, _), tenths)) => format!("{}.{} {name}", tenths / 10, tenths % 10),
    }
}

/// `512 MiB`, `3.4 KiB`: in powers of two, as limits are set and memory is counted.
pub fn binary(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match fitting(bytes, &units) {
        None if bytes == 1 => "1 byte".to_owned(),
        None => format!("{bytes} bytes"),
        Some(((name, unit), _)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some(((name, _), tenths)) => format!("{}.{} {name}", tenths / 10, tenths % 10),
    }
}

/// The largest unit that a number has one of, and how many tenths of it.
fn fitting(bytes: u64, units: &[Unit]) -> Option<(Unit, u128)> {
    let unit = *units.iter().find(|(_, unit)| bytes >= *unit)?;
    Some((unit, u128::from(bytes) * 10 / u128::from(unit.1)))
}

/// `2 min 5 s`.
pub fn time(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (31_914_983_424, "31.9 GB"),
            (512_110_190_592, "512 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (bytes, text) in [
            (1, "1 byte"),
            (1000, "1000 bytes"),
            (3500, "3.4 KiB"),
            (512 << 20, "512 MiB"),
            ((1 << 20) + 1, "1.0 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(binary(bytes), text);
        }
        assert_eq!([5, 125, 7260].map(time), ["5 s", "2 min 5 s", "2 h 1 min"]);
    }
}
