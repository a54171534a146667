//! Names of containers, as their engines know them.
//!
//! Podman gives the name to the program that watches the container, whose command line everybody may read. Docker keeps it in a file
//! that only root may read: `/var/lib/docker/containers/ID/config.v2.json`. That is on a disk, which may hang, so a child
//! process reads it.

use super::cgroups::first_process;
use super::source::read_record;
use super::text::find;
use crate::runtime::sandbox::Call;
use crate::sys::{self, Child, Directory};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What looking for names needs beside reading: to end a child that the disk does not answer.
pub const CALLS: &[Call] = &[Call::With(libc::SYS_kill, libc::SIGKILL as u32)];
/// Docker's files, below the root of the host.
pub const DOCKER: &str = "var/lib/docker/containers";

/// How long a name is waited for, in milliseconds. A file that the engine has just written is in memory, and takes one or two; while a
/// disk hangs, nothing is asked a second time.
const PATIENCE: u32 = 1000;
/// The most of Docker's file that is looked at. The name stands behind the container's environment and labels.
const FILE_MAX: usize = 64 * 1024;
const NAME_MAX: usize = 128;

/// Asks engines for names.
#[derive(Debug)]
pub struct Engines {
    proc: PathBuf,
    /// None where Docker is not, or the agent may not read its files.
    docker: Option<PathBuf>,
    /// A child that hangs; nothing is asked before it has ended.
    child: Option<Child>,
}

impl Engines {
    /// Finds out which engines' files can be read.
    pub fn new(proc: &Path, root: &Path) -> Self {
        let docker = root.join(DOCKER);
        let docker = Directory::open(&docker).is_ok().then_some(docker);
        Engines { proc: proc.to_owned(), docker, child: None }
    }

    /// Returns whether no child hangs, and forgets one that has ended.
    pub fn is_free(&mut self) -> bool {
        if self.child.as_ref().is_some_and(Child::has_ended) {
            self.child = None;
        }
        self.child.is_none()
    }

    /// Returns the name of the container with this group and ID; `None` if it cannot be known.
    pub fn name(&mut self, group: &Path, id: &str) -> Option<Vec<u8>> {
        self.podman(group, id).or_else(|| self.docker(id))
    }

    /// Podman's containers have a group `libpod-ID.scope`, and beside it `libpod-conmon-ID.scope` with the watching program, which
    /// is called with `-n NAME`.
    fn podman(&self, group: &Path, id: &str) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let pid = first_process(&group.with_file_name(format!("libpod-conmon-{id}.scope")), &mut text)?;
        read_record(&self.proc.join(format!("{pid}/cmdline")), &mut text, true).ok()?;
        let mut words = text.split(|byte| *byte == 0);
        words.find(|word| word == b"-n")?;
        words.next().map(<[u8]>::to_vec)
    }

    fn docker(&mut self, id: &str) -> Option<Vec<u8>> {
        let path = self.docker.as_ref()?.join(id).join("config.v2.json");
        if !self.is_free() {
            return None;
        }
        let (child, socket) = sys::fork_task(&|send| {
            let mut text = [0; FILE_MAX];
            send(read_name(&path, &mut text).unwrap_or_default());
        })
        .ok()?;
        let (mut name, mut length) = ([0; NAME_MAX], None);
        for _ in 0..PATIENCE {
            length = length.or_else(|| sys::receive(&socket, &mut name).ok());
            if length.is_some() && child.has_ended() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if length.is_none() {
            child.kill();
        }
        self.child = Some(child);
        length.filter(|length| *length > 0).map(|length| name[..length].to_vec())
    }
}

/// Reads the name of a container out of Docker's file, in a child: without memory of its own.
fn read_name<'a>(path: &Path, text: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut file = File::open(path).ok()?;
    let mut length = 0;
    loop {
        match file.read(&mut text[length..]) {
            Ok(0) => return docker_name(&text[..length]),
            Ok(count) => length += count,
            Err(_) => return None,
        }
    }
}

