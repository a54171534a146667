//! Every board's outputs, compared with what they were when somebody last looked at them: one file a board, with a heading for
//! each format.

use crate::boards;
use std::path::Path;

#[test]
fn boards() {
    for output in boards::outputs() {
        let json: serde_json::Value = serde_json::from_str(&output.json).unwrap();
        let text = format!(
            "-- metrics --\n{}-- openmetrics --\n{}-- json --\n{json:#}\n-- table --\n{}",
            output.metrics, output.openmetrics, output.table
        );
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
        boards::compare(&goldens.join(&output.board).with_extension("txt"), &text);
    }
}
