use super::merge::Merged;
use super::parse::parse;
use super::*;
use crate::kernel::Bad;
use crate::model::ForeignFamily;

const HELP: &str = "Read from a file of another program.";

/// What becomes of files: the families, and the line of each thing that was left out, by file.
fn merge(files: &[&str]) -> (Vec<ForeignFamily>, Vec<Vec<usize>>) {
    let mut merged = Merged::new(|_| {});
    let mut all = Vec::new();
    for text in files {
        let mut lines = Vec::new();
        match parse(text.as_bytes()) {
            Ok(found) => merged.add(found, &mut |bad: Bad| lines.push(bad.line)),
            Err(bad) => lines.push(bad.line),
        }
        all.push(lines);
    }
    (merged.finish().families, all)
}

/// The same, with the families as text.
fn text(files: &[&str]) -> (String, Vec<Vec<usize>>) {
    let (families, bad) = merge(files);
    let mut text = String::new();
    for ForeignFamily { name, kind, help, samples, .. } in families {
        let [name, help, samples] = [name, help, samples].map(|text| String::from_utf8(text).unwrap());
        text += &format!("{name} {kind} {help}\n{samples}");
    }
    (text, bad)
}

#[test]
fn what_programs_write() {
    let file = "\
# HELP backup_last_success_seconds When the last backup \\\\ ended well.
# TYPE backup_last_success_seconds gauge
backup_last_success_seconds{path=\"C:\\\\a \\\"b\\\"\\n\",disk=\"a\" , } 1.7e9
backup_last_success_seconds { disk=\"b}\" } +Inf

# A comment, and HELP in it.
# HELPFUL this is not.
#TYPE sizes histogram
sizes_bucket{le=\"1\"} 3
up_since 12
sizes_bucket{le=\"+Inf\"} 4
sizes_sum -.5
sizes_count 4
up_since{host=\"x\"}\tnan
";
    let expected = format!(
        "\
backup_last_success_seconds gauge When the last backup \\\\ ended well.
backup_last_success_seconds{{disk=\"a\",path=\"C:\\\\a \\\"b\\\"\\n\"}} 1.7e+9
backup_last_success_seconds{{disk=\"b}}\"}} +Inf
sizes histogram {HELP}
sizes_bucket{{le=\"1\"}} 3
sizes_bucket{{le=\"+Inf\"}} 4
sizes_sum -0.5
sizes_count 4
up_since untyped {HELP}
up_since 12
up_since{{host=\"x\"}} NaN
"
    );
    assert_eq!(text(&[file]), (expected, vec![vec![]]));
    assert_eq!(text(&["", "\n\n# nothing\n"]), (String::new(), vec![vec![], vec![]]));
}

#[test]
fn numbers_have_one_spelling() {
    for (given, expected) in [
        ("0", "0"),
        ("007", "7"),
        ("+1.50", "1.50"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("-0", "-0"),
        ("1E5", "1e+5"),
        ("1e-05", "1e-05"),
        ("9e307", "9e+307"),
        ("1e-9999", "1e-9999"),
        ("Infinity", "+Inf"),
        ("-iNf", "-Inf"),
        ("nan", "NaN"),
    ] {
        assert_eq!(text(&[&format!("a {given}\n")]).0, format!("a untyped {HELP}\na {expected}\n"), "{given}");
    }
    for bad in [
        "", ".", "e5", "1e", "1e+", "1e++5", "1e308", "1_0", "0x1p3", "1,5", "--1", "+-1", "+nan", "1 2", "1e99999",
        "١",
    ] {
        assert_eq!(text(&[&format!("a {bad}\n")]), (String::new(), vec![vec![1]]), "{bad}");
    }
}

#[test]
fn a_malformed_file_is_left_out_as_a_whole() {
    for (bad, line) in [
        ("b 1", 2),
        ("b", 2),
        ("b x", 2),
        ("b 1 1700000000000", 2),
        ("b 1\r", 2),
        ("# a comment\r", 2),
        ("1b 1", 2),
        ("{a=\"b\"} 1", 2),
        ("{\"b\",a=\"b\"} 1", 2),
        ("b{a=\"b\" 1", 2),
        ("b{a=b} 1", 2),
        ("b{a=\"b} 1", 2),
        ("b{a=\"\\x\"} 1", 2),
        ("b{a=\"\\", 2),
        ("b{a=\"b\",a=\"c\"} 1", 2),
        ("b{a=\"b\";c=\"d\"} 1", 2),
        ("b{,a=\"b\"} 1", 2),
        ("b{1=\"b\"} 1", 2),
        ("b{__name__=\"b\"} 1", 2),
        ("b{a:b=\"c\"} 1", 2),
        ("b 1\n# TYPE b gauge", 3),
        ("# TYPE b gauge\n# TYPE b gauge", 3),
        ("# TYPE b info", 2),
        ("# TYPE b", 2),
        ("# HELP b x\n# HELP b y", 3),
        ("# HELP b \\t", 2),
        ("# HELP", 2),
        ("# HELP é x", 2),
        ("# TYPE b histogram\nb 1", 3),
        ("# TYPE b histogram\nb_bucket 1", 3),
        ("# TYPE b histogram\nb_bucket{le=\"x\"} 1", 3),
        ("# TYPE b summary\nb{quantile=\"\"} 1", 3),
        ("<html>", 2),
        ("\0", 2),
    ] {
        let end = if bad == "b 1" { "" } else { "\n" };
        let (text, lines) = text(&[&format!("good 1\n{bad}{end}"), "other 2\n"]);
        assert_eq!((text, lines), (format!("other untyped {HELP}\nother 2\n"), vec![vec![line], vec![]]), "{bad}");
    }
    let bad = parse(b"a 1\na{b=\"\xff\"} 1\n").unwrap_err();
    assert_eq!(bad.to_string(), "line 2: expected text in UTF-8, found \"a{b=\\\"\\xff\\\"} 1\"");
}

#[test]
fn no_series_and_no_name_is_taken_twice() {
    // One family in several files is one family, with the first help text.
    let (all, bad) = text(&["# HELP a A.\na{x=\"1\"} 1\n", "\na{x=\"2\"} 2\n", "# HELP a B.\na{x=\"1\"} 3\nb 4\n"]);
    assert_eq!(all, format!("a untyped A.\na{{x=\"1\"}} 1\na{{x=\"2\"}} 2\nb untyped {HELP}\nb 4\n"));
    assert_eq!(bad, [vec![], vec![], vec![1]]);
    // The order of labels makes no difference.
    assert_eq!(text(&["a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n"]).1, [[1]]);
    // Types that contradict, and names that OpenMetrics or a histogram makes the same.
    let gauge = "# TYPE a gauge\na 1\n";
    for other in ["# TYPE a counter\na 1\n", "a 2\n", "# TYPE a_total counter\na_total 1\n"] {
        let (text, bad) = text(&[gauge, other]);
        assert_eq!((text, bad), (format!("a gauge {HELP}\na 1\n"), vec![vec![], vec![1]]), "{other}");
    }
    let histogram = "# TYPE a histogram\na_count 1\n";
    for other in ["a_count 1\n", "a_bucket{le=\"1\"} 1\n", "a_created 1\n"] {
        for files in [[histogram, other], [other, histogram]] {
            assert_eq!(text(&files).1, [vec![], vec![1]], "{files:?}");
        }
    }
    assert_eq!(text(&[histogram, "a_max 1\n"]).1, [vec![0_usize; 0], vec![]]);
}

#[test]
fn the_agents_own_families_stay_its_own() {
    for own in [
        "pi_memory_total_bytes",
        "pi_forks_total",
        "pi_forks",
        "pi_board_info",
        "pi_board",
        "process_open_fds",
        "pi_textfile_errors",
    ] {
        let (text, bad) = text(&[&format!("ok 1\n{own} 1\n")]);
        assert_eq!((text, bad), (format!("ok untyped {HELP}\nok 1\n"), vec![vec![2]]), "{own}");
    }
    // The same beginning is no reason.
    assert_eq!(text(&["pi_mine 1\nprocess_mine 2\npython_info 3\n"]).1, [vec![0_usize; 0]]);
}

#[test]
fn openmetrics_takes_gauges_and_true_counters() {
    for (kind, text, is_exact) in [
        ("gauge", "a NaN\n", true),
        ("counter", "a_total 1\na_total{x=\"-1\"} 1e+300\n", true),
        ("counter", "a_total +Inf\n", true),
        ("counter", "a_total 1\na_total{x=\"1\"} -1\n", false),
        ("counter", "a_total NaN\n", false),
        ("counter", "_total 1\n", false),
        ("counter", "a 1\n", false),
        ("untyped", "a 1\n", false),
        ("summary", "a_count 1\n", false),
        ("histogram", "a_count 1\n", false),
    ] {
        let name = text.split(['{', ' ']).next().unwrap().trim_end_matches("_count");
        let (families, bad) = merge(&[&format!("# TYPE {name} {kind}\n{text}")]);
        assert_eq!((families.len(), families[0].is_exact, bad), (1, is_exact, vec![vec![]]), "{text}");
    }
}

#[test]
fn what_is_taken_is_bounded() {
    let file = |first: usize, line: &dyn Fn(usize) -> String| (first..first + 4000).map(line).collect::<String>();
    let few = |number: usize| format!("a{{number=\"{number:0>60}\"}} 1\n");
    let files: Vec<_> = (0..3).map(|number| file(number * 4000, &few)).collect();
    let (all, bad) = text(&files.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(all.len() < BYTES_MAX + 100 && all.len() > BYTES_MAX - 100, "{}", all.len());
    assert_eq!(bad, [vec![], vec![1], vec![1]]);
    let short = |number: usize| format!("a{{b=\"{number}\"}} 1\n");
    let files: Vec<_> = (0..6).map(|number| file(number * 4000, &short)).collect();
    let (families, bad) = merge(&files.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((families[0].lines().count(), &bad[4..]), (SERIES_MAX, &[vec![], vec![1]][..]));
    let (families, bad) = merge(&[&file(0, &|number| format!("a{number} 1\n"))]);
    assert_eq!((families.len(), bad[0].len()), (FAMILIES_MAX, 4000 - FAMILIES_MAX));
}
