//! Every board's outputs, compared with what they were when somebody last looked at them.

use crate::boards;
use std::path::Path;

#[test]
fn boards() {
    for output in boards::outputs() {
        let golden = |file: &str, text: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(&output.board).join(file);
            boards::compare(&path, text);
        };
        golden("metrics.txt", &output.metrics);
        golden("openmetrics.txt", &output.openmetrics);
        let json: serde_json::Value = serde_json::from_str(&output.json).unwrap();
        golden("pretty.json", &format!("{json:#}\n"));
        golden("table.txt", &output.table);
    }
}
