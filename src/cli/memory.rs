//! How much memory this process may use: the machine's, or what its control group leaves it.

use std::fs::read_to_string;

/// Where control groups of the second and of the first kind say how much memory they have.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// The least that bodies and answers get.
const LEAST: usize = 64 * 1024 * 1024;
/// What they get where nothing is known.
const OTHERWISE: usize = 512 * 1024 * 1024;

/// Returns the bytes that bodies and answers may take together: a quarter of what there is.
pub(super) fn default_limit() -> usize {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = GROUPS.iter().filter_map(|path| read_to_string(path).ok()?.trim().parse().ok());
    groups.chain(machine).min().map_or(OTHERWISE, |bytes| (bytes / 4).max(LEAST))
}

/// Reads the whole memory of a machine from `/proc/meminfo`, in bytes.
fn total(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_memory_is_found() {
        let text = "MemTotal:       16384 kB\nMemFree:        1 kB\n";
        assert_eq!(total(text), Some(16 * 1024 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert!(default_limit() >= LEAST);
    }
}
