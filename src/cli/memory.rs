//! The memory limit of this process: the machine's memory, or its cgroup limit.

use std::fs::read_to_string;

/// The memory limit files of cgroup v2 and v1.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// The least that bodies and answers get.
const LEAST: usize = 64 * 1024 * 1024;
/// What they get where nothing is known.
const OTHERWISE: usize = 512 * 1024 * 1024;

/// Returns the default memory budget of bodies and responses: a quarter of the limit.
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
