//! Unpacks board files, to look at them or to point an agent at them, and packs them again.

#[path = "../tests/boards/board.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod board;

use board::Board;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: board unpack FILE DIR    write the files of a board to DIR, which must be empty or not exist yet
       board pack DIR FILE      write the files below DIR to FILE; the comments in FILE stay
Boards are in tests/boards; the README there describes them.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["unpack", file, directory] => {
            Board::read(Path::new(file)).and_then(|board| board.unpack(Path::new(directory)))
        }
        ["pack", directory, file] => pack(Path::new(directory), Path::new(file)),
        ["-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("board: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pack(directory: &Path, file: &Path) -> std::io::Result<()> {
    let old = if file.exists() { Board::read(file)? } else { Board::default() };
    std::fs::write(file, old.pack(directory)?.text())
}
