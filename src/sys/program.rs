//! The program's own pages in memory.

use super::page_size;

#[cfg(target_pointer_width = "64")]
type Segment = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Segment = libc::Elf32_Phdr;

unsafe extern "C" {
    /// The first byte of the loaded program, from the linker.
    #[link_name = "__ehdr_start"]
    pub(super) static PROGRAM: u8;
}

/// What the kernel maps around a page that is used (`fault_around_pages` in `mm/memory.c`).
const WINDOW: usize = 64 << 10;

/// Returns how far from its addresses the program was loaded, and its segments; none if the kernel did not say where they are.
fn loaded() -> (usize, &'static [Segment]) {
    // SAFETY: if the kernel left the address and the number of the program headers, they are there, and nothing changes them.
    let segments = unsafe {
        let first = libc::getauxval(libc::AT_PHDR) as *const Segment;
        if first.is_null() {
            return (0, &[]);
        }
        std::slice::from_raw_parts(first, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let first = segments.iter().find(|segment| segment.p_type == libc::PT_LOAD);
    let first = first.map_or(0, |first| first.p_vaddr as usize);
    ((&raw const PROGRAM as usize).wrapping_sub(first), segments)
}

/// Makes addresses read-only that the start of the program has filled in (RELRO): musl's start of a static program leaves them
/// writable. What is forked later inherits it.
pub fn seal_program() {
    let (loaded_at, segments) = loaded();
    let page = !(page_size() as usize - 1);
    for segment in segments {
        if segment.p_type == libc::PT_GNU_RELRO {
            let begin = loaded_at.wrapping_add(segment.p_vaddr as usize);
            let end = (begin + segment.p_memsz as usize) & page;
            // SAFETY: the linker keeps apart what is only written while the program starts, which is over.
            unsafe { libc::mprotect((begin & page) as *mut libc::c_void, end - (begin & page), libc::PROT_READ) };
        }
    }
}

/// Unmaps the pages of the program's code and constants; those that are used from now on come back from the page cache.
///
/// From Linux 6.18 on, a page that is used brings everything that the page cache keeps in one piece with it, which may be the whole
/// program, but nothing beyond its mapping (`filemap_map_folio_range` in `mm/filemap.c`). So there is a mapping for each window:
/// every second one is left out of core dumps, which have no code anyway.
pub fn release_program() {
    let (loaded_at, segments) = loaded();
    for segment in segments {
        if segment.p_type != libc::PT_LOAD || segment.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = loaded_at.wrapping_add(segment.p_vaddr as usize);
        let end = begin + segment.p_memsz as usize;
        let mut start = begin & !(page_size() as usize - 1);
        while start < end {
            let next = (start & !(WINDOW - 1)) + WINDOW;
            let length = next.min(end) - start;
            // SAFETY: the range is in a mapping of the program's file that nothing writes to, so the kernel has the same bytes again.
            unsafe {
                if start & WINDOW != 0 {
                    libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTDUMP);
                }
                libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED);
            }
            start = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Returns where the program's read-only mappings are, and how much of them is resident, in kB.
    fn mapped() -> (Vec<(usize, usize)>, u64) {
        let program = std::env::current_exe().unwrap();
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let (mut places, mut resident, mut ours) = (Vec::new(), 0, false);
        for line in smaps.lines() {
            if let Some((place, rest)) = line.split_once(' ').filter(|(first, _)| !first.ends_with(':')) {
                ours = rest.starts_with("r-") && rest.ends_with(program.to_str().unwrap());
                let (start, end) = place.split_once('-').unwrap();
                if ours {
                    let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
                    places.push((start, end));
                }
            } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| ours) {
                resident += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        (places, resident)
    }

    #[test]
    fn what_only_the_start_writes_is_read_only_afterwards() {
        let (loaded_at, segments) = loaded();
        let sealed = segments.iter().find(|segment| segment.p_type == libc::PT_GNU_RELRO).unwrap();
        let page = !(page_size() as usize - 1);
        let begin = (loaded_at + sealed.p_vaddr as usize) & page;
        let end = (loaded_at + (sealed.p_vaddr + sealed.p_memsz) as usize) & page;
        let modes = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let mut modes = Vec::new();
            for line in maps.lines() {
                let (place, rest) = line.split_once(' ').unwrap();
                let (from, to) = place.split_once('-').unwrap();
                let [from, to] = [from, to].map(|text| usize::from_str_radix(text, 16).unwrap());
                if from < end && to > begin {
                    modes.push(rest[..4].to_owned());
                }
            }
            modes
        };
        // The dynamic loader of a test has done it already.
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is the program's own, and reading it works as before.
        assert_eq!(unsafe { libc::mprotect(begin as *mut libc::c_void, end - begin, writable) }, 0);
        assert!(modes().contains(&"rw-p".to_owned()));
        seal_program();
        let modes = modes();
        assert!(!modes.is_empty() && modes.iter().all(|mode| mode == "r--p"), "{modes:?}");
    }

    #[test]
    fn code_that_does_not_run_leaves_memory_and_comes_back() {
        const ALONE: &str = "PI_MONITOR_TEST_ALONE";
        // Other tests would run code in between, so this one gets a process of its own.
        if std::env::var_os(ALONE).is_none() {
            let name = "sys::program::tests::code_that_does_not_run_leaves_memory_and_comes_back";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let (places, _) = mapped();
        let mut sum = 0_u64;
        let mut read = || {
            for &(start, end) in &places {
                for page in (start..end).step_by(4096) {
                    // SAFETY: the page is in a readable mapping that stays for good.
                    sum += u64::from(unsafe { std::ptr::read_volatile(page as *const u8) });
                }
            }
            std::mem::take(&mut sum)
        };
        let before = read();
        let (_, all) = mapped();
        release_program();
        let (_, left) = mapped();
        assert!(left < all / 2, "{left} of {all} kB");
        assert_eq!(black_box(read()), before);
    }
}
