//! A memory card with 4 KiB blocks: what is written is counted at its block device.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// An ext4 filesystem on a loop device; taken down when dropped.
pub struct Card {
    folder: PathBuf,
    pub device: String,
}

impl Card {
    /// Makes one in a directory; `None` where this user may not.
    pub fn new(folder: PathBuf) -> Option<Card> {
        let image = folder.join("image");
        let mount = folder.join("mount");
        std::fs::create_dir(&mount).unwrap();
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        let run = |program: &str, words: &[&str]| Command::new(program).args(words).output().ok();
        let image = image.to_str().unwrap();
        // What mkfs leaves for later would be counted as ours.
        let made = run("mkfs.ext4", &["-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image]);
        let device = run("losetup", &["--find", "--show", image])?;
        let card = Card { folder, device: String::from_utf8(device.stdout).unwrap().trim().to_owned() };
        let works = made?.status.success()
            && !card.device.is_empty()
            && run("mount", &["-t", "ext4", &card.device, mount.to_str().unwrap()])?.status.success();
        works.then_some(card)
    }

    /// Where it is mounted.
    pub fn mount(&self) -> PathBuf {
        self.folder.join("mount")
    }

    /// The name of its device.
    pub fn name(&self) -> &str {
        self.device.rsplit('/').next().unwrap()
    }

    /// The bytes written to the device so far.
    pub fn written(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/sys/block/{}/stat", self.name())).unwrap();
        stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // The process that writes has its files open until it has seen that it is alone.
        for _ in 0..100 {
            if Command::new("umount").arg("-q").arg(self.mount()).status().is_ok_and(|it| it.success()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
