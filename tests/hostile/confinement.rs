//! What is left to somebody who has taken the agent over.

use crate::agent::{Agent, BINARY, PATIENCE, value};
use crate::namespaces::own_network;
use crate::needs::needs;
use pi_monitor::commands;
use std::ffi::CString;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

/// The environment variable that makes a copy of this test program do as an intruder would.
const DEED: &str = "PI_MONITOR_TEST_DEED";

fn layers(agent: &Agent) -> Vec<(String, f64)> {
    let page = agent.metrics();
    pi_monitor::runtime::sandbox::LAYERS
        .iter()
        .map(|layer| ((*layer).to_owned(), value(&page, &format!("pi_sandbox{{layer=\"{layer}\"}}")).unwrap()))
        .collect()
}

fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {field}")).to_owned()
}

/// What the agent says of its layers is what the kernel says.
#[test]
fn every_layer_holds() {
    let agent = Agent::start(&["--no-collector.processes"]);
    let pid = agent.child.id();
    let landlock = has_landlock();
    for (layer, holds) in layers(&agent) {
        assert_eq!(holds, f64::from(u8::from(layer != "landlock" || landlock)), "{layer}");
    }
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!(status(pid, "Seccomp"), "2");
    for set in ["CapEff", "CapPrm", "CapInh"] {
        let held = u64::from_str_radix(&status(pid, set), 16).unwrap();
        // Searching directories, and ports below 1024.
        assert_eq!(held & !(1 << 2 | 1 << 10), 0, "{set}");
    }
}

fn has_landlock() -> bool {
    // SAFETY: with flag 1 the call wants no structure and returns a number.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) > 0 }
}

/// Not a test of its own: does the deed that [`an_intruder`] asks for, confined as the agent is.
#[test]
fn deed() {
    let Ok(deed) = std::env::var(DEED) else { return };
    let options = commands::parse(["--no-collector.processes".to_owned()]).unwrap();
    commands::confine(&options, &[pi_monitor::server::NEEDS]).unwrap();
    let text = |text: &str| CString::new(text).unwrap();
    let (shell, file, null) = (text("/bin/sh"), text("/tmp/pi-monitor-hostile-deed"), std::ptr::null::<u8>());
    // SAFETY: each call gets C strings, zeros or null where it takes pointers; what is allowed of it harms nobody.
    let result = unsafe {
        match deed.as_str() {
            "execve" => libc::syscall(libc::SYS_execve, shell.as_ptr(), null, null),
            "execveat" => libc::syscall(libc::SYS_execveat, libc::AT_FDCWD, shell.as_ptr(), null, null, 0),
            "ptrace" => libc::syscall(libc::SYS_ptrace, 16, 1, 0, 0),
            "process_vm_readv" => libc::syscall(libc::SYS_process_vm_readv, 1, 0, 0, 0, 0, 0),
            "mount" => libc::syscall(libc::SYS_mount, null, null, null, 0, null),
            "unshare" => libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER),
            "setns" => libc::syscall(libc::SYS_setns, 0, 0),
            "chroot" => libc::syscall(libc::SYS_chroot, shell.as_ptr()),
            "init_module" => libc::syscall(libc::SYS_init_module, null, 0, null),
            "bpf" => libc::syscall(libc::SYS_bpf, 0, null, 0),
            "write" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"/dev/null".as_ptr(), libc::O_WRONLY, 0),
            "create" => {
                libc::syscall(libc::SYS_openat, libc::AT_FDCWD, file.as_ptr(), libc::O_CREAT | libc::O_RDONLY, 0o600)
            }
            "unlink" => libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, file.as_ptr(), 0),
            "chmod" => libc::syscall(libc::SYS_fchmodat, libc::AT_FDCWD, file.as_ptr(), 0o777, 0),
            "socket" => libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0),
            "packets" => libc::syscall(libc::SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0),
            "connect" => libc::syscall(libc::SYS_connect, 0, null, 0),
            "code" => libc::syscall(libc::SYS_mprotect, 0, 0, libc::PROT_EXEC | libc::PROT_READ),
            "setuid" => libc::syscall(libc::SYS_setuid, 0),
            "kill" => libc::syscall(libc::SYS_kill, 1 << 30, libc::SIGKILL),
            "term" => libc::syscall(libc::SYS_kill, libc::getpid(), libc::SIGTERM),
            "read" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"/usr/bin/env".as_ptr(), libc::O_RDONLY, 0),
            "look" => libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                c"/usr/bin".as_ptr(),
                libc::O_RDONLY | libc::O_DIRECTORY,
                0,
            ),
            "allowed" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"/proc/stat".as_ptr(), libc::O_RDONLY, 0),
            other => panic!("{other}"),
        }
    };
    let error = if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 };
    // SAFETY: ends the process, and with it this test, with what came of the deed.
    unsafe { libc::_exit(100 + error) };
}

