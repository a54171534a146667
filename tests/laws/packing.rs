//! Board files: each is in the one form that its content has, and nothing is lost on the way to a directory and back.

use crate::boards::{Board, Tree, all, compare, file};
use std::path::Path;

/// A new name in the temporary directory; what was written there goes when the value does.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pi-monitor-packing-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_board_is_sorted_and_in_canonical_form() {
    for board in all() {
        compare(&file(&board), &Board::read(&file(&board)).unwrap().text());
    }
}

#[test]
fn every_board_packs_to_what_it_was_unpacked_from() {
    for board in all() {
        let read = || Board::read(&file(&board)).unwrap();
        let tree = Tree::new(&board);
        assert!(read().pack(tree.path()).unwrap() == read(), "{board}");
    }
}

/// Unpacks a text, packs the directory without knowing the text, and returns the new text.
fn there_and_back(name: &str, text: &str) -> String {
    let scratch = Scratch::new(name);
    Board::parse(text).unwrap().unpack(&scratch.0).unwrap();
    Board::default().pack(&scratch.0).unwrap().text()
}

#[test]
fn each_oddity_has_one_form() {
    let text = concat!(
        "-- a\\x0aname \\x3e --\n",
        "one line\n",
        "-- a link -> ../some where/\\xff --\n",
        "-- blank line --\n",
        "\n",
        "-- directory/ --\n",
        "-- endless --\n",
        "no newline\\\n",
        "-- hash --\n",
        "\\# no comment\n",
        " # neither\n",
        "-- heading --\n",
        "\\-- proc/stat --\n",
        "--\n",
        "-- nothing --\n",
        "-- odd --\n",
        "\\0\\x01\\xc3\\xbc\\\\ tab\tand blank\\x20\n",
        "\\x09\n",
        "last \\\n",
    );
    assert_eq!(there_and_back("oddities", text), text);
    let scratch = Scratch::new("bytes");
    Board::parse(text).unwrap().unpack(&scratch.0).unwrap();
    let read = |name: &str| std::fs::read(scratch.0.join(name)).unwrap();
    assert_eq!(read("odd"), b"\0\x01\xc3\xbc\\ tab\tand blank \n\t\nlast ");
    assert_eq!(read("heading"), b"-- proc/stat --\n--\n");
    assert_eq!(
        (read("nothing"), read("blank line"), read("endless")),
        (vec![], b"\n".to_vec(), b"no newline".to_vec())
    );
    assert_eq!(read("a\nname >"), b"one line\n");
    assert!(scratch.0.join("directory").is_dir());
    assert_eq!(
        std::fs::read_link(scratch.0.join("a link")).unwrap().as_os_str().as_encoded_bytes(),
        b"../some where/\xff"
    );
}

#[test]
fn any_bytes_survive() {
    let scratch = Scratch::new("random");
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let pieces: [&[u8]; 12] = [b"\n", b" ", b"\t", b"\\", b"#", b"-- ", b" --", b"-> ", b"\0", b"\xff", b"x", b"\r"];
    let mut texts = Vec::new();
    std::fs::create_dir(&scratch.0).unwrap();
    for number in 0..100 {
        let text: Vec<u8> = (0..random() % 9).flat_map(|_| pieces[random() % pieces.len()].to_vec()).collect();
        std::fs::write(scratch.0.join(number.to_string()), &text).unwrap();
        texts.push(text);
    }
    let packed = Board::default().pack(&scratch.0).unwrap().text();
    let again = Scratch::new("again");
    let board = Board::parse(&packed).unwrap();
    assert_eq!(board.text(), packed);
    board.unpack(&again.0).unwrap();
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(std::fs::read(again.0.join(number.to_string())).unwrap(), *text, "{number}");
    }
}

#[test]
fn comments_stay_with_what_they_are_about() {
    let scratch = Scratch::new("comments");
    let text = "# A board.\n\n# More.\n-- b --\n1\n# About c.\n# Two lines.\n-- c --\n2\n-- d -> c --\n";
    Board::parse(text).unwrap().unpack(&scratch.0).unwrap();
    std::fs::write(scratch.0.join("a"), "0\n").unwrap();
    std::fs::remove_file(scratch.0.join("b")).unwrap();
    let packed = Board::parse(text).unwrap().pack(&scratch.0).unwrap();
    assert_eq!(
        packed.text(),
        "# A board.\n\n# More.\n-- a --\n0\n# About c.\n# Two lines.\n-- c --\n2\n-- d -> c --\n"
    );
}

#[test]
fn a_malformed_board_is_refused_with_its_line() {
    for (text, wrong) in [
        ("text\n", "line 1: expected a comment or a heading such as -- proc/stat --"),
        ("-- a --\n-- b\n", "line 2: expected \" --\" at the end of a heading"),
        ("-- /etc/passwd --\n", "line 1: expected a relative path without \".\" and \"..\""),
        ("-- a/../../b --\n", "line 1: expected a relative path without \".\" and \"..\""),
        ("-- a --\n-- a --\n", "line 2: duplicate path"),
        ("-- a --\n\\q\n", "line 2: expected \\\\, \\#, \\-, \\0 or \\xNN"),
        ("-- a --\n\\x+1\n", "line 2: expected two hexadecimal digits after \\x"),
        ("-- a --\nü\n", "line 2: expected \\xc3 for a byte that is not ASCII"),
        ("-- a --\nx\\\ny\n", "line 3: expected a heading after a line that ends with \\"),
        ("-- a -> b --\ny\n", "line 2: expected a comment or a heading such as -- proc/stat --"),
        (
            "-- a --\nx\n# c\ny\n",
            "line 4: expected a heading after a comment (a text line that begins with # is written \\#)",
        ),
        ("-- a --\n# c\n", "expected a heading after the last comment"),
        ("-- a --\nx", "line 2: expected a newline at the end of the file"),
    ] {
        assert_eq!(Board::parse(text).unwrap_err(), wrong, "{text:?}");
    }
}

#[test]
fn nothing_is_written_through_a_link_or_over_other_files() {
    let scratch = Scratch::new("links");
    let outside = Scratch::new("outside");
    std::fs::create_dir(&outside.0).unwrap();
    let text = format!("-- a -> {} --\n-- a/b --\nx\n", outside.0.display());
    assert!(Board::parse(&text).unwrap().unpack(&scratch.0).is_err());
    assert_eq!(std::fs::read_dir(&outside.0).unwrap().count(), 0);
    let error = Board::parse("-- c --\n").unwrap().unpack(&scratch.0).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: not empty", scratch.0.display()));
    let error = Board::read(Path::new("/nowhere.board")).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere.board: No such file or directory (os error 2)");
}
