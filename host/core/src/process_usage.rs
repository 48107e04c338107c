//! What a running process uses, by the kernel's account.

/// Memory and processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Resident, shared pages counted whole.
    pub(crate) resident_bytes: u64,
    /// User and system.
    pub(crate) cpu_ms: u64,
}

/// Of the process with this number. Nothing where it is gone: it is a figure to show, nothing is decided by it.
pub(crate) fn usage(pid: u32) -> Usage {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| read(&stat)).unwrap_or_default()
}

/// proc_pid_stat(5): fields 14, 15 and 24, counted after the name, which may have anything in it.
fn read(stat: &str) -> Option<Usage> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    // Since Linux 2.6 processes are shown 100 ticks a second, whatever the kernel's own are.
    Some(Usage {
        resident_bytes: number(24)? * rustix::param::page_size() as u64,
        cpu_ms: ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itself_and_nothing_of_nobody() {
        let mine = usage(std::process::id());
        assert!(mine.resident_bytes > 100_000, "{mine:?}");
        assert_eq!(usage(u32::MAX), Usage::default());
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 5 1000 25 18446744073709551615";
        let read = read(stat).expect("usage");
        assert_eq!((read.cpu_ms, read.resident_bytes), (420, 25 * rustix::param::page_size() as u64));
    }
}
