//! What a crash leaves in the log: the place in the program, and the exit status that it would have had anyway.

use crate::agent::{Agent, PATIENCE};
use std::os::unix::process::ExitStatusExt as _;

#[test]
fn a_crash_names_its_place_and_keeps_its_status() {
    for (name, number) in [("ILL", 4), ("TRAP", 5), ("ABRT", 6), ("BUS", 7), ("FPE", 8), ("SEGV", 11)] {
        let mut agent = Agent::start(&[]);
        agent.signal(name);
        let line = agent.log_line("stopped by signal");
        let begin = format!("pi-monitor {} for ", env!("CARGO_PKG_VERSION"));
        assert!(line.starts_with(&begin) && line.ends_with(" (please report this line)"), "{line}");
        let at = line.split(&format!(" stopped by signal {number} at +0x")).nth(1).unwrap();
        assert!(u64::from_str_radix(at.split([',', ' ']).next().unwrap(), 16).is_ok(), "{line}");
        let status = agent.wait(PATIENCE).expect("it still runs");
        assert_eq!(status.signal(), Some(number));
        assert_eq!(agent.log_lines(), [""; 0]);
    }
}