/// `{…,"Name":"/web","Driver":"overlay2",…}`: a quote within a string has a backslash before it, so no text of the user's looks like
/// this.
fn docker_name(text: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = b"\"Name\":\"/";
    let start = text.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let name = &text[start..];
    let name = &name[..find(b'"', name)?];
    (1..=NAME_MAX).contains(&name.len()).then_some(name)
}

/// Returns the ID of the container whose group has this name, such as `docker-ID.scope`, `libpod-ID.scope`, `cri-containerd-ID.scope` or the
/// ID alone: 64 hexadecimal digits. `None` for other groups, also for those of the programs that watch containers.
pub fn container_id(group: &OsStr) -> Option<&str> {
    const DIGITS: usize = 64;
    let name = group.as_bytes();
    let name = name.strip_suffix(b".scope").unwrap_or(name);
    let (engine, id) = name.split_at_checked(name.len().wrapping_sub(DIGITS))?;
    let is_engine = engine.is_empty() || engine.ends_with(b"-") && !engine.ends_with(b"conmon-");
    (is_engine && id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        .then(|| std::str::from_utf8(id).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn groups_of_containers_are_known_by_their_id() {
        for name in ["docker-ID.scope", "libpod-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope", "ID"] {
            assert_eq!(container_id(OsStr::new(&name.replace("ID", ID))), Some(ID), "{name}");
        }
        for name in
            ["libpod-conmon-ID.scope", "crio-conmon-ID.scope", "xID", "ID-1", "docker-0ID.service", "ssh.service", ""]
        {
            assert_eq!(container_id(OsStr::new(&name.replace("ID", ID))), None, "{name}");
        }
        assert_eq!(container_id(OsStr::new(&ID.to_uppercase())), None);
    }

    #[test]
    fn the_name_is_the_engines_and_not_a_users() {
        // The order of Docker 27, shortened; an environment variable that looks like a name.
        let text = br#"{"StreamConfig":{},"State":{"Running":true,"Pid":1417},"ID":"9f86d081884c","Created":"2025-11-02T09:12:44.1Z",
            "Config":{"Hostname":"9f86d081884c","Env":["X=\"Name\":\"/evil\""],"Image":"postgres:16"},"Name":"/db","Driver":"overlay2"}"#;
        assert_eq!(docker_name(text), Some(&b"db"[..]));
        for bad in [&b""[..], b"{}", b"\"Name\":\"/", b"\"Name\":\"/cut", b"\"Name\":\"/\"", b"\"Name\":\"volume\""] {
            assert_eq!(docker_name(bad), None);
        }
        let long = format!("\"Name\":\"/{}\"", "x".repeat(NAME_MAX + 1));
        assert_eq!(docker_name(long.as_bytes()), None);
    }

    #[test]
    fn names_come_from_dockers_files_and_podmans_programs() {
        let dir = std::env::temp_dir().join(format!("pi-monitor-engines-{}", std::process::id()));
        let (proc, files, groups) = (dir.join("proc"), dir.join(DOCKER).join(ID), dir.join("machine.slice"));
        let (group, watcher) =
            (groups.join(format!("libpod-{ID}.scope")), groups.join(format!("libpod-conmon-{ID}.scope")));
        for path in [&proc.join("812"), &files, &group, &watcher] {
            std::fs::create_dir_all(path).unwrap();
        }
        let mut engines = Engines::new(&proc, &dir);
        assert_eq!(engines.name(&group, ID), None);
        std::fs::write(files.join("config.v2.json"), r#"{"ID":"9f","Name":"/web","Driver":"overlay2"}"#).unwrap();
        // The disk may take longer than is waited for; the next look has the name then.
        let name = (0..1000).find_map(|_| engines.name(&group, ID));
        assert_eq!(name.as_deref(), Some(&b"web"[..]));
        std::fs::write(watcher.join("cgroup.procs"), "812\n").unwrap();
        std::fs::write(proc.join("812/cmdline"), format!("/usr/bin/conmon\0-c\0{ID}\0-n\0pihole\0--exit-dir\0/run\0"))
            .unwrap();
        assert_eq!(engines.name(&group, ID).as_deref(), Some(&b"pihole"[..]));
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(Engines::new(&proc, &dir).docker, None);
    }
}