/// What comes of a deed: the number of the signal that ended it as a negative number, or the number of its error.
fn come_of(deed: &str) -> i32 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "confinement::deed"]).env(DEED, deed).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().unwrap();
    status.signal().map_or_else(|| status.code().unwrap() - 100, |signal| -signal)
}

/// What ends the process, what is refused, and what a kernel without the call would say.
#[test]
fn an_intruder() {
    assert_eq!(come_of("allowed"), 0);
    for deed in [
        "execve",
        "execveat",
        "ptrace",
        "process_vm_readv",
        "mount",
        "unshare",
        "setns",
        "chroot",
        "init_module",
        "bpf",
    ] {
        assert_eq!(come_of(deed), -libc::SIGSYS, "{deed}");
    }
    for deed in ["write", "create", "socket", "packets", "code", "term"] {
        assert_eq!(come_of(deed), libc::EPERM, "{deed}");
    }
    for deed in ["unlink", "chmod", "connect", "setuid"] {
        assert_eq!(come_of(deed), libc::ENOSYS, "{deed}");
    }
}

/// Files that the agent does not read stay closed, where the kernel can do that.
#[test]
fn other_peoples_files() {
    if !needs("Landlock", has_landlock()) {
        return;
    }
    for deed in ["read", "look"] {
        assert_eq!(come_of(deed), libc::EACCES, "{deed}");
    }
}

/// Starts the agent where the kernel refuses filters of system calls.
fn without_filters(flags: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["--web.listen-address=127.0.0.1:9100"]).args(flags);
    let refuse = || {
        let instruction = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
        // prctl(PR_SET_SECCOMP, …) is answered with EINVAL, all else is allowed.
        let program = [
            instruction(0x20, 0, 0, 0),
            instruction(0x15, libc::SYS_prctl as u32, 0, 3),
            instruction(0x20, 16, 0, 0),
            instruction(0x15, libc::PR_SET_SECCOMP as u32, 0, 1),
            instruction(0x06, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32, 0, 0),
            instruction(0x06, libc::SECCOMP_RET_ALLOW, 0, 0),
        ];
        let program = libc::sock_fprog { len: 6, filter: program.as_ptr().cast_mut() };
        // SAFETY: the program outlives the call, which copies it.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls.
    unsafe { command.pre_exec(refuse) };
    command
}

#[test]
fn a_missing_layer_is_told() {
    if !own_network() {
        return;
    }
    let agent = Agent::spawn(&mut without_filters(&[]));
    assert_eq!(layers(&agent)[3], ("seccomp".to_owned(), 0.0));
    assert_eq!(layers(&agent)[0], ("no_new_privs".to_owned(), 1.0));
}

#[test]
fn a_missing_layer_ends_who_requires_it() {
    if !own_network() {
        return;
    }
    let mut child = without_filters(&["--require-sandbox"]).stderr(Stdio::piped()).spawn().unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().unwrap() {
            None if std::time::Instant::now() < end => std::thread::sleep(std::time::Duration::from_millis(5)),
            status => break status,
        }
    };
    let _ = child.kill();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{said}");
    assert!(said.contains("error: --require-sandbox: seccomp: "), "{said}");
}

/// Each collector of a real machine works under confinement as it does without.
#[test]
fn nothing_is_lost_by_it() {
    let agent = Agent::start(&["--require-sandbox"]);
    for _ in 0..2 {
        let page = agent.metrics();
        let down: Vec<_> =
            page.lines().filter(|line| line.starts_with("pi_collector_up{") && line.ends_with(" 0")).collect();
        assert_eq!(down, [""; 0]);
        assert_eq!(agent.get("/processes").status, 200);
        std::thread::sleep(std::time::Duration::from_millis(120));
    }
}
