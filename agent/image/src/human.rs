//! Sizes, rates and times as people read them.

/// `3.7 GB`: in thousands, as it stands on cards.
pub fn size(bytes: u64) -> String {
    let units = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
    ];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) => {
            let tenths = bytes / (unit / 10);
            if tenths >= 1000 {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
    }
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
    #[test]
    fn sizes_and_times_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (31_914_983_424, "31.9 GB"),
            (512_110_190_592, "512 GB"),
        ] {
            assert_eq!(super::size(bytes), text);
        }
        assert_eq!(
            [5, 125, 7260].map(super::time),
            ["5 s", "2 min 5 s", "2 h 1 min"]
        );
    }
}
