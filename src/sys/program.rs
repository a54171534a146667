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

/// Unmaps the pages of the program's code and constants; those that are used from now on come back from the page cache.
///
/// From Linux 6.18 on, a page that is used brings everything that the page cache keeps in one piece with it, which may be the whole
/// program, but nothing beyond its mapping (`filemap_map_folio_range` in `mm/filemap.c`). So there is a mapping for each window:
/// every second one is left out of core dumps, which have no code anyway.
pub fn release_program() {
    // SAFETY: if the kernel left the address and the number of the program headers, they are there, and nothing changes them.
    let segments = unsafe {
        let first = libc::getauxval(libc::AT_PHDR) as *const Segment;
        if first.is_null() {
            return;
        }
        std::slice::from_raw_parts(first, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let Some(first) = segments.iter().find(|segment| segment.p_type == libc::PT_LOAD) else { return };
    let loaded_at = (&raw const PROGRAM as usize).wrapping_sub(first.p_vaddr as usize);
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
    fn code_that_does_not_run_leaves_memory_and_comes_back() {
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
        // Other tests run meanwhile, but not half of the program.
        assert!(left < all / 2, "{left} of {all} kB");
        assert_eq!(black_box(read()), before);
    }
}
