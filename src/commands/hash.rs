//! `pi-monitor hash`: hashes a password with bcrypt, for the web configuration.

use super::write;
use crate::cli::{Command, Options, prose};
use crate::sys;
use std::io::{ErrorKind, IsTerminal, Read};
use std::process::ExitCode;

pub static COMMAND: Command = Command {
    name: "hash",
    argument: "",
    help: prose("hash a password with bcrypt for --web.config.file; prompts, or reads standard input"),
    flags: &[],
    failure: 1,
    run,
};

/// 2^10 rounds: 0.1 s on a desktop CPU.
const COST: u32 = 10;
/// bcrypt ignores what comes after these.
const PASSWORD_BYTES: usize = 72;

fn run(_: &Options) -> Result<ExitCode, String> {
    let password = if sys::input().is_terminal() {
        let password = prompt("Password: ")?;
        check(&password)?;
        if prompt("Repeat: ")? != password {
            return Err("the passwords do not match".to_owned());
        }
        password
    } else {
        let password = read_line()?;
        check(&password)?;
        password
    };
    let mut salt = [0; 16];
    sys::random(&mut salt).map_err(|error| format!("cannot get random bytes: {error}"))?;
    let hash = bcrypt::hash_with_salt(password, COST, salt).map_err(|error| format!("bcrypt: {error}"))?;
    write((hash.format_for_version(bcrypt::Version::TwoY) + "\n").as_bytes())
}

fn prompt(text: &str) -> Result<Vec<u8>, String> {
    sys::without_echo(text, read_line).map_err(|error| format!("terminal: {error}"))?
}

/// Reads one line of standard input, without its line break.
fn read_line() -> Result<Vec<u8>, String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        match sys::input().read(&mut byte) {
            Ok(1) if byte != *b"\n" => line.push(byte[0]),
            Ok(count) => {
                if count > 0 && line.ends_with(b"\r") {
                    line.pop();
                }
                return Ok(line);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("standard input: {error}")),
        }
    }
}

fn check(password: &[u8]) -> Result<(), String> {
    if password.is_empty() {
        return Err("expected a password, found nothing".to_owned());
    }
    if password.len() > PASSWORD_BYTES {
        return Err(format!("the password has {} bytes; bcrypt takes at most {PASSWORD_BYTES}", password.len()));
    }
    if password.iter().any(u8::is_ascii_control) {
        return Err("the password contains a control character".to_owned());
    }
    Ok(())
}
